"""Weights by what each task leaves unexplained.  L = sum_k w_k (c_k exp(-s_k) L_k + s_k / 2),  s_k = log sigma_k^2.

Kendall, Gal and Cipolla 2018, "Multi-Task Learning Using Uncertainty to Weigh Losses", equations 7 and 10: c is 1/2 for
numbers (a Gaussian's squares) and 1 for everything else (a softmax with a temperature). s_k starts at 0 and learns with the
model; at rest c_k exp(-s_k) L_k = 1/2, so that every task has the same part in the loss however large its own is.

What differs: s_k learns by an Adam of its own with `rate`, from the loss that the step has reported. Its gradient is
w_k (1/2 - c_k exp(-s_k) L_k) and needs no more than that; among the model's parameters it would move by the model's
rate, which is too slow for a fine-tuning, and enter the norm that gradients are clipped by. A task that a step holds
no example of keeps its s_k. Cost: nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Gt

from tunewright.core.registry import register
from tunewright.mixing.adam import Adam
from tunewright.mixing.protocol import Part


@register("weighting", "uncertainty")
@dataclass(frozen=True)
class Uncertainty:
    """`rate`: how fast the log-variances learn."""

    rate: Annotated[float, Gt(0)] = 0.02

    def bind(self, parts: Sequence[Part]) -> _Uncertainty:
        return _Uncertainty(self.rate, parts)


class _Uncertainty:
    needs_norms = False

    def __init__(self, rate: float, parts: Sequence[Part]) -> None:
        self.parts = {part.name: part for part in parts}
        self.variances = {part.name: 0.0 for part in parts}
        self.adam = Adam(rate)

    def _precision(self, task: str) -> float:
        return (0.5 if self.parts[task].fits == "numbers" else 1.0) * math.exp(-self.variances[task])

    def factor(self, task: str) -> float:
        return self.parts[task].weight * self._precision(task)

    def cost(self, task: str) -> float:
        return self.parts[task].weight * self.variances[task] / 2

    def observe(self, losses: Mapping[str, float], norms: Mapping[str, float]) -> None:
        self.adam.step(
            self.variances, {k: self.parts[k].weight * (0.5 - self._precision(k) * loss) for k, loss in losses.items()}
        )

    def state(self) -> dict[str, Any]:
        return {"log_variances": dict(self.variances), "adam": self.adam.state()}

    def load(self, state: Mapping[str, Any]) -> None:
        self.variances = {k: float(x) for k, x in state["log_variances"].items()}
        self.adam.load(state["adam"])
