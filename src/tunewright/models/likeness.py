"""How alike two models are: what both say of the same examples, unit by unit.

Where scores are over a vocabulary, both models' are made a block of units at a time and compared at once: nothing of
size units x vocabulary is kept. Everything is compared in float64.

Axes: N examples, U supervised units, C classes, labels, tags or pieces, K targets, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tunewright.core.outcomes import Floats
from tunewright.encoding import Example
from tunewright.models.forward import ModelForward
from tunewright.models.scoring import BUDGET, laid, rewards, score
from tunewright.models.tagging import tag_scores

_BLOCK = 2**24
"""Scores that are compared at a time."""
Unit = Literal["example", "label", "number", "token", "reward"]


@dataclass(frozen=True)
class Likeness:
    """Two models beside each other.

    unit: what is compared. units: how many. largest: the largest difference, of log-probabilities in nats, or of
    numbers and rewards in units of spread. kl: mean KL divergence (first || second) in nats a unit; None for numbers
    and rewards. agreeing: units on which both decide alike, of `decided`; None where nothing is decided (numbers).
    """

    unit: Unit
    units: int
    largest: float
    kl: float | None
    agreeing: int | None
    decided: int

    @property
    def agreement(self) -> float | None:
        """The share of decisions on which both agree."""
        return None if self.agreeing is None or not self.decided else self.agreeing / self.decided


@dataclass(frozen=True)
class Side:
    """A model that is asked, and what is around it while it is (its adapter switched off, say)."""

    forward: ModelForward
    within: Callable[[], AbstractContextManager[object]] = nullcontext


def classes(first: Side, second: Side, examples: Sequence[Example]) -> Likeness:
    """One of several classes an example."""
    return _of(_divergence(_scores(first, examples), _scores(second, examples)), "example")


def tags(first: Side, second: Side, examples: Sequence[Example]) -> Likeness:
    """One of several tags at every supervised token."""

    def said(side: Side) -> Tensor:
        with side.within():
            found, _ = tag_scores(side.forward, examples)
        return torch.from_numpy(np.concatenate([rows for rows in found if len(rows)])).double()

    return _of(_divergence(said(first), said(second)), "token")


def label_sets(first: Side, second: Side, examples: Sequence[Example], thresholds: Sequence[float]) -> Likeness:
    """Each label's own probability; what is decided is an example's whole set. KL is of the sets: summed over labels."""
    a, b = _scores(first, examples), _scores(second, examples)
    log = torch.nn.functional.logsigmoid
    gaps = torch.stack([log(a) - log(b), log(-a) - log(-b)])  # (2, N, C)
    kl = (torch.sigmoid(a) * gaps[0] + torch.sigmoid(-a) * gaps[1]).sum(-1)
    least = torch.tensor(thresholds, dtype=torch.float64)
    same = ((torch.sigmoid(a) >= least) == (torch.sigmoid(b) >= least)).all(-1)
    return _of((gaps.abs().amax(0).amax(-1), kl, same), "label")


def numbers(first: Side, second: Side, examples: Sequence[Example], spread: Sequence[float]) -> Likeness:
    """Numbers, in units of each target's spread in training; nothing is decided."""
    gaps = (_scores(first, examples) - _scores(second, examples)).abs() / torch.tensor(spread, dtype=torch.float64)
    return Likeness("number", gaps.numel(), _largest(gaps), None, None, 0)


def preferred(first: Side, second: Side, examples: Sequence[Example]) -> Likeness:
    """Rewards of both sides, in units of the first model's spread; decided is which side is better."""

    def said(side: Side) -> Floats:
        with side.within():
            return rewards(side.forward, examples)[0]

    a, b = said(first), said(second)
    spread = float(a.std()) or 1.0
    same = (a[:, 0] > a[:, 1]) == (b[:, 0] > b[:, 1])
    return Likeness("reward", a.size, _largest(torch.from_numpy((a - b) / spread)), None, int(same.sum()), len(same))


def pieces(first: Side, second: Side, examples: Sequence[Example], budget: int = BUDGET) -> Likeness:
    """Pieces of a vocabulary at every supervised token."""
    units, largest, kl, agreeing = 0, 0.0, 0.0, 0
    for _, batch in laid(examples, budget):
        states = []
        for side in (first, second):
            with side.within(), side.forward.evaluating():
                states.append(side.forward.states(batch))
        size = len(states[0])
        step = max(1, _BLOCK // max(int(side.forward.inner.config.vocab_size), 1))
        for start in range(0, size, step):
            both = []
            for side, rows in zip((first, second), states, strict=True):
                with side.within(), side.forward.evaluating():
                    both.append(side.forward.scores(rows[start : start + step]).double().cpu())
            gap, divergence, same = _divergence(*both)
            largest, kl = max(largest, _largest(gap)), kl + float(divergence.sum())
            units, agreeing = units + len(same), agreeing + int(same.sum())
    return Likeness("token", units, largest, _clean(kl / max(units, 1)), agreeing, units)


def _scores(side: Side, examples: Sequence[Example]) -> Tensor:
    """(N, C) as they are."""
    with side.within():
        return torch.from_numpy(score(side.forward, examples, activation="none")[0])


def _divergence(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(U,) largest difference of log-probabilities, KL divergence, and whether the likeliest is the same; scores (U, C)."""
    p, q = torch.log_softmax(a, -1), torch.log_softmax(b, -1)
    gap = p - q
    return gap.abs().amax(-1), (p.exp() * gap).sum(-1), p.argmax(-1) == q.argmax(-1)


def _of(found: tuple[Tensor, Tensor, Tensor], unit: Unit) -> Likeness:
    gap, kl, same = found
    mean = float(kl.sum()) / max(len(kl), 1)
    return Likeness(unit, len(same), _largest(gap), _clean(mean), int(same.sum()), len(same))


def _largest(gaps: Tensor) -> float:
    """The largest, which is not a number as soon as one is none."""
    return float("nan") if not bool(torch.isfinite(gaps).all()) else float(gaps.abs().max()) if gaps.numel() else 0.0


def _clean(kl: float) -> float:
    """Rounding leaves -1e-17 where nothing differs."""
    return max(kl, 0.0) if np.isfinite(kl) else float("nan")
