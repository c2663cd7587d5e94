"""Fleiss' kappa: agreement beyond what annotators would reach who answer by the pooled shares of the labels.

kappa = (P - Pe) / (1 - Pe),  P = percent agreement,  Pe = sum_c p_c^2,  p_c the label's share among all answers.
Fleiss 1971, "Measuring nominal scale agreement among many raters". Nominal labels.

What differs from the paper: items may have different numbers of answers; those with one count for p_c alone. With as many
answers an item it is the paper's. Cost: O(N C).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.data.labels.agreement.percent import pairs_agreeing
from tunewright.data.labels.agreement.protocol import ratio

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fleiss:
    """Nominal."""

    name: str = "fleiss"

    def parts(self, counts: Floats) -> Floats:
        return np.column_stack((*pairs_agreeing(counts), counts))

    def of(self, sums: Floats) -> Floats:
        observed, answers = ratio(sums[:, 0], sums[:, 1]), sums[:, 2:]
        chance = (answers**2).sum(1) / np.maximum(answers.sum(1), 1) ** 2
        return ratio(observed - chance, 1 - chance)
