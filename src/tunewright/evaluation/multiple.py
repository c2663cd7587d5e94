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
