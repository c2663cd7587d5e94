"""Each annotator against the others: agreement beyond chance, alpha without them, constant answers, speed, spammer score.

kappa_j = (A - E) / (1 - E) over the answers of j to items that others answered too: A how much of the others' answers agrees with
that of j, E how much would if j gave the same labels blindly. Both are weighted by how near labels are on a scale with an order.
Spammer score (0 is a spammer) of the confusion matrix a (C, C) of j in a Dawid-Skene model:
S = 1 / (C (C - 1)) sum_{c < c'} sum_k (a_ck - a_c'k)^2,  Raykar & Yu 2012, "Eliminating Spammers and Ranking Annotators for
Crowdsourced Labeling Tasks", section 3.

An annotator is suspected for a reason that is said, and never removed here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.data.labels.agreement.protocol import Coefficient
from tunewright.data.labels.intervals import Figure, bounded, refused, resamples
from tunewright.data.labels.speed import pace
from tunewright.data.labels.votes import Votes

Floats = NDArray[np.float64]

LEAST = 10
"""Answers shared with others below which nothing is said of an annotator."""
CONSTANT = 0.01
"""How likely, at most, so many answers of one label are by the others' shares on the same items."""
SPAMMER = 0.05
FAST = 1 / 3
"""Of the median annotator's pace."""


