"""Groups that grow together: the root of every item, all at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Unions:
    """`roots (N,)` is the smallest item of each item's group."""

    def __init__(self, count: int) -> None:
        self.roots: NDArray[np.int64] = np.arange(count, dtype=np.int64)

    def unite(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> None:
        """Join the groups of each pair."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        if not len(left):
            return
        old, edge = np.unique(np.concatenate((self.roots[left], self.roots[right])), return_inverse=True)
        half = len(left)
        graph = coo_array((np.ones(half, np.bool_), (edge[:half], edge[half:])), shape=(len(old), len(old)))
        _, group = connected_components(graph, directed=False)
        least = np.full(int(group.max()) + 1, len(self.roots), np.int64)
        np.minimum.at(least, group, old)
        new = np.arange(len(self.roots), dtype=np.int64)
        new[old] = least[group]
        self.roots = new[self.roots]
