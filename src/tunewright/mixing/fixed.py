"""Each task weighs what the recipe says (1 where it says nothing).  L = sum_k w_k L_k. Cost: nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.core.registry import register
from tunewright.mixing.protocol import Part


class Constant:
    """Weights that stay."""

    needs_norms = False

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.weights = dict(weights)

    def factor(self, task: str) -> float:
        return self.weights[task]

    def cost(self, task: str) -> float:
        return 0.0

    def observe(self, losses: Mapping[str, float], norms: Mapping[str, float]) -> None:
        """Nothing to learn from a step."""

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """There is no state."""


@register("weighting", "fixed")
@dataclass(frozen=True)
class Fixed:
    """As the recipe's `weight` of each task says."""

    def bind(self, parts: Sequence[Part]) -> Constant:
        return Constant({part.name: part.weight for part in parts})
