"""Gwet's AC1 and AC2: agreement beyond chance that stays put where one label is common.

AC = (Pa - Pe) / (1 - Pe),  Pa = weighted percent agreement,
Pe = sum(W) / (C (C - 1)) sum_c q_c (1 - q_c),  q_c = mean over items of n_c / m.
AC1: W the identity. AC2: W near 1 for labels near each other. Gwet 2008, "Computing inter-rater reliability and its variance in
the presence of high agreement"; Gwet 2014, "Handbook of Inter-Rater Reliability", chapter 5. Cost: O(N C^2), weighted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.data.labels.agreement.percent import pairs_agreeing
from tunewright.data.labels.agreement.protocol import ratio

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Gwet:
    """`weights` (C, C), or None for AC1."""

    weights: Floats | None = None

    @property
    def name(self) -> str:
        return "gwet_ac1" if self.weights is None else "gwet_ac2"

    def parts(self, counts: Floats) -> Floats:
        m = counts.sum(1, keepdims=True)
        shares = counts / np.maximum(m, 1)
        return np.column_stack((*pairs_agreeing(counts, self.weights), (m > 0).astype(np.float64), shares))

    def of(self, sums: Floats) -> Floats:
        observed, shares = ratio(sums[:, 0], sums[:, 1]), sums[:, 3:] / np.maximum(sums[:, 2:3], 1)
        c = shares.shape[1]
        if c < 2:
            return np.full(len(sums), np.nan)
        total = c if self.weights is None else self.weights.sum()
        chance = total / (c * (c - 1)) * (shares * (1 - shares)).sum(1)
        return ratio(observed - chance, 1 - chance)


def closeness(values: Floats, power: int) -> Floats:
    """(C, C) 1 - (|v - v'| / range)^power: linear weights with power 1, quadratic ones with 2."""
    spread = max(float(np.ptp(values)), 1e-300)
    made: Floats = 1 - (np.abs(values[:, None] - values[None]) / spread) ** power
    return made
