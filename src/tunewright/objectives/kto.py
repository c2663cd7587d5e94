"""Kahneman-Tversky optimisation: replies that were found good or bad, one by one, without a pair.

r = log p(y | x) - log p_ref(y | x), summed over the reply's tokens
l = w_good (1 - s( b (r - z) ))  for a good reply,  w_bad (1 - s( b (z - r) ))  for a bad one, s the logistic function.
Ethayarajh et al. 2024, "KTO: Model Alignment as Prospect Theoretic Optimization", equation 8. Pairs are taken apart: the
chosen reply is a good one, the rejected a bad one, and a pair's loss is the mean of the two.

What differs from the paper: z, the point from which gains count, is there the mean of max(0, r) over replies y' of OTHER
rows of the same micro-batch, so the gradient depends on how a step is cut. Here z is a moving mean over the steps before
(from 0: at the start policy and reference are the same), read from the watched term "kl". It carries no gradient in the
paper either. What the mean is over:
- thumbs whose batch has two sides: side 1 is a reply of another row, chosen once by the data's keys, after this row's
  prompt. This is the paper's estimate. Its cost is a pass without a gradient over as many tokens again.
- thumbs with one side, and pairs: the mean of r over the replies themselves, as BCO has it (Jung et al. 2024, "Binary
  Classifier Optimization for Large Language Model Alignment"). It costs nothing, and is 0 at the start likewise; where
  good replies are rare it lies below the paper's.

Reads given["reference"] (S,) and, for thumbs, given["good"] (B,) of 0 and 1. Units: example for thumbs, pair for pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from tunewright.core.registry import register
from tunewright.core.tensors import At, Batch, Facts, Fits, Forward, Report, Term, Unit
from tunewright.objectives.preferences import log_probabilities, of_examples, one_side, reference, watched


@dataclass
class _Point:
    """The moving mean of the steps before."""

    value: float = 0.0


@register("objective", "kto")
@dataclass(frozen=True)
class Kto:
    """`good` and `bad`: factors of the two kinds, so that rare ones count for more. `memory`: of z, a share a step."""

    fits: ClassVar[tuple[Fits, ...]] = ("thumbs", "pairs")
    beta: Annotated[float, Gt(0)] = 0.1
    good: Annotated[float, Ge(0)] = 1.0
    bad: Annotated[float, Ge(0)] = 1.0
    memory: Annotated[float, Ge(0), Lt(1)] = 0.9
    _point: _Point = field(default_factory=_Point, init=False, repr=False, compare=False)

    def prepare(self, facts: Facts) -> Kto:
        """The same objective with a point of its own, at 0."""
        return replace(self)

    def observe(self, report: Report) -> None:
        """Moves the point by what a step has seen; called once, after it."""
        if "kl" in report.watched:
            self._point.value += (1 - self.memory) * (report.watched["kl"] - self._point.value)

    def state(self) -> dict[str, Any]:
        return {"point": self._point.value}

    def load(self, state: Mapping[str, Any]) -> None:
        self._point.value = float(state["point"])

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        if "good" in batch.given:
            return self._thumbs(forward, batch)
        if batch.sides != 2:
            raise ValueError("replies without a second one need given['good']")
        ratios = _ratios(forward, batch)
        good = ratios.new_ones(len(ratios))
        good[1::2] = 0
        pairs = self._losses(ratios, good).view(-1, 2)
        apart = ratios.detach().view(-1, 2)
        return self._terms(batch, "pair", pairs.mean(1), self.beta * (apart[:, 0] - apart[:, 1]), apart.mean(1))

    def _thumbs(self, forward: Forward, batch: Batch) -> tuple[Term, ...]:
        ratios = _ratios(forward, batch if batch.sides == 1 else one_side(batch, 0))
        seen = ratios.detach()
        if batch.sides == 2:
            with torch.no_grad():
                seen = _ratios(forward, one_side(batch, 1))
        good = batch.given["good"].to(ratios)
        margins = self.beta * ratios.detach() * (2 * good - 1)
        return self._terms(batch, "example", self._losses(ratios, good), margins, seen)

    def _losses(self, ratios: Tensor, good: Tensor) -> Tensor:
        gains = self.beta * (ratios - max(self._point.value, 0.0)) * (2 * good - 1)
        return (self.good * good + self.bad * (1 - good)) * torch.sigmoid(-gains)

    def _terms(self, batch: Batch, unit: Unit, losses: Tensor, margins: Tensor, seen: Tensor) -> tuple[Term, ...]:
        return (of_examples("kto", losses, batch, unit), *watched(batch, unit, margins, kl=seen))


def _ratios(forward: Forward, batch: Batch) -> Tensor:
    sums, _ = log_probabilities(forward, batch)
    return sums - reference(batch, sums)
