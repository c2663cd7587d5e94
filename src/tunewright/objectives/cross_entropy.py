"""Cross-entropy with label smoothing and class weights.

For scores z (U, C) and targets y (U,):  l_u = w[y_u] (-log p[y_u]) (1 - s) + s / C sum_c w_c (-log p_c),
with p = softmax(z), as torch.nn.CrossEntropyLoss(label_smoothing=s, weight=w) has it before its reduction. A target that is
not sure, q (C,), costs what its classes do on average, sum_c q_c l(c); its gradient is that of KL(q || p), from which it
differs by q's entropy.
Label smoothing: Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7.

What differs: torch's mean divides by the sum of the weights of the targets that happen to be in the batch, which
changes with the batch; here the loop divides by the number of units. Cost: one forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch.nn.functional as F
from annotated_types import Ge, Lt

from tunewright.core.registry import register
from tunewright.core.tensors import At, Batch, Facts, Fits, Forward, Term, summed
from tunewright.objectives.class_weights import ClassWeights, resolve


@register("objective", "cross_entropy")
@dataclass(frozen=True)
class CrossEntropy:
    """`smoothing` in [0, 1); `class_weights`: "balanced", "effective", a weight by label, or None."""

    fits: ClassVar[tuple[Fits, ...]] = ("classes", "tokens")
    soft: ClassVar[bool] = True
    smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0
    class_weights: ClassWeights = None

    def prepare(self, facts: Facts) -> CrossEntropy:
        """The same objective with its class weights as numbers."""
        return replace(self, class_weights=resolve(self.class_weights, facts))

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        unsure = batch.targets.is_floating_point()
        if batch.unit == "token" and self.class_weights is None and not unsure:
            return (summed("cross_entropy", forward.losses(batch, smoothing=self.smoothing), batch),)
        scores = forward(batch)
        weight = None if self.class_weights is None else scores.new_tensor(self.class_weights)
        targets = batch.targets.to(scores.dtype) if unsure else batch.targets
        losses = F.cross_entropy(scores, targets, weight=weight, label_smoothing=self.smoothing, reduction="none")
        return (summed("cross_entropy", losses, batch),)
