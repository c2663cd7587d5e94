"""Which held-out texts share long runs of units with other texts: n-grams as in "Language Models are Few-Shot Learners".

Brown et al. 2020, appendix C, look for 13-grams of words. Here a unit is a word, or a character of a script without spaces
(`shingles`). n is 13, or the whole text where it has 8 to 12 units; shorter ones are compared whole elsewhere, since a run
that short is a phrase, not a leak. Unlike there, n does not follow the data's percentiles.

A run that more than 10 held-out texts share is a formula of their form and counts for nothing. The held-out side is the
index, the other is read by: memory is bounded by the held-out side. Cost: about 3 microseconds a text of 130 characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.data.similarity.clusters import batches
from tunewright.data.similarity.hashing import U64, mix, ranges
from tunewright.data.similarity.shingles import units_of

LENGTH, SHORTEST = 13, 8
_FORMULA = 10
Ints = NDArray[np.int64]
_NO_HITS = np.zeros((3, 0), np.int64)


@dataclass(frozen=True)
class Overlap:
    """For each held-out text the other text with which it shares most: `other (N,)` (-1: none), and `share (N,)` of its runs."""

    other: Ints
    share: NDArray[np.float64]


class _Index:
    """The runs of held-out texts, by length: ascending hashes, and the texts and places where each stands."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.lengths: dict[int, tuple[U64, Ints, Ints]] = {}
        units, owner = units_of(texts)
        sizes = np.bincount(owner, minlength=len(texts))
        self.runs = np.zeros(len(texts), np.int64)
        for length in range(SHORTEST, LENGTH + 1):
            hashes, at = _runs(units, owner, length)
            wanted = sizes[at] == length if length < LENGTH else np.ones(len(at), np.bool_)
            keys = np.unique(np.stack((hashes[wanted], at[wanted].astype(np.uint64))), axis=1)
            if not keys.shape[1]:
                continue
            _, back, counts = np.unique(keys[0], return_inverse=True, return_counts=True)
            usual = counts[back] <= _FORMULA
            self.lengths[length] = (keys[0, usual], keys[1, usual].astype(np.int64), np.flatnonzero(usual))
            np.add.at(self.runs, self.lengths[length][1], 1)


def _runs(units: U64, owner: Ints, length: int) -> tuple[U64, Ints]:
    """The hash of each run of so many units in one text, and that text."""
    count = max(len(units) - length + 1, 0)
    total = np.zeros(count, np.uint64)
    for i in range(length):
        total *= np.uint64(0x9E3779B97F4A7C15)
        total += units[i : i + count]
    whole = owner[:count] == owner[len(owner) - count :]
    return mix(total)[whole], owner[:count][whole]


def overlaps(held: Sequence[str], others: Sequence[str]) -> Overlap:
    """What each held-out text shares with the other texts at most; the first of them where several share as much."""
    index = _Index(held)
    best, found = np.full(len(held), -1, np.int64), np.zeros(len(held), np.int64)
    before = 0
    for batch in batches(others):
        units, owner = units_of(batch)
        pairs = np.concatenate(
            [_hits(*index.lengths[n], *_runs(units, owner, n)) for n in index.lengths] or [_NO_HITS], axis=1
        )
        one, other, counts = _counted(pairs)
        better = counts > found[one]
        found[one[better]], best[one[better]] = counts[better], other[better] + before
        before += len(batch)
    return Overlap(best, found / np.maximum(index.runs, 1))


def _hits(hashes: U64, texts: Ints, places: Ints, asked: U64, owner: Ints) -> Ints:
    """(3, H) held-out text, other text, and run, wherever a run asked for is in the index."""
    low = np.searchsorted(hashes, asked, side="left")
    counts = np.searchsorted(hashes, asked, side="right") - low
    hit = counts > 0
    at = ranges(low[hit], counts[hit])
    return np.stack((texts[at], np.repeat(owner[hit], counts[hit]), places[at]))


def _counted(pairs: Ints) -> tuple[Ints, Ints, Ints]:
    """Of each held-out text the other with most different runs in common, and how many."""
    pairs = np.unique(pairs, axis=1)
    both, counts = np.unique(pairs[:2], axis=1, return_counts=True)
    order = np.lexsort((both[1], -counts, both[0]))
    first = np.unique(both[0][order], return_index=True)[1]
    chosen = order[first]
    return both[0, chosen], both[1, chosen], counts[chosen]
