"""Krippendorff's alpha: one minus the observed over the expected disagreement. Any number of annotators, answers may be missing.

alpha = 1 - (n - 1) sum_i D_i / E,  over the n answers of items that have two or more (m answers):
D_i = sum_ck n_ic n_ik d(c, k) / (m - 1),  E = sum_ck n_c n_k d(c, k);
d = [c != k] (nominal), (v_c - v_k)^2 (interval), (r_c - r_k)^2 (ordinal; r_c the mid-rank: answers below c, and half of those
at c). Krippendorff 2011, "Computing Krippendorff's alpha-reliability"; 2004, "Content Analysis", chapter 11.

What differs from the paper: no coincidence matrix is built; squares are multiplied out. Ordinal mid-ranks are those of each
resample. Cost: O(N C); ordinal with an interval O(N C^2) and one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.data.labels.agreement.protocol import Coefficient, ratio
from tunewright.data.labels.votes import Level

Floats = NDArray[np.float64]


def _pairable(counts: Floats) -> tuple[Floats, Floats]:
    """(N, C) the counts of items with two answers or more, zeros elsewhere; and (N, 1) one less than their answers."""
    m = counts.sum(1, keepdims=True)
    return np.where(m >= 2, counts, 0.0), np.maximum(m - 1, 1)


@dataclass(frozen=True)
class Nominal:
    """Labels are the same or not."""

    name: str = "alpha_nominal"

    def parts(self, counts: Floats) -> Floats:
        n, less = _pairable(counts)
        apart = (n.sum(1) ** 2 - (n**2).sum(1)) / less[:, 0]
        return np.column_stack((apart, n))

    def of(self, sums: Floats) -> Floats:
        margins = sums[:, 1:]
        n = margins.sum(1)
        found: Floats = 1 - (n - 1) * ratio(sums[:, 0], n**2 - (margins**2).sum(1))
        return found


@dataclass(frozen=True, eq=False)
class Interval:
    """Labels are numbers: `values` (C,)."""

    values: Floats
    name: str = "alpha_interval"

    def _centred(self) -> Floats:
        """Differences stay, and squares of large numbers do not swallow them."""
        spread = max(float(np.ptp(self.values)), 1e-300)
        made: Floats = (self.values - self.values.mean()) / spread
        return made

    def parts(self, counts: Floats) -> Floats:
        n, less = _pairable(counts)
        v = self._centred()
        apart = 2 * (n.sum(1) * (n @ v**2) - (n @ v) ** 2) / less[:, 0]
        return np.column_stack((apart, n))

    def of(self, sums: Floats) -> Floats:
        margins, v = sums[:, 1:], self._centred()
        n = margins.sum(1)
        found: Floats = 1 - (n - 1) * ratio(sums[:, 0], 2 * (n * (margins @ v**2) - (margins @ v) ** 2))
        return found


@dataclass(frozen=True)
class Ordinal:
    """Labels have an order, that of the columns."""

    name: str = "alpha_ordinal"

    def parts(self, counts: Floats) -> Floats:
        n, less = _pairable(counts)
        together = (n[:, :, None] * n[:, None, :] / less[:, :, None]).reshape(len(n), -1)
        return np.column_stack((n, together))

    def of(self, sums: Floats) -> Floats:
        c = int((np.sqrt(1 + 4 * sums.shape[1]) - 1) / 2)
        margins, together = sums[:, :c], sums[:, c:].reshape(-1, c, c)
        n = margins.sum(1, keepdims=True)
        ranks = (margins.cumsum(1) - margins / 2) / np.maximum(n, 1)
        ranks -= 0.5
        weights = together.sum(2)
        apart = 2 * ((weights * ranks**2).sum(1) - np.einsum("rc,rck,rk->r", ranks, together, ranks))
        expected = 2 * (n[:, 0] * (margins * ranks**2).sum(1) - (margins * ranks).sum(1) ** 2)
        found: Floats = 1 - (n[:, 0] - 1) * ratio(apart, expected)
        return found


def alpha(level: Level, values: Floats) -> Coefficient:
    """The coefficient of a level."""
    return Nominal() if level == "nominal" else Ordinal() if level == "ordinal" else Interval(values)
