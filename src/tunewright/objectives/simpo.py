"""Simple preference optimisation: the chosen reply's mean log-probability leads by a margin; no reference model.

l = -log s( b (m_chosen - m_rejected) - g ),  m = 1/|y| log p(y | x), s the logistic function.
Meng et al. 2024, "SimPO: Simple Preference Optimization with a Reference-Free Reward", equation 6.

Unit: pair. Cost: one forward pass over both replies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch.nn.functional as F
from annotated_types import Ge, Gt

from tunewright.core.registry import register
from tunewright.core.tensors import At, Batch, Fits, Forward, Term
from tunewright.objectives.preferences import Pairs, of_examples, watched


@register("objective", "simpo")
@dataclass(frozen=True)
class SimPo:
    """`beta`: scale of the reward. `gamma`: the lead that is asked for, in units of the reward."""

    fits: ClassVar[tuple[Fits, ...]] = ("pairs",)
    beta: Annotated[float, Gt(0)] = 2.0
    gamma: Annotated[float, Ge(0)] = 1.0

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        means = Pairs.of(forward, batch).per_token()
        margins = self.beta * (means.chosen - means.rejected)
        losses = -F.logsigmoid(margins - self.gamma)
        return (of_examples("simpo", losses, batch, "pair"), *watched(batch, "pair", margins))
