"""Focal loss: cross-entropy that counts what is already right for less.

l_u = w[y_u] (1 - p[y_u])^gamma (-log p[y_u]).  Lin et al. 2017, "Focal Loss for Dense Object Detection".

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
    gamma: Annotated[float, Ge(0)] = 2.0
    class_weights: ClassWeights = None

    def prepare(self, facts: Facts) -> Focal:
        """The same objective with its class weights as numbers."""
        return replace(self, class_weights=resolve(self.class_weights, facts))

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        if batch.unit == "token":
            log_p = -forward.losses(batch)
        else:
            log_p = F.log_softmax(forward(batch), -1).gather(-1, batch.targets[:, None])[:, 0]
        # expm1 keeps 1 - p exact where p is near 1, so that the power has no NaN gradient
        losses = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny) ** self.gamma * -log_p
        if self.class_weights is not None:
            losses = losses * losses.new_tensor(self.class_weights)[batch.targets]
        return (summed("focal", losses, batch),)
