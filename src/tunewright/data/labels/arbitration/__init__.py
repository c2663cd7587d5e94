"""From several answers an item to one label with its probability; what cannot be decided goes to a queue for people.

| method | label | probability |
|---|---|---|
| majority | what most say; a tie is no label | its share of the votes |
| weighted | votes weighted by how reliable each annotator is (one number each) | of the model |
| dawid_skene | by each annotator's confusion matrix | of the model |
| median | the middle answer on a scale with an order | its share of the votes |
| mean | the mean of numbers | none: its spread stands beside it |
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import DataError, Problem, counted
from tunewright.data.labels.arbitration.central import central
from tunewright.data.labels.arbitration.dawid_skene import Model, dawid_skene
from tunewright.data.labels.arbitration.decision import Arbitrated, Decision, Held, Reliability
from tunewright.data.labels.intervals import wilson
from tunewright.data.labels.votes import Votes

__all__ = [
    "METHODS", "Arbitrated", "Decision", "Held", "Method", "Model", "Reliability", "arbitrate", "dawid_skene", "held",
]  # fmt: skip

Floats = NDArray[np.float64]
Method = Literal["majority", "dawid_skene", "weighted", "median", "mean"]
METHODS: tuple[Method, ...] = get_args(Method)
_EVEN = 1e-9
_SHOWN = 1e-4


def arbitrate(
    votes: Votes,
    method: Method = "dawid_skene",
    *,
    below: float = 0.0,
    spread_above: float | None = None,
    opinion: Mapping[str, Mapping[str, float]] | None = None,
    gold: Mapping[str, str] | None = None,
    smoothing: float = 1.0,
) -> Arbitrated:
    """A decision for every item.

    Args:
        below: items whose label is less probable than that go to the queue; ties always do.
        spread_above: items whose votes spread more than that go there too, on a scale with an order.
        opinion: a model's probabilities of the labels by item, from outside what it was trained on: a further vote.
        gold: the labels that people have settled, by item; they beat all.
        smoothing: of a model of annotators (`dawid_skene` says what it is).

    Raises:
        DataError: median or mean of labels without an order.
    """
    _suits(votes, method)
    said = None if not opinion else opinions(votes, opinion)
    places = {name: c for c, name in enumerate(votes.labels)}
    known = {i: places[gold[item]] for i, item in enumerate(votes.items) if gold and gold.get(item) in places}
    notes, model = [], None
    if method in ("dawid_skene", "weighted"):
        model = dawid_skene(votes, opinion=said, gold=known, tied=method == "weighted", smoothing=smoothing)
        soft, labels = model.posterior, _best(model.posterior)
        if not model.converged:
            notes.append(
                f"not converged after {model.iterations} iterations: a probability still moves by {model.change:.1g}"
            )
        if len(votes.by) < 3:
            notes.append(
                f"{counted(len(votes.by), 'annotator')}: who of two errs cannot be known; probabilities say little"
            )
    else:
        tally = votes.counts() + (0 if said is None else np.nan_to_num(said))
        soft = tally / np.maximum(tally.sum(1, keepdims=True), _EVEN)
        labels = _best(soft) if method == "majority" else central(votes, method == "mean")
    decisions = _decisions(votes, method, soft, labels, said, below, spread_above, gold or {})
    return Arbitrated(
        method, votes.labels, decisions, () if model is None else _reliable(votes, model),
        {} if model is None else dict(zip(votes.labels, map(float, model.prior), strict=True)),
        None if model is None else model.iterations, None if model is None else model.converged, tuple(notes),
    )  # fmt: skip


def _suits(votes: Votes, method: str) -> None:
    if method in ("median", "mean") and votes.level != ("interval" if method == "mean" else votes.level):
        raise DataError(
            Problem(where="arbitration", found=f"the mean of {votes.level} labels", allowed="numbers (level interval)",
                    to_do="choose median, majority or dawid_skene, or --level interval")
        )  # fmt: skip
    if method == "median" and votes.level == "nominal":
        raise DataError(
            Problem(where="arbitration", found="the median of labels without an order",
                    allowed="level ordinal or interval", to_do="choose majority or dawid_skene, or --level ordinal")
        )  # fmt: skip


def opinions(votes: Votes, opinion: Mapping[str, Mapping[str, float]]) -> Floats:
    """(N, C) the model's probabilities among the votes' labels, NaN where it has none."""
    made = np.full((len(votes.items), len(votes.labels)), np.nan)
    for i, item in enumerate(votes.items):
        if item in opinion:
            row = np.array([opinion[item].get(name, 0.0) for name in votes.labels])
            if row.sum() > 0:
                made[i] = row / row.sum()
    return made


def _best(soft: Floats) -> list[str | int | None]:
    """The place of the likeliest label; None where two are alike."""
    best = soft.argmax(1)
    tied = (soft >= soft.max(1, keepdims=True) - _EVEN).sum(1) > 1
    return [None if torn else int(c) for c, torn in zip(best, tied, strict=True)]


def _decisions(
    votes: Votes, method: str, soft: Floats, labels: Sequence[str | int | None], said: Floats | None, below: float,
    spread_above: float | None, gold: Mapping[str, str],
) -> tuple[Decision, ...]:  # fmt: skip
    counts, spreads = votes.counts().astype(np.int64), _spreads(votes)
    made = []
    for i, item in enumerate(votes.items):
        given = tuple((votes.labels[c], int(counts[i, c])) for c in np.flatnonzero(counts[i]))
        opinion = () if said is None or np.isnan(said[i]).any() else _named(votes, said[i])
        if item in gold:
            made.append(Decision(item, gold[item], 1.0, ((gold[item], 1.0),), given, "gold", "", spreads[i], opinion))
            continue
        found = labels[i]
        label = votes.labels[found] if isinstance(found, int) else found
        sure = float(soft[i, found]) if isinstance(found, int) else None if label is not None else float(soft[i].max())
        why = "tie" if label is None else "unsure" if sure is not None and sure < below else ""
        if not why and spread_above is not None and (spreads[i] or 0.0) > spread_above:
            why = "spread"
        made.append(Decision(item, label, sure, _named(votes, soft[i]), given, method, why, spreads[i], opinion))
    return tuple(made)


def _named(votes: Votes, row: Floats) -> tuple[tuple[str, float], ...]:
    """The labels that have any probability, the likeliest first."""
    order = np.argsort(-row, kind="stable")
    return tuple((votes.labels[c], round(float(row[c]), 6)) for c in order if row[c] >= _SHOWN)


def _spreads(votes: Votes) -> list[float | None]:
    """Each item's standard deviation of answers; None on a scale without an order."""
    if votes.level == "nominal":
        return [None] * len(votes.items)
    counts, v = votes.counts(), votes.values
    n = np.maximum(counts.sum(1), 1)
    mean = counts @ v / n
    squares = (counts * (v[None] - mean[:, None]) ** 2).sum(1)
    return [round(math.sqrt(max(float(x), 0.0)), 6) for x in squares / np.maximum(n - 1, 1)]


