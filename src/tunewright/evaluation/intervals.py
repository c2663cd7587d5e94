"""Intervals for one figure: proportions in closed form, everything else from resamples.

Axes: R resamples, N items.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tunewright.core.seeds import key

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """`low` and `high`, None where the data cannot say, and the `method` that made them."""

    low: float | None
    high: float | None
    method: str

    def within(self, low: float, high: float) -> Interval:
        """The part that lies in [low, high]."""
        if self.low is None or self.high is None:
            return self
        return Interval(min(max(self.low, low), high), max(min(self.high, high), low), self.method)

    def around(self, value: float) -> Interval:
        """The interval, widened where rounding or few resamples left `value` just outside."""
        if self.low is None or self.high is None:
            return self
        return Interval(min(self.low, value), max(self.high, value), self.method)


def quantile(confidence: float) -> float:
    """The two-sided normal quantile: 1.96 for 0.95."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(hits: float, items: float, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion (JASA 22, 1927). Without items it is all of [0, 1]."""
    if items == 0:
        return Interval(0.0, 1.0, "Wilson")
    z = quantile(confidence)
    share, scale = hits / items, 1 + z * z / items
    centre = (share + z * z / (2 * items)) / scale
    half = z / scale * float(np.sqrt(share * (1 - share) / items + z * z / (4 * items * items)))
    # At the ends the formula is exact, but rounding leaves 1e-17.
    return Interval(0.0 if hits == 0 else centre - half, 1.0 if hits == items else centre + half, "Wilson")


def clopper_pearson(hits: int, items: int, confidence: float = 0.95) -> Interval:
    """The exact binomial interval (Biometrika 26, 1934); never covers too little, usually too much."""
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, items - hits + 1))
    high = 1.0 if hits == items else float(beta.ppf(1 - tail, hits + 1, items - hits))
    return Interval(low, high, "Clopper-Pearson")


def percentile(samples: Floats, confidence: float = 0.95) -> Interval:
    """The middle `confidence` of the resampled values (R,); values that are NaN are left out."""
    known = samples[~np.isnan(samples)]
    if len(known) == 0:
        return Interval(None, None, "percentile bootstrap")
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return Interval(float(low), float(high), "percentile bootstrap")


def bca(
    samples: Floats, value: float, left_out: Floats, confidence: float = 0.95, weights: Floats | None = None
) -> Interval:
    """Bias-corrected and accelerated bootstrap (Efron, JASA 82, 1987); the plain percentile where it has no answer.

    Args:
        samples: (R,) values of the resamples.
        value: the value of the data themselves.
        left_out: (N,) values with one item left out each.
        weights: (N,) how many items each of `left_out` stands for; one where None.
    """
    known = samples[~np.isnan(samples)]
    below = float(np.mean(known < value) + np.mean(known == value) / 2) if len(known) else 0.0
    use = ~np.isnan(left_out)
    counts = np.ones(len(left_out)) if weights is None else weights
    if not use.any() or not 0 < below < 1:
        return percentile(samples, confidence)
    centred = np.average(left_out[use], weights=counts[use]) - left_out[use]
    spread = float((counts[use] * centred**2).sum())
    skew = float((counts[use] * centred**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    normal, z = NormalDist(), quantile(confidence)
    bias = normal.inv_cdf(below)
    levels = []
    for side in (bias - z, bias + z):
        if skew * side >= 1:
            return percentile(samples, confidence)
        levels.append(normal.cdf(bias + side / (1 - skew * side)))
    low, high = np.quantile(known, levels)
    return Interval(float(low), float(high), "BCa bootstrap")


def bootstrap(
    statistic: Callable[[NDArray[np.float64]], float],
    data: NDArray[np.float64],
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    method: str = "bca",
) -> Interval:
    """The interval of any statistic of `data` (N, ...), rows drawn with replacement, keyed by `seed`.

    The general and slow way; the metrics go through `tunewright.evaluation.resampling`. Cost: R + N calls.
    """
    n = len(data)
    draws = np.random.default_rng(key(seed, "bootstrap")).integers(0, n, (resamples, n))
    samples = np.array([statistic(data[rows]) for rows in draws])
    if method == "percentile":
        return percentile(samples, confidence)
    left_out = np.array([statistic(np.delete(data, i, axis=0)) for i in range(n)])
    return bca(samples, float(statistic(data)), left_out, confidence)


def logit_normal(value: float, error: float, confidence: float = 0.95) -> Interval:
    """`value` in (0, 1) with standard error `error`, normal on the log-odds scale, so that it stays inside."""
    z = quantile(confidence)
    middle = np.log(value / (1 - value))
    half = z * error / (value * (1 - value))
    low, high = 1 / (1 + np.exp(-(middle + np.array([-half, half]))))
    return Interval(float(low), float(high), "logit normal")
