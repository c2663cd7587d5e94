"""Odds ratio preference optimisation: learns the chosen reply and, in the same breath, prefers it.

l = NLL(chosen) - w log s( log odds(chosen) - log odds(rejected) )
log odds(y) = m - log(1 - exp m),  m = 1/|y| log p(y | x), s the logistic function.
Hong et al. 2024, "ORPO: Monolithic Preference Optimization without Reference Model", equations 6 and 7; w its lambda.

Two terms, so two denominators: the first is a sum over the tokens of the chosen replies (unit "chosen"), the second over
pairs. What differs: TRL's first term also learns the prompt; here what is supervised is learnt. m is held at 1e-6 below 0,
where the odds would be infinite. No reference model. Cost: one forward pass over both replies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor

from tunewright.core.registry import register
from tunewright.core.tensors import At, Batch, Fits, Forward, Term
from tunewright.objectives.preferences import Pairs, of_examples, watched


@register("objective", "orpo")
@dataclass(frozen=True)
class Orpo:
    """`weight`: lambda in the paper, of the odds ratio beside the likelihood of the chosen reply."""

    fits: ClassVar[tuple[Fits, ...]] = ("pairs",)
    weight: Annotated[float, Ge(0)] = 0.1

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        sums = Pairs.of(forward, batch)
        means = sums.per_token()
        ratios = log_odds(means.chosen) - log_odds(means.rejected)
        learnt = of_examples("nll", -sums.chosen, batch, "chosen")
        assert learnt.rows is not None
        return (
            Term(learnt.name, learnt.total, learnt.unit, 1.0, learnt.rows / sums.chosen_tokens),
            of_examples("odds_ratio", -F.logsigmoid(ratios), batch, "pair", scale=self.weight),
            *watched(batch, "pair", self.weight * (means.chosen - means.rejected)),
        )


def log_odds(means: Tensor) -> Tensor:
    """log p - log(1 - p) of log p, exact near both ends."""
    means = means.clamp(max=-1e-6)
    small = means < -0.6931471805599453
    rest = torch.where(
        small,
        torch.log1p(-torch.where(small, means, -1.0).exp()),
        torch.log(-torch.expm1(torch.where(small, -1.0, means))),
    )
    return means - rest
