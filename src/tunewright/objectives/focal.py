"""Focal loss: cross-entropy that counts what is already right for less.

l_u = w[y_u] (1 - p[y_u])^gamma (-log p[y_u]).  Lin et al. 2017, "Focal Loss for Dense Object Detection". A target that is
not sure, q (C,), costs what its classes do on average: sum_c q_c l(c).

What differs from the paper: softmax over classes in place of independent sigmoids, as its users in text
classification do. gamma 0 is cross-entropy. Cost: one forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from annotated_types import Ge

from tunewright.core.registry import register
from tunewright.core.tensors import At, Batch, Facts, Fits, Forward, Term, summed
from tunewright.objectives.class_weights import ClassWeights, resolve


@register("objective", "focal")
@dataclass(frozen=True)
class Focal:
    """`gamma` of 0 or more; `class_weights` (alpha in the paper): "balanced", a weight by label, or None."""

    fits: ClassVar[tuple[Fits, ...]] = ("classes", "tokens")
    soft: ClassVar[bool] = True
    gamma: Annotated[float, Ge(0)] = 2.0
    class_weights: ClassWeights = None

    def prepare(self, facts: Facts) -> Focal:
        """The same objective with its class weights as numbers."""
        return replace(self, class_weights=resolve(self.class_weights, facts))

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        unsure = batch.targets.is_floating_point()
        if batch.unit == "token" and not unsure:
            log_p = -forward.losses(batch)
        else:
            log_p = F.log_softmax(forward(batch), -1)
            log_p = log_p if unsure else log_p.gather(-1, batch.targets[:, None])[:, 0]
        # expm1 keeps 1 - p exact where p is near 1, so that the power has no NaN gradient
        losses = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny) ** self.gamma * -log_p
        if self.class_weights is not None:
            weights = losses.new_tensor(self.class_weights)
            losses = losses * (weights if unsure else weights[batch.targets])
        if unsure:
            losses = (losses * batch.targets.to(losses)).sum(-1)
        return (summed("focal", losses, batch),)