@dataclass(frozen=True)
class Annotator:
    """What is known of one. `alone` is alpha without their answers; `suspected` the reason codes, `shares` of each label."""

    name: str
    answers: int
    shared: int
    agreement: Figure
    kappa: Figure
    alone: Figure
    shares: Mapping[str, float] = field(default_factory=dict)
    score: float | None = None
    seconds: float | None = None
    suspected: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The annotator as plain values."""
        return {
            "annotator": self.name, "answers": self.answers, "shared": self.shared, "agreement": self.agreement.as_json(),
            "kappa": self.kappa.as_json(), "alpha_without": self.alone.as_json(), "shares": dict(self.shares),
            "spammer_score": self.score, "seconds": self.seconds, "suspected": list(self.suspected),
        }  # fmt: skip


def annotators(
    votes: Votes,
    coefficient: Coefficient,
    weights: Floats,
    seed: int,
    draws: int = 400,
    confusions: Floats | None = None,
) -> list[Annotator]:
    """Every annotator, those of the least agreement first.

    Args:
        weights: (C, C) how near labels are, 1 for the same.
        confusions: (J, C, C) of a Dawid-Skene model, where there is one.
    """
    counts = votes.counts()
    others = counts[votes.item]
    others[np.arange(len(votes)), votes.label] -= 1
    m = others.sum(1)
    others /= np.maximum(m, 1)[:, None]
    agreeing = (others * weights[votes.label]).sum(1)
    alone = _without(votes, coefficient, counts)
    seconds, typical = pace(votes)
    made = []
    for j, rows in enumerate(_rows_of(votes)):
        heard = rows[m[rows] > 0]
        agreement, kappa = _against(
            votes.label[heard], others[heard], agreeing[heard], weights, draws, (seed, votes.by[j])
        )
        score = None if confusions is None else spammer_score(confusions[j])
        own = Annotator(
            votes.by[j], len(rows), len(heard), agreement, kappa,
            Figure(float(alone[j])) if np.isfinite(alone[j]) else refused("nothing is left to compare"),
            _shares(votes, rows), score, None if np.isnan(seconds[j]) else float(seconds[j]),
        )  # fmt: skip
        made.append((own, _reasons(own, votes.label[heard], others[heard], typical)))
    kappas = [own.kappa.value for own, _ in made if own.kappa.value is not None]
    usual = float(np.median(kappas)) if kappas else 0.0
    found = [replace(own, suspected=_by_kappa(own, usual) + why) for own, why in made]
    return sorted(found, key=lambda a: (a.kappa.value is None, a.kappa.value or 0.0, a.name))


def spammer_score(confusion: Floats) -> float:
    """0 for one whose answer does not depend on what is asked, 1 for one who is always right."""
    c = len(confusion)
    if c < 2:
        return 0.0
    apart = ((confusion[:, None] - confusion[None]) ** 2).sum(-1)
    return float(np.triu(apart, 1).sum() / (c * (c - 1)))


def _rows_of(votes: Votes) -> list[NDArray[np.int64]]:
    order = np.argsort(votes.who, kind="stable")
    return np.split(order, np.cumsum(votes.per_annotator())[:-1])


def _shares(votes: Votes, rows: NDArray[np.int64]) -> dict[str, float]:
    shares = np.bincount(votes.label[rows], minlength=len(votes.labels)) / max(len(rows), 1)
    return {name: round(float(x), 6) for name, x in zip(votes.labels, shares, strict=True) if x}


def _against(
    labels: NDArray[np.int64], others: Floats, agreeing: Floats, weights: Floats, draws: int, parts: tuple[int, str]
) -> tuple[Figure, Figure]:
    """Agreement and kappa of one annotator's answers (n,) with the others' shares (n, C), over resamples of the items."""
    n, c = others.shape
    if n < LEAST:
        why = refused(f"{n} answers to items that others answered; {LEAST} are needed")
        return why, why
    sums = np.column_stack((agreeing, np.eye(c)[labels], others))

    def both(of: Floats) -> tuple[Floats, Floats]:
        share = of / n
        chance = np.einsum("rc,ck,rk->r", share[:, 1 : 1 + c], weights, share[:, 1 + c :])
        return share[:, 0], np.where(chance < 1 - 1e-12, (share[:, 0] - chance) / np.maximum(1 - chance, 1e-12), np.nan)

    value = [float(x[0]) for x in both(sums.sum(0)[None])]
    made = [both(drawn @ sums) for drawn in resamples(n, draws, *parts, "annotator")]
    none = [(np.zeros(0), np.zeros(0))]
    agreement, kappa = (bounded(value[i], np.concatenate([one[i] for one in made or none])) for i in (0, 1))
    return agreement, kappa if np.isfinite(value[1]) else refused("everyone gave the same label")


def _without(votes: Votes, coefficient: Coefficient, counts: Floats) -> Floats:
    """(J,) the coefficient without each annotator."""
    before = coefficient.parts(counts)
    total = before.sum(0)
    sums = []
    for rows in _rows_of(votes):
        items = votes.item[rows]
        left = counts[items]
        left[np.arange(len(rows)), votes.label[rows]] -= 1
        sums.append(total - before[items].sum(0) + coefficient.parts(left).sum(0))
    return coefficient.of(np.array(sums))


def _by_kappa(own: Annotator, usual: float) -> tuple[str, ...]:
    """Suspected is an interval that reaches chance and does not reach the median annotator: few answers alone are no reason."""
    low, high = own.kappa.low, own.kappa.high
    return ("no_better_than_chance",) if low is not None and high is not None and low <= 0 and high < usual else ()


def _reasons(own: Annotator, labels: NDArray[np.int64], others: Floats, typical: float | None) -> tuple[str, ...]:
    """Why one is suspected, other than by kappa."""
    why = []
    if len(labels) >= LEAST:
        if len(set(labels.tolist())) == 1:
            chance = np.log(np.maximum(others[:, labels[0]], 1e-12)).sum()
            if chance < math.log(CONSTANT):
                why.append("constant_answers")
        if own.score is not None and own.score < SPAMMER:
            why.append("spammer_score")
    if own.seconds is not None and typical and own.answers >= LEAST and own.seconds < FAST * typical:
        why.append("too_fast")
    return tuple(why)


def reasons_in_words(codes: Sequence[str]) -> str:
    """The reason codes as people say them."""
    words = {
        "constant_answers": "always the same label, where others differ",
        "no_better_than_chance": "agrees no better than chance",
        "spammer_score": "answers hardly depend on what is asked",
        "too_fast": "a third of the usual time, or less",
    }
    return "; ".join(words[code] for code in codes)
