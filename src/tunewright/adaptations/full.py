"""Every parameter learns. Cost: 6 operations a parameter and token, and four numbers a parameter in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from tunewright.adaptations.stored import is_quantized
from tunewright.core.errors import Problem, RecipeError
from tunewright.core.registry import register
from tunewright.core.tensors import Role


@register("adaptation", "full")
@dataclass(frozen=True)
class Full:
    """Nothing is frozen, nothing is added."""

    role: ClassVar[Role] = "chooses"
    rate_factor: ClassVar[float] = 1.0

    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        """Every parameter learns.

        Raises:
            RecipeError: weights are kept in few bits, in which nothing can learn.
        """
        if is_quantized(model):
            raise RecipeError(
                Problem(where="adaptation.full", found="quantized weights, which cannot learn",
                        to_do="write lora in place of full, or leave quantized out")
            )  # fmt: skip
        return model.requires_grad_(True)

    def merge(self, model: nn.Module) -> nn.Module:
        return model
