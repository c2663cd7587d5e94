"""Cohen's kappa of two annotators, plain or weighted by how far apart their labels are.

kappa = 1 - sum(W o) / sum(W e),  o (C, C) how often the first says c and the second k,  e what their margins give by chance;
W = [c != k], |v_c - v_k| (linear) or (v_c - v_k)^2 (quadratic). Cohen 1960, "A coefficient of agreement for nominal scales"; 1968,
"Weighted kappa". Of more than two annotators: the mean over pairs (Light 1971). Cost: O(V) and C^2 a pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tunewright.data.labels.agreement.protocol import ratio
from tunewright.data.labels.votes import Votes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Weights = Literal["none", "linear", "quadratic"]


@dataclass(frozen=True, eq=False)
class Cohen:
    """`counts` are here (N, C C): one where the first annotator said c and the second k, at c C + k."""

    values: Floats
    weights: Weights = "none"
    name: str = "cohen"

    def parts(self, counts: Floats) -> Floats:
        return counts

    def of(self, sums: Floats) -> Floats:
        c = len(self.values)
        o = sums.reshape(-1, c, c)
        apart = np.abs(self.values[:, None] - self.values[None])
        w = (
            (apart > 0).astype(np.float64)
            if self.weights == "none"
            else apart
            if self.weights == "linear"
            else apart**2
        )
        n = np.maximum(o.sum((1, 2)), 1)
        expected = np.einsum("rc,ck,rk->r", o.sum(2), w, o.sum(1)) / n
        found: Floats = 1 - ratio((o * w).sum((1, 2)), expected)
        return found


def shared_items(votes: Votes, first: int, second: int) -> tuple[Ints, Ints]:
    """The labels that two annotators gave the items that both have."""
    mine, yours = votes.who == first, votes.who == second
    _, a, b = np.intersect1d(votes.item[mine], votes.item[yours], return_indices=True)
    return votes.label[mine][a], votes.label[yours][b]


def crossed(a: Ints, b: Ints, labels: int) -> Floats:
    """(N, C C) the pairs of labels as `Cohen` reads them."""
    made = np.zeros((len(a), labels * labels))
    made[np.arange(len(a)), a * labels + b] = 1
    return made


def pairwise(votes: Votes, weights: Weights, least: int = 10) -> tuple[Floats, Ints]:
    """Kappa of each pair of annotators with `least` items in common (K,), NaN where it is undefined, and the pairs (K, 2)."""
    from scipy.sparse import csr_matrix

    shape = (len(votes.by), len(votes.items))
    ones = csr_matrix((np.ones(len(votes)), (votes.who, votes.item)), shape)
    common = (ones @ ones.T).tocoo()
    chosen = (common.row < common.col) & (common.data >= least)
    pairs = np.stack([common.row[chosen], common.col[chosen]], 1).astype(np.int64)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    coefficient, c = Cohen(votes.values, weights), len(votes.labels)
    rows = [np.bincount(a * c + b, minlength=c * c) for a, b in (shared_items(votes, i, j) for i, j in pairs)]
    return coefficient.of(np.array(rows, np.float64)) if rows else np.zeros(0), pairs
