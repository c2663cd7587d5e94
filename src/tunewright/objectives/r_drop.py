"""R-Drop: two passes with different dropout are to say the same.

l = 1/2 (l_1 + l_2) + w/2 (KL(p_1 || p_2) + KL(p_2 || p_1)), l_1 and l_2 the inner objective's under two draws of dropout.
Liang et al. 2021, "R-Drop: Regularized Dropout for Neural Networks".

What differs from the paper's text: the mean of the two losses in place of their sum, as in the authors' code, so that w is
their alpha. The draws are keyed by example. Without dropout in the model it is the inner objective. Unit: the batch's.
Cost: two forward passes; scores in chunks, made twice for a large vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from tunewright.core.registry import component, register
from tunewright.core.tensors import At, Batch, Fits, Forward, Term, summed
from tunewright.objectives.chunks import parted, per_unit
from tunewright.objectives.cross_entropy import CrossEntropy
from tunewright.objectives.wrapping import Wrapping

SALT = 1


@register("objective", "r_drop")
@dataclass(frozen=True)
class RDrop(Wrapping):
    """`weight`: alpha in the paper."""

    fits: ClassVar[tuple[Fits, ...]] = ("classes", "tokens")
    soft: ClassVar[bool] = True
    inner: Any = component("objective", default=CrossEntropy())
    weight: Annotated[float, Ge(0)] = 1.0

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        other = batch.view(SALT)
        terms = [
            replace(term, scale=term.scale / 2)
            for view in (batch, other)
            for term in self.inner(forward, view, at)
        ]  # fmt: skip
        (mine, scoring), (yours, _) = parted(forward, batch), parted(forward, other)
        return (*terms, summed("r_drop", per_unit(disagreement, scoring, mine, yours), batch, self.weight))


def disagreement(scores: Tensor, others: Tensor) -> Tensor:
    """(u,) mean of the two divergences between the distributions of scores and others (u, C)."""
    log_p, log_q = (torch.log_softmax(s if s.dtype == torch.float64 else s.float(), -1) for s in (scores, others))
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1) / 2
