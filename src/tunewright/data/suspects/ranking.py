"""How suspect each given label is, by out-of-sample probabilities: the higher the more.

| method | score | paper |
|---|---|---|
| loss | -log p(given) | Northcutt 2021: "self-confidence" |
| margin | max over others of p - p(given) | Wei 2018; "normalized margin" |
| ratio | log of the likeliest other over p(given) | |
| confident | rows off the diagonal of the confident joint first, by margin | Northcutt 2021, equation 5 |
| stacked | -log p(given) after the probe's and the neighbours' opinions are made one | see `stacking`, `neighbours` |

`stacked` is the default: with the same out-of-sample probabilities it finds flipped labels of sst2 and banking77 better than
the others (`docs/benchmarks.md`); where neighbours tell nothing, as on waimai, it is about as good as `loss`. Axes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tunewright.data.probe import Floats, Ints, Judged
from tunewright.data.suspects.joint import confident_class
from tunewright.data.suspects.neighbours import votes
from tunewright.data.suspects.stacking import stacked

Method = Literal["stacked", "loss", "margin", "ratio", "confident"]
METHODS: tuple[Method, ...] = ("stacked", "loss", "margin", "ratio", "confident")
LEAST_ROWS = 5
"""Classes of fewer rows are not judged: no probe has learnt them."""


@dataclass(frozen=True)
class Ranked:
    """Rows from the most suspect on.

    order (N,) places; score (N,) by place, the higher the more suspect; suggested (N,) the likeliest class; likeliest (N,)
    its probability; own (N,) that of the given label; judged (N,) False for rows of classes too small to judge, which
    stand last. near (N,) is the share of the neighbours' votes for the suggested label; None where nobody was asked.
    """

    order: Ints
    score: Floats
    suggested: Ints
    likeliest: Floats
    own: Floats
    judged: Any
    near: Floats | None = None


def ranked(seen: Judged, *, method: Method = "stacked", features: Any = None, ties: Ints | None = None) -> Ranked:
    """Every row's place.

    Args:
        features: (N, D) rows of length one by which neighbours are found, for `stacked`; None asks none.
        ties: (N,) numbers by which equal scores are ordered and large sets sampled: hashes of the rows' content.
    """
    given, p = seen.given, seen.probabilities
    near = None
    if method == "stacked":
        opinions = [p]
        if features is not None:
            near = votes(features, given, p.shape[1], seen.folds, ties)
            opinions.append(near)
        log_p, _ = stacked(opinions, given)
        p, score = np.exp(log_p), -log_p[np.arange(len(given)), given]
    else:
        score = SCORES[method](given, p)
    counts = np.bincount(given, minlength=p.shape[1])
    known = counts[given] >= LEAST_ROWS
    suggested = p.argmax(axis=1).astype(np.int64)
    order = np.lexsort((np.arange(len(given)) if ties is None else ties, -score, ~known))
    rows = np.arange(len(given))
    near_of = None if near is None else near[rows, suggested]
    return Ranked(order, score, suggested, p[rows, suggested], p[rows, given], known, near_of)


def _own_and_other(given: Ints, p: Floats) -> tuple[Floats, Floats]:
    rows = np.arange(len(given))
    others = p.copy()
    others[rows, given] = -np.inf
    return p[rows, given], others.max(axis=1)


def _loss(given: Ints, p: Floats) -> Floats:
    out: Floats = -np.log(np.clip(_own_and_other(given, p)[0], 1e-12, 1.0))
    return out


def _margin(given: Ints, p: Floats) -> Floats:
    own, other = _own_and_other(given, p)
    out: Floats = other - own
    return out


def _ratio(given: Ints, p: Floats) -> Floats:
    own, other = _own_and_other(given, p)
    out: Floats = np.log(np.clip(other, 1e-12, 1)) - np.log(np.clip(own, 1e-12, 1))
    return out


def _confident(given: Ints, p: Floats) -> Floats:
    sure = confident_class(given, p)
    off = (sure >= 0) & (sure != given)
    out: Floats = _margin(given, p) + 2.0 * off
    return out


SCORES: dict[str, Callable[[Ints, Floats], Floats]] = {
    "loss": _loss,
    "margin": _margin,
    "ratio": _ratio,
    "confident": _confident,
}