def _reliable(votes: Votes, model: Model) -> tuple[Reliability, ...]:
    """The annotators, the least reliable first."""
    from tunewright.data.labels.agreement.annotators import spammer_score

    answers = votes.per_annotator()
    made = [
        Reliability(
            name, int(answers[j]), float(model.accuracy[j]), spammer_score(model.confusions[j]),
            tuple(tuple(round(float(x), 6) for x in row) for row in model.confusions[j]),
        )
        for j, name in enumerate(votes.by)
    ]  # fmt: skip
    if model.opinion is not None:
        accuracy = float((model.prior * np.diag(model.opinion)).sum())
        confusion = tuple(tuple(round(float(x), 6) for x in row) for row in model.opinion)
        made.append(Reliability("(the model)", len(votes.items), accuracy, spammer_score(model.opinion), confusion))
    return tuple(sorted(made, key=lambda one: (one.accuracy, one.name)))


def held(found: Arbitrated, votes: Votes, truth: Mapping[str, str]) -> Held:
    """The decisions against the truth, beside the majority's.

    Raises:
        DataError: no item has a known label.
    """
    majority = {d.item: d.label for d in arbitrate(votes, "majority").decisions}
    items = [d for d in found.decisions if d.item in truth]
    if not items:
        raise DataError(
            Problem(where="truth", found="no item of the votes has a known label", allowed="the same names of items",
                    to_do="check the columns of the truth's file")
        )  # fmt: skip
    ours = [d.label == truth[d.item] for d in items]
    theirs = [majority[d.item] == truth[d.item] for d in items]
    gained = sum(a and not b for a, b in zip(ours, theirs, strict=True))
    lost = sum(b and not a for a, b in zip(ours, theirs, strict=True))
    n, least = gained + lost, min(gained, lost)
    p = min(1.0, 2 * sum(math.comb(n, k) for k in range(least + 1)) / 2**n) if n else 1.0
    return Held(len(items), wilson(sum(ours), len(items)), wilson(sum(theirs), len(items)), gained, lost, p)
