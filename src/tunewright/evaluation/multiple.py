"""Several comparisons at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): keeps the chance of any false claim below alpha, whatever the dependence."""
    order = np.argsort(ps, kind="stable")
    stepped = np.asarray(ps, np.float64)[order] * np.arange(len(ps), 0, -1)
    return _back(np.minimum(np.maximum.accumulate(stepped), 1.0), order)


def holm_levels(ps: Sequence[float], alpha: float) -> list[float]:
    """The share of alpha that Holm's procedure gives each hypothesis: what its interval is drawn at, to agree with it.

    With m hypotheses and r rejected, the i-th smallest p (from 0) was held against alpha / (m - i) where it was
    rejected; all others exceed alpha / (m - r). So an interval that inverts the test at this level leaves out zero just
    where the corrected p is at most alpha. Each interval covers at its own level; that all of them cover at once is not
    claimed (Strassburger and Bretz, Statistics in Medicine 27, 2008, give such ones: wider, or open on one side).
    """
    m = len(ps)
    rejected = sum(p <= alpha for p in holm(ps))
    shares = np.array([alpha / (m - min(i, rejected)) for i in range(m)])
    return _back(shares, np.argsort(ps, kind="stable"))


def benjamini_hochberg(ps: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's step-up correction (1995): bounds the expected share of false claims."""
    order = np.argsort(ps, kind="stable")
    n = len(ps)
    stepped = np.asarray(ps, np.float64)[order] * n / np.arange(1, n + 1)
    return _back(np.minimum(np.minimum.accumulate(stepped[::-1])[::-1], 1.0), order)


def _back(sorted_values: NDArray[np.float64], order: NDArray[np.intp]) -> list[float]:
    values = np.empty(len(order))
    values[order] = sorted_values
    return [float(value) for value in values]
