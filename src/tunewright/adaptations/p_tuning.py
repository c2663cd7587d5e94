"""P-tuning: learnt embeddings before each text's own, made by a small network from P learnt rows.  [f(h)_1 ... f(h)_P; e(x)]

Liu et al. 2021, "GPT Understands, Too". `encoder: lstm` is the authors' (a bidirectional LSTM of two layers and an MLP),
`mlp` peft's default (three layers). The network couples the virtual tokens while they learn and is not saved: what it makes
is. What differs from the paper: the virtual tokens stand before the text, not within a cloze pattern, and a head reads the
answer. Positions and pooling are prompt tuning's. Cost: as prompt tuning, and the network once a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge
from torch import nn

from tunewright.adaptations import virtual_tokens
from tunewright.core.registry import register
from tunewright.core.tensors import Role


@register("adaptation", "p_tuning")
@dataclass(frozen=True)
class PTuning:
    """`tokens` virtual tokens. hidden: the network's width; None takes the embeddings'."""

    tokens: Annotated[int, Ge(1)] = 20
    encoder: Literal["mlp", "lstm"] = "mlp"
    hidden: Annotated[int, Ge(1)] | None = None

    role: ClassVar[Role] = "adds"
    rate_factor: ClassVar[float] = 30.0
    merges: ClassVar[bool] = False
    identity: ClassVar[bool] = False

    @property
    def places(self) -> int:
        """Places of the context that the virtual tokens take."""
        return self.tokens

    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        """A PeftModel around `model`, whose own parameters no longer learn.

        Raises:
            RecipeError: another family of models, or no room for so many tokens.
        """
        from peft import PromptEncoderConfig

        wrapped: nn.Module = virtual_tokens.attached(
            model, PromptEncoderConfig, seed, "p_tuning", self.tokens,
            encoder_reparameterization_type=self.encoder.upper(), encoder_hidden_size=self.hidden,
        )  # fmt: skip
        return wrapped

    def merge(self, model: nn.Module) -> nn.Module:
        """Refuses.

        Raises:
            RecipeError: always.
        """
        raise virtual_tokens.unmergeable("p_tuning")
