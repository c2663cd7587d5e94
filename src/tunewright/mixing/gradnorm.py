"""Weights that make all tasks pull alike, and those that lag behind a little harder.

With G_k the norm of w_k L_k's gradient at the last weights that all tasks share, and r_k the task's L_k / L_k(0) divided by
the mean of these, each step makes sum_k |G_k - mean(G) r_k^asymmetry| smaller in the weights (mean(G) r_k^asymmetry held
fixed), and scales them back to their first sum. Chen et al. 2018, "GradNorm: Gradient Normalization for Adaptive Loss
Balancing in Deep Multitask Networks", algorithm 1.

What differs: L_k(0) is the loss of the first step that holds the task; tasks that a step does not hold are left out of its
means; the recipe's weights are where it starts. Norms are of a whole step's gradients, so they do not depend on its
micro-batches: as each of these is of one task, its gradient is read as it passes, and no further backward pass is needed.
Cost: a copy of one matrix's gradient a task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt

from tunewright.core.registry import register
from tunewright.mixing.adam import Adam
from tunewright.mixing.protocol import Part

LEAST = 1e-3
"""No weight falls below: a task of no weight has no gradient left to come back by."""


@register("weighting", "gradnorm")
@dataclass(frozen=True)
class GradNorm:
    """`asymmetry` (the paper's alpha): how much harder the slow tasks pull; 0: all alike. `rate`: of the weights."""

    asymmetry: Annotated[float, Ge(0)] = 1.5
    rate: Annotated[float, Gt(0)] = 0.025

    def bind(self, parts: Sequence[Part]) -> _GradNorm:
        return _GradNorm(self, parts)


class _GradNorm:
    needs_norms = True

    def __init__(self, options: GradNorm, parts: Sequence[Part]) -> None:
        self.options = options
        self.weights = {part.name: part.weight for part in parts}
        self.sum = sum(self.weights.values())
        self.first: dict[str, float] = {}
        self.adam = Adam(options.rate)

    def factor(self, task: str) -> float:
        return self.weights[task]

    def cost(self, task: str) -> float:
        return 0.0

    def observe(self, losses: Mapping[str, float], norms: Mapping[str, float]) -> None:
        for task, loss in losses.items():
            self.first.setdefault(task, loss)
        here = [task for task in losses if task in norms and self.first[task] > 0]
        if len(here) < 2:
            return
        pace = {task: losses[task] / self.first[task] for task in here}
        slowness, mean = sum(pace.values()) / len(here), sum(norms[task] for task in here) / len(here)
        if slowness <= 0:
            return
        goals = {task: mean * (pace[task] / slowness) ** self.options.asymmetry for task in here}
        signs = {task: (norms[task] > goals[task]) - (norms[task] < goals[task]) for task in here}
        self.adam.step(self.weights, {task: signs[task] * norms[task] / self.weights[task] for task in here})
        kept = {task: max(weight, LEAST) for task, weight in self.weights.items()}
        scale = self.sum / sum(kept.values())
        self.weights = {task: weight * scale for task, weight in kept.items()}

    def state(self) -> dict[str, Any]:
        return {"weights": dict(self.weights), "first": dict(self.first), "adam": self.adam.state()}

    def load(self, state: Mapping[str, Any]) -> None:
        self.weights = {k: float(x) for k, x in state["weights"].items()}
        self.first = {k: float(x) for k, x in state["first"].items()}
        self.adam.load(state["adam"])
