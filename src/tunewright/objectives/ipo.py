"""Identity preference optimisation: the gain is driven to a number, not to infinity.

r = log p(y | x) - log p_ref(y | x);  l = (r_chosen - r_rejected - 1 / (2 t))^2
Azar et al. 2024, "A General Theoretical Paradigm to Understand Learning from Human Preferences", equation 17, t its tau.

What differs from the paper's text: r is a mean over the reply's tokens unless `per_token` is off, as the authors' own
experiments and TRL have it; with sums the target would be out of reach of short replies and nothing for long ones.
Reads given["reference"] (S,). Unit: pair. Cost: one forward pass over both replies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt

from tunewright.core.registry import register
from tunewright.core.tensors import At, Batch, Fits, Forward, Term
from tunewright.objectives.preferences import Pairs, of_examples, reference, watched


@register("objective", "ipo")
@dataclass(frozen=True)
class Ipo:
    """`beta`: tau in the paper; the gain that is aimed at is 1 / (2 beta)."""

    fits: ClassVar[tuple[Fits, ...]] = ("pairs",)
    beta: Annotated[float, Gt(0)] = 0.1
    per_token: bool = True

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        policy = Pairs.of(forward, batch)
        ratios = policy.against(reference(batch, policy.chosen))
        if self.per_token:
            ratios = ratios.per_token()
        gains = ratios.chosen - ratios.rejected
        losses = (gains - 1 / (2 * self.beta)) ** 2
        return (of_examples("ipo", losses, batch, "pair"), *watched(batch, "pair", self.beta * gains))
