"""Confidence penalty: distributions that leave no doubt cost.

l_u = log C - H(p_u) = KL(p_u || uniform), H the entropy of p_u = softmax(z_u), beside the inner objective's terms.
Pereyra et al. 2017, "Regularizing Neural Networks by Penalizing Confident Output Distributions".

What differs from the paper: the constant log C, so that the term is never below 0. Unit: the batch's. Cost: no further
forward pass; scores in chunks, made twice for a large vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from tunewright.core.registry import component, register
from tunewright.core.tensors import At, Batch, Fits, Forward, Term, summed
from tunewright.objectives.chunks import parted, per_unit
from tunewright.objectives.cross_entropy import CrossEntropy
from tunewright.objectives.wrapping import Wrapping


@register("objective", "confidence_penalty")
@dataclass(frozen=True)
class ConfidencePenalty(Wrapping):
    """`weight`: beta in the paper."""

    fits: ClassVar[tuple[Fits, ...]] = ("classes", "tokens")
    soft: ClassVar[bool] = True
    inner: Any = component("objective", default=CrossEntropy())
    weight: Annotated[float, Ge(0)] = 0.1

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        terms = self.inner(forward, batch, at)
        states, scoring = parted(forward, batch)
        return (*terms, summed("confidence_penalty", per_unit(confidence, scoring, states), batch, self.weight))


def confidence(scores: Tensor) -> Tensor:
    """(u,) KL of softmax(scores) (u, C) from the uniform distribution."""
    log_p = torch.log_softmax(scores if scores.dtype == torch.float64 else scores.float(), -1)
    return math.log(scores.shape[-1]) + (log_p.exp() * log_p).sum(-1)
