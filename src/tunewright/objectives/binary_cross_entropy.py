"""Binary cross-entropy over several labels: each label is a question of its own.

For scores z (U, C) and targets y (U, C) of 0 and 1:  l_u = 1/C sum_c w_c [ -y log s(z) - (1 - y) log (1 - s(z)) ],
with s the logistic function; the mean over labels, as torch.nn.BCEWithLogitsLoss has it for one unit, so that a rate
does not depend on how many labels there are. `smoothing` e moves targets to y (1 - e) + e / 2. Cost: one forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch.nn.functional as F
from annotated_types import Ge, Lt

from tunewright.core.registry import register
from tunewright.core.tensors import At, Batch, Facts, Fits, Forward, Term, summed
from tunewright.objectives.class_weights import ClassWeights, resolve


@register("objective", "binary_cross_entropy")
@dataclass(frozen=True)
class BinaryCrossEntropy:
    """`smoothing` in [0, 1); `label_weights`: "balanced", a weight by label, or None."""

    fits: ClassVar[tuple[Fits, ...]] = ("labels",)
    smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0
    label_weights: ClassWeights = None

    def prepare(self, facts: Facts) -> BinaryCrossEntropy:
        """The same objective with its weights as numbers."""
        return replace(self, label_weights=resolve(self.label_weights, facts, "objective.label_weights"))

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        scores = forward(batch)
        targets = batch.targets.reshape(scores.shape).to(scores.dtype)
        targets = targets * (1 - self.smoothing) + self.smoothing / 2
        weight = None if self.label_weights is None else scores.new_tensor(self.label_weights)
        losses = F.binary_cross_entropy_with_logits(scores, targets, weight=weight, reduction="none").mean(-1)
        return (summed("binary_cross_entropy", losses, batch),)
