"""MinHash signatures and their bands, for whole batches in NumPy.

Broder 1997, "On the resemblance and containment of documents": the smallest of a set's hashes under a random function
is the smallest of another's with the probability of their Jaccard coefficient. Leskovec, Rajaraman and Ullman, "Mining
of Massive Datasets", chapter 3: with b bands of r such numbers a pair shares a band with probability 1 - (1 - J^r)^b.

r is the greatest with which 128 numbers suffice for a recall of 0.995 at the threshold itself, but no more than 5 (at 0.8
that is 14 bands of 5: 70 numbers); pairs above the threshold are found more surely still. The usual choice weighs both
errors alike and misses half of the pairs just above the threshold; here false candidates cost a microsecond each,
since every pair is verified. The random functions are odd factors modulo 2^32 of hashes that are spread already.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tunewright.core.seeds import key
from tunewright.data.similarity.hashing import mix
from tunewright.data.similarity.shingles import Sets

RECALL = 0.995
_MOST = 128
_ROWS = 5
_LONG = 256
_BLOCK = 1 << 12


@dataclass(frozen=True)
class Banding:
    """`bands` bands of `rows` numbers each."""

    bands: int
    rows: int

    def recall(self, similarity: float) -> float:
        """The probability that a pair of this similarity shares a band."""
        return float(1 - (1 - similarity**self.rows) ** self.bands)


@cache
def banding(threshold: float) -> Banding:
    """The bands for a threshold."""
    for rows in range(_ROWS, 0, -1):
        share = min(threshold**rows, 1 - 1e-9)
        bands = math.ceil(math.log(1 - RECALL) / math.log(1 - share))
        if bands * rows <= _MOST:
            return Banding(bands, rows)
    return Banding(_MOST, 1)


@cache
def _factors(count: int) -> NDArray[np.uint32]:
    return np.array([key("minhash", i) & 0xFFFFFFFF | 1 for i in range(count)], np.uint32)


def signatures(sets: Sets, count: int) -> NDArray[np.uint32]:
    """(E, count) the least of each set's hashes under each of `count` functions."""
    factors, sizes = _factors(count), sets.sizes
    hashes = (sets.values >> np.uint64(12)).astype(np.uint32)
    order = np.argsort(-sizes, kind="stable")
    many = int(np.searchsorted(-sizes[order], -_LONG, side="right"))
    least = np.empty((len(sizes), count), np.uint32)
    for number in order[:many]:  # long texts: one at a time, in pieces
        least[number] = _least(hashes[sets.starts[number] : sets.starts[number + 1]], factors)
    for start in range(many, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        least[block] = _columns(hashes, sets.starts[block], sizes[block], factors)
    return least


def _least(hashes: NDArray[np.uint32], factors: NDArray[np.uint32]) -> NDArray[np.uint32]:
    pieces = [(hashes[i : i + 1024, None] * factors).min(axis=0) for i in range(0, len(hashes), 1024)]
    return np.asarray(np.min(pieces, axis=0), dtype=np.uint32)


def _columns(
    hashes: NDArray[np.uint32], starts: NDArray[np.int64], sizes: NDArray[np.int64], factors: NDArray[np.uint32]
) -> NDArray[np.uint32]:
    """Sets of falling sizes, place by place: at place j the first of them have a shingle left."""
    least = hashes[starts, None] * factors
    product = np.empty_like(least)
    left = len(sizes) - np.searchsorted(sizes[::-1], np.arange(1, int(sizes[0])), side="right")
    for j, n in enumerate(left.tolist(), start=1):
        np.multiply(hashes[starts[:n] + j, None], factors, out=product[:n])
        np.minimum(least[:n], product[:n], out=least[:n])
    return least


def band_keys(sets: Sets, shape: Banding) -> NDArray[np.uint32]:
    """(E, bands) a key of 32 bits for each set and band: equal keys make candidates, which are verified."""
    least = signatures(sets, shape.bands * shape.rows).reshape(-1, shape.bands, shape.rows)
    keys = np.zeros(least.shape[:2], np.uint64)
    for row in range(shape.rows):
        keys *= np.uint64(0x9E3779B97F4A7C15)
        keys += least[:, :, row]
    return (mix(keys) >> np.uint64(32)).astype(np.uint32)
