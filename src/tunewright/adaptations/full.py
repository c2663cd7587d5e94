"""Every parameter learns. Cost: 6 operations a parameter and token, and four numbers a parameter in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from tunewright.core.registry import register
from tunewright.core.tensors import Role


@register("adaptation", "full")
@dataclass(frozen=True)
class Full:
    """Nothing is frozen, nothing is added."""

    role: ClassVar[Role] = "chooses"
    rate_factor: ClassVar[float] = 1.0

    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        return model.requires_grad_(True)

    def merge(self, model: nn.Module) -> nn.Module:
        return model
