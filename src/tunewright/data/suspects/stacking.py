"""Several opinions about labels made one, calibrated on the given labels.

    log p(k | row) = sum_j a_j log p_j(k | row) - log Z,   a_j >= 0

a (J,) makes the given labels likeliest, by L-BFGS-B. With J = 1 this is temperature scaling; with more it weighs opinions by
what they are worth. All p_j are out of sample and there are only J numbers to find, so fitting them on the same rows tells
nothing that matters of any one row's own label.

Wolpert 1992, "Stacked Generalization"; Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2. Differs:
no bias for each class; it moved average precision up on one set and down on another. Axes: J opinions, N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from tunewright.data.probe import Floats, Ints

_LEAST = 1e-4


def stacked(opinions: Sequence[Floats], given: Ints) -> tuple[Floats, Floats]:
    """(N, C) log-probabilities, and what each opinion weighs (J,)."""
    logs = [np.log(np.clip(p, _LEAST, 1.0)) for p in opinions]
    j, n = len(logs), len(given)
    rows = np.arange(n)

    def scored(weights: Floats) -> Floats:
        total = weights[0] * logs[0]
        for a, one in zip(weights[1:], logs[1:], strict=True):
            total += a * one
        out: Floats = log_softmax(total, axis=1)
        return out

    def loss(weights: Floats) -> tuple[float, Floats]:
        log_p = scored(weights)
        away = np.exp(log_p)
        away[rows, given] -= 1.0
        slopes = np.array([float((away * one).sum()) / n for one in logs])
        return -float(log_p[rows, given].mean()), slopes

    found = minimize(loss, np.full(j, 1.0 / j), jac=True, method="L-BFGS-B", bounds=[(0.05, 20.0)] * j)
    return scored(found.x), found.x
