"""Percent agreement: how often two annotators of an item give the same label, or, weighted, nearly the same.

p = mean over items with m >= 2 of  sum_c n_c (n*_c - 1) / (m (m - 1)),  n* = W n;  W the identity for the plain share.
It does not know what chance would give: look at the others beside it. Cost: O(N C).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.data.labels.agreement.protocol import ratio

Floats = NDArray[np.float64]


def pairs_agreeing(counts: Floats, weights: Floats | None = None) -> tuple[Floats, Floats]:
    """(N,) the weighted share of agreeing pairs of each item, 0 where it has none; and (N,) whether it has any."""
    m = counts.sum(1)
    near = counts if weights is None else counts @ weights
    able = m >= 2
    share = (counts * (near - 1)).sum(1) / np.where(able, m * (m - 1), 1)
    return np.where(able, share, 0.0), able.astype(np.float64)


@dataclass(frozen=True, eq=False)
class Percent:
    """`weights` (C, C), or None for the same label alone."""

    weights: Floats | None = None
    name: str = "percent"

    def parts(self, counts: Floats) -> Floats:
        return np.stack(pairs_agreeing(counts, self.weights), 1)

    def of(self, sums: Floats) -> Floats:
        return ratio(sums[:, 0], sums[:, 1])
