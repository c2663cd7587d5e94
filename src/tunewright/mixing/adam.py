"""Adam for a few plain numbers by name: Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization", algorithm 1.

A number that has no gradient in a step stays, and so do its moments, as PyTorch has it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """`moments` are, for each name, the two running means and the number of steps."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.moments: dict[str, list[float]] = {}

    def step(self, values: dict[str, float], gradients: Mapping[str, float]) -> None:
        """Moves `values` in place."""
        for name, g in gradients.items():
            m, v, n = self.moments.get(name, [0.0, 0.0, 0.0])
            m, v, n = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g * g, n + 1
            self.moments[name] = [m, v, n]
            values[name] -= self.rate * (m / (1 - BETA1**n)) / (math.sqrt(v / (1 - BETA2**n)) + EPSILON)

    def state(self) -> dict[str, Any]:
        return {name: list(moments) for name, moments in self.moments.items()}

    def load(self, state: Mapping[str, Any]) -> None:
        self.moments = {name: [float(x) for x in moments] for name, moments in state.items()}
