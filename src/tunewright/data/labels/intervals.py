"""A figure with its interval, or the reason why there is none; and the draws that intervals are made of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.seeds import key

Floats = NDArray[np.float64]
_Z = 1.959963984540054
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Figure:
    """`value` with its 95% interval; where it is refused, `value` is None and `refused` says why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    refused: str = ""

    def as_json(self) -> dict[str, Any]:
        """The figure as plain values."""
        if self.value is None:
            return {"value": None, "refused": self.refused}
        return {"value": self.value, "low": self.low, "high": self.high}


def refused(why: str) -> Figure:
    """No figure, and why."""
    return Figure(None, refused=why)


def bounded(value: float, draws: Floats) -> Figure:
    """The value between the 2.5% and 97.5% quantiles of its resamples; those that say nothing are left out."""
    known = draws[np.isfinite(draws)]
    if len(known) < len(draws) / 2 or len(known) < 20:
        return Figure(float(value))
    low, high = np.quantile(known, (0.025, 0.975))
    return Figure(float(value), min(float(low), float(value)), max(float(high), float(value)))


def wilson(hits: float, n: float) -> Figure:
    """A share with Wilson's score interval (JASA 22, 1927); of fractions of agreement it is on the wide side."""
    if n <= 0:
        return refused("nothing to count")
    share, scale = hits / n, 1 + _Z * _Z / n
    centre = (share + _Z * _Z / (2 * n)) / scale
    half = _Z / scale * math.sqrt(max(share * (1 - share), 0) / n + _Z * _Z / (4 * n * n))
    return Figure(share, max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share)))


def resamples(n: int, count: int, *parts: int | str) -> Iterator[Floats]:
    """(r, n) how often each of n items is drawn in r resamples, block by block, `count` resamples in all.

    Keyed by `parts` alone; whoever asks has the items in an order of their own.
    """
    draws = np.random.default_rng(key("labels", *parts))
    step = max(1, _BLOCK // max(n, 1))
    for start in range(0, count, step):
        r = min(step, count - start)
        chosen = draws.integers(0, n, size=(r, n))
        chosen += np.arange(r)[:, None] * n
        yield np.bincount(chosen.ravel(), minlength=r * n).reshape(r, n).astype(np.float64)
