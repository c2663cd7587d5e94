"""64-bit hashes of stretches of a code point array, all at once.

A stretch from s to e hashes to `mix(B^-s * sum_{s <= i < e} (c_i + 1) B^i + (e - s))` modulo 2^64, B odd: one prefix sum
serves every stretch, however long, with no loop. Not made to withstand somebody who looks for collisions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)


class _Powers:
    """Powers of the base and of its inverse, as many as were ever needed."""

    def __init__(self) -> None:
        self.up = self.down = np.ones(1, np.uint64)

    def first(self, count: int) -> tuple[U64, U64]:
        if len(self.up) < count:
            size = 1 << (count - 1).bit_length()
            self.up, self.down = (_powers(base, size) for base in (_BASE, _INVERSE))
        return self.up[:count], self.down[:count]


def _powers(base: int, size: int) -> U64:
    factors = np.full(size, base, np.uint64)
    factors[0] = 1
    return np.cumprod(factors)


_POWERS = _Powers()


def mix(x: U64) -> U64:
    """A bijection that spreads every bit over all (the finaliser of splitmix64)."""
    x = x ^ (x >> np.uint64(30))
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


class Sums:
    """The prefix sums of code points, of which the hash of every stretch can be had."""

    def __init__(self, codes: NDArray[np.uint32]) -> None:
        up, self._down = _POWERS.first(len(codes) + 1)
        self._sums = np.zeros(len(codes) + 1, np.uint64)
        terms = codes.astype(np.uint64)
        terms += np.uint64(1)
        terms *= up[:-1]
        np.cumsum(terms, out=self._sums[1:])

    def stretches(self, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> U64:
        """The hash of codes[start:end] for each start and end."""
        return mix((self._sums[ends] - self._sums[starts]) * self._down[starts] + (ends - starts).astype(np.uint64))


def windows(codes: NDArray[np.uint32], width: int) -> U64:
    """The hash of codes[i:i+width] for every i that has as many after it."""
    count = max(len(codes) - width + 1, 0)
    total = np.zeros(count, np.uint64)
    for i in range(width):
        total *= np.uint64(_BASE)
        total += codes[i : i + count]
    return mix(total)


def ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers start, start + 1, ... of each range, one range after the other."""
    total = int(counts.sum())
    before = np.cumsum(counts) - counts
    return np.asarray(np.arange(total, dtype=np.int64) + np.repeat(starts - before, counts), dtype=np.int64)
