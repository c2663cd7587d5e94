"""P-tuning v2: learnt keys and values before every layer's own, without a network between, for understanding texts.

Liu et al. 2022, "P-Tuning v2: Prompt Tuning Can Be Comparable to Fine-tuning Universally Across Scales and Tasks". It is
prefix tuning (`prefix_tuning.py`, which says what differs) with plain numbers in place of the re-parametrisation and with a
new head that learns along: 2 P D numbers a layer. peft saves and opens it as prefix tuning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge
from torch import nn

from tunewright.adaptations import virtual_tokens
from tunewright.adaptations.prefix_tuning import attached
from tunewright.core.registry import register
from tunewright.core.tensors import Role


@register("adaptation", "p_tuning_v2")
@dataclass(frozen=True)
class PTuningV2:
    """`tokens` learnt keys and values a layer: the authors take about 20 for simple tasks and 100 for hard ones."""

    tokens: Annotated[int, Ge(1)] = 20

    role: ClassVar[Role] = "adds"
    rate_factor: ClassVar[float] = 100.0
    merges: ClassVar[bool] = False
    identity: ClassVar[bool] = False

    @property
    def places(self) -> int:
        """Places of the context that the prefix takes."""
        return self.tokens

    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        """A PeftModel around `model`, whose own parameters no longer learn.

        Raises:
            RecipeError: another family of models, or no room for so many tokens.
        """
        return attached(model, seed, "p_tuning_v2", self.tokens, None)

    def merge(self, model: nn.Module) -> nn.Module:
        """Refuses.

        Raises:
            RecipeError: always.
        """
        raise virtual_tokens.unmergeable("p_tuning_v2")
