"""Huber's error: squares near zero, absolute values beyond `delta`.

l_u = 1/K sum_k h(e_k), h(e) = e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2).
e = (score - target) / scale over K targets; scores and targets are in the targets' own units, and `scale` is each
target's standard deviation in training unless the recipe says otherwise, so that a rate does not depend on the unit.
Huber 1964, "Robust Estimation of a Location Parameter". Cost: one forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch.nn.functional as F
from annotated_types import Gt

from tunewright.core.registry import register
from tunewright.core.tensors import At, Batch, Facts, Fits, Forward, Term, summed
from tunewright.objectives.scale import Scale, errors, resolve


@register("objective", "huber")
@dataclass(frozen=True)
class Huber:
    """`scale`: "spread", "none", or a number above 0 for each target. `delta`: where squares end, in units of `scale`."""

    fits: ClassVar[tuple[Fits, ...]] = ("numbers",)
    scale: Scale = "spread"
    delta: Annotated[float, Gt(0)] = 1.0

    def prepare(self, facts: Facts) -> Huber:
        """The same objective with its scale as numbers."""
        return replace(self, scale=resolve(self.scale, facts))

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        e = errors(forward(batch), batch, self.scale)
        return (
            summed("huber", F.huber_loss(e, e.new_zeros(e.shape), reduction="none", delta=self.delta).mean(-1), batch),
        )
