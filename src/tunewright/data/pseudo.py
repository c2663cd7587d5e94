"""Labels for unlabelled rows by the probe, where it has been right often enough, and what they are worth.

1. Out-of-sample probabilities of the labelled rows, calibrated by one temperature (`suspects.stacking`).
2. For each class the least confidence at which the rows that are foretold it are right in the wanted share; at least 20 such
   rows. A class that never gets there labels nothing.
3. The trial: in each fold the probe learns from the other folds alone, and from these with the unlabelled rows which it then
   labels itself; both tell the fold's labels. The gain is the difference of their accuracies, paired by row, with a normal
   95% interval. What is not above 0 does not pay.

Lee 2013, "Pseudo-Label", with thresholds by class as in Zhang et al. 2021, "FlexMatch", but by measured precision. Cost: three
times five fits of the probe. Axes: N labelled rows, U unlabelled, C classes, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.data.labels.intervals import Figure, refused, wilson
from tunewright.data.probe import Floats, Ints, cross_validated, fitted, probabilities
from tunewright.data.suspects.stacking import stacked

LEAST = 20
SHOWN = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class Level:
    """Among rows that are at least this confident: how many are right, and what share of all rows they are."""

    threshold: float
    rows: int
    precision: Figure
    coverage: Figure

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"threshold": self.threshold, "rows": self.rows, "precision": self.precision.as_json(),
                "coverage": self.coverage.as_json()}  # fmt: skip


def levels(p: Floats, given: Ints) -> list[Level]:
    """Precision and coverage by threshold of probabilities (N, C) on rows whose labels are known."""
    said, sure = p.argmax(axis=1), p.max(axis=1)
    out = []
    for threshold in SHOWN:
        taken = sure >= threshold
        n = int(taken.sum())
        right = int((said[taken] == given[taken]).sum())
        out.append(Level(threshold, n, wilson(right, n) if n else refused("no row is so sure"), wilson(n, len(given))))
    return out


def thresholds(p: Floats, given: Ints, wanted: float) -> Floats:
    """(C,) the least confidence at which a class is right in the `wanted` share of rows; infinite where it never is."""
    said, sure = p.argmax(axis=1), p.max(axis=1)
    out = np.full(p.shape[1], np.inf)
    for k in range(p.shape[1]):
        own = np.flatnonzero(said == k)
        own = own[np.argsort(-sure[own], kind="stable")]
        share = np.cumsum(given[own] == k) / np.arange(1, len(own) + 1)
        enough = np.flatnonzero((share >= wanted) & (np.arange(1, len(own) + 1) >= LEAST))
        if len(enough):
            out[k] = sure[own[enough[-1]]]
    return out


def warmed(p: Floats, power: float) -> Floats:
    """Probabilities at another temperature: proportional to p^power."""
    raised = p**power
    out: Floats = raised / raised.sum(axis=1, keepdims=True)
    return out


@dataclass(frozen=True)
class Told:
    """Probabilities (U, C) of the unlabelled rows, calibrated; which are `taken` (U,); each class's threshold (C,)."""

    probabilities: Floats
    taken: NDArray[np.bool_]
    thresholds: Floats
    levels: list[Level]


def told(known: Any, given: Ints, unknown: Any, classes: int, folds: Ints, wanted: float) -> Told:
    """Labels for rows by their features: `known` (N, D) with `given` (N,), `unknown` (U, D)."""
    out_of_sample = cross_validated(known, given, classes, folds)
    log_p, power = stacked([out_of_sample], given)
    least = thresholds(np.exp(log_p), given, wanted)
    p = warmed(probabilities(fitted(known, given), unknown, classes), float(power[0]))
    return Told(p, p.max(axis=1) >= least[p.argmax(axis=1)], least, levels(np.exp(log_p), given))


def trial(
    known: Any, given: Ints, unknown: Any, classes: int, folds: Ints, *, wanted: float, weight: float, most: int | None
) -> Figure:
    """The gain in accuracy of the probe by pseudo-labels, paired by row, with its 95% interval; or why there is none."""
    gains = np.zeros(len(given))
    added = 0
    for fold in np.unique(folds):
        learnt, asked = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        made = told(known[learnt], given[learnt], unknown, classes, folds[learnt], wanted)
        taken = chosen(made, most)
        if not len(taken):
            continue
        added += len(taken)
        labels = made.probabilities[taken].argmax(axis=1)
        both = _joined(known[learnt], unknown[taken])
        weights = np.r_[np.ones(len(learnt)), np.full(len(taken), weight)]
        plain = probabilities(fitted(known[learnt], given[learnt]), known[asked], classes).argmax(axis=1)
        more = probabilities(fitted(both, np.r_[given[learnt], labels], weights), known[asked], classes).argmax(axis=1)
        gains[asked] = (more == given[asked]).astype(float) - (plain == given[asked])
    if not added:
        return refused("no class reaches the wanted share")
    half = 1.96 * float(gains.std(ddof=1)) / len(gains) ** 0.5
    mean = float(gains.mean())
    return Figure(mean, mean - half, mean + half)


def chosen(made: Told, most: int | None) -> Ints:
    """The places of the rows that are labelled, the surest first, `most` at most."""
    taken = np.flatnonzero(made.taken)
    order: Ints = taken[np.argsort(-made.probabilities[taken].max(axis=1), kind="stable")]
    return order if most is None else order[:most]


def _joined(a: Any, b: Any) -> Any:
    if hasattr(a, "tocsr"):
        from scipy.sparse import vstack

        return vstack([a, b]).tocsr()
    return np.vstack([a, b])
