"""Absolute error: the median is its best answer, and outliers count for less.

l_u = 1/K sum_k |e_k|.
e = (score - target) / scale over K targets; scores and targets are in the targets' own units, and `scale` is each
target's standard deviation in training unless the recipe says otherwise, so that a rate does not depend on the unit.
Cost: one forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from tunewright.core.registry import register
from tunewright.core.tensors import At, Batch, Facts, Fits, Forward, Term, summed
from tunewright.objectives.scale import Scale, errors, resolve


@register("objective", "mae")
@dataclass(frozen=True)
class Mae:
    """`scale`: "spread", "none", or a number above 0 for each target."""

    fits: ClassVar[tuple[Fits, ...]] = ("numbers",)
    scale: Scale = "spread"

    def prepare(self, facts: Facts) -> Mae:
        """The same objective with its scale as numbers."""
        return replace(self, scale=resolve(self.scale, facts))

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        e = errors(forward(batch), batch, self.scale)
        return (summed("mae", e.abs().mean(-1), batch),)
