"""Pairs to verify among sets that share a band's key, without ever taking all pairs of a large bucket.

Of a bucket of up to 16 all pairs are looked at that are not yet in one group. In a larger one the first set that stood
alone so far is held against all others, again and again, up to 32 times; a set that has joined a group is not asked
again. So a template sent a thousand times costs a thousand comparisons, and a bucket of strangers 32 a set.
Sets come in the order of their contents' hashes: which pairs are looked at does not depend on the order of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_SMALL = 16
_ROUNDS = 32


def buckets(keys: NDArray[np.uint32]) -> tuple[Ints, Ints]:
    """Items that share their key with another, bucket by bucket, each ascending; and where each bucket starts, with the
    end of the last.
    """  # fmt: skip
    joined = (keys.astype(np.uint64) << np.uint64(32)) | np.arange(len(keys), dtype=np.uint64)
    joined.sort()
    high = joined >> np.uint64(32)
    same = high[1:] == high[:-1]
    shared = np.zeros(len(keys), np.bool_)
    shared[1:] |= same
    shared[:-1] |= same
    items = (joined[shared] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    high = high[shared]
    begins = np.flatnonzero(np.concatenate((np.ones(min(len(high), 1), np.bool_), high[1:] != high[:-1])))
    return items, np.concatenate((begins, [len(items)])).astype(np.int64)


def rounds(items: Ints, bounds: Ints, root: Callable[[], Ints]) -> Iterator[tuple[Ints, Ints]]:
    """Rounds of pairs (left, right) of items; between them the caller unites those that proved near.

    Args:
        items: as `buckets` gives them.
        bounds: the same.
        root: the current group of every item in existence.
    """
    sizes = np.diff(bounds)
    bucket = np.repeat(np.arange(len(sizes)), sizes)
    yield _apart(items[bounds[:-1]][bucket], items, root())
    small = sizes <= _SMALL
    for size in range(3, _SMALL + 1):
        starts = bounds[:-1][small & (sizes == size)]
        if len(starts):
            one, other = np.triu_indices(size, 1)
            yield _apart(items[(starts[:, None] + one).ravel()], items[(starts[:, None] + other).ravel()], root())
    alive = ~small[bucket]
    for _ in range(_ROUNDS):
        if not alive.any():
            return
        left = np.flatnonzero(alive)
        _, first, of_bucket = np.unique(bucket[left], return_index=True, return_inverse=True)
        leader = items[left[first]][of_bucket]
        yield _apart(leader, items[left], root())
        now = root()
        alive[left] = now[items[left]] != now[leader]


def _apart(left: Ints, right: Ints, root: Ints) -> tuple[Ints, Ints]:
    differ = root[left] != root[right]
    return left[differ], right[differ]
