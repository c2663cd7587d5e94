"""Near copies between two sides, by words and by meaning: for each held-out text the nearest of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.data.similarity.clusters import Prints, batches, prints
from tunewright.data.similarity.hashing import ranges
from tunewright.data.similarity.shingles import jaccard, shingled

Ints = NDArray[np.int64]
_BUCKET = 64
_PAIRS = 1 << 11
_ROWS, _COLUMNS = 1024, 4096


@dataclass(frozen=True)
class Nearest:
    """For each held-out text the nearest other text that reaches the threshold (-1: none), and how near it is."""

    other: Ints
    near: NDArray[np.float64]


def taken(texts: Sequence[str], threshold: float) -> Prints | None:
    """The prints of all texts; None where there are none."""
    parts = [prints(batch, threshold) for batch in batches(texts)]
    return Prints.joined(parts) if parts else None


def nearest(
    held: Sequence[str],
    others: Sequence[str],
    threshold: float,
    known: tuple[Prints | None, Prints | None] | None = None,
) -> Nearest:
    """By words. Of a bucket in which many others are, 64 are looked at for each held-out text; bands make up for it.

    Args:
        held, others: the two sides.
        threshold: the least Jaccard coefficient.
        known: their prints at that threshold, where they were taken before.
    """
    left, right = known or (taken(held, threshold), taken(others, threshold))
    best = Nearest(np.full(len(held), -1, np.int64), np.zeros(len(held)))
    if left is None or right is None:
        return best
    pairs = _candidates(left, right)
    for start in range(0, pairs.shape[1], _PAIRS):
        one, other = pairs[:, start : start + _PAIRS]
        rows, places = left.owner[one], right.owner[other]
        found = _jaccard(held, others, rows, places, left.long[one], threshold)
        order = np.lexsort((places, -found, rows))
        first = order[np.unique(rows[order], return_index=True)[1]]
        better = first[(found[first] >= threshold - 1e-12) & (found[first] > best.near[rows[first]])]
        best.other[rows[better]], best.near[rows[better]] = places[better], found[better]
    return best


def _candidates(left: Prints, right: Prints) -> Ints:
    """(2, P) sets of both sides, of one kind, that share a band's key; in order."""
    found: list[NDArray[np.uint64]] = []
    for band in range(left.keys.shape[1]):
        order = np.argsort(right.keys[:, band], kind="stable")
        keys = right.keys[order, band]
        low = np.searchsorted(keys, left.keys[:, band], side="left")
        counts = np.minimum(np.searchsorted(keys, left.keys[:, band], side="right") - low, _BUCKET)
        one, other = np.repeat(np.arange(len(counts)), counts), order[ranges(low, counts)]
        same = left.long[one] == right.long[other]
        found.append((one[same].astype(np.uint64) << np.uint64(32)) | other[same].astype(np.uint64))
    pairs = np.unique(np.concatenate(found))
    return np.stack((pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF))).astype(np.int64)


def _jaccard(
    held: Sequence[str], others: Sequence[str], rows: Ints, places: Ints, long: NDArray[np.bool_], threshold: float
) -> NDArray[np.float64]:
    one, at = np.unique(rows, return_inverse=True)
    other, there = np.unique(places, return_inverse=True)
    sets = shingled([*(held[i] for i in one.tolist()), *(others[i] for i in other.tolist())], threshold)
    number = np.full((len(one) + len(other), 2), -1, np.int64)
    number[sets.owner, sets.long.astype(np.int64)] = np.arange(len(sets.owner))
    kind = long.astype(np.int64)
    return jaccard(sets, number[at, kind], number[there + len(one), kind])


def closest(held: NDArray[np.float32], others: NDArray[np.float32], threshold: float) -> Nearest:
    """By meaning: the greatest cosine of vectors of length one (N, D) and (M, D), exactly, in blocks."""
    best = Nearest(np.full(len(held), -1, np.int64), np.zeros(len(held)))
    for top in range(0, len(held), _ROWS):
        rows = slice(top, top + _ROWS)
        for start in range(0, len(others), _COLUMNS):
            cosines = held[rows] @ others[start : start + _COLUMNS].T
            most = cosines.argmax(1)
            value = cosines[np.arange(len(most)), most]
            better = np.flatnonzero((value >= threshold - 1e-6) & (value > best.near[rows]))
            best.other[top + better], best.near[top + better] = most[better] + start, value[better]
    return best
