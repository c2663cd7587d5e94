"""Paired tests: two contenders on the same items, or on the same folds.

Each returns a `Test`: its printed name, the statistic and the two-sided p unless said otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tunewright.core.seeds import key
from tunewright.evaluation.intervals import Interval, quantile

Floats = NDArray[np.float64]
EXACT_BELOW = 25
"""Fewer discordant items than this: the exact McNemar test in place of its mid-p."""


@dataclass(frozen=True)
class Test:
    """A test's printed `name`, its `statistic` and its `p`."""

    __test__ = False  # pytest must not collect it

    name: str
    statistic: float
    p: float


def mcnemar(only_a: int, only_b: int, method: Literal["auto", "chi2", "corrected", "exact", "mid-p"] = "auto") -> Test:
    """Do a and b differ in how often they are right? From the items that only one of them got right.

    "auto" is exact where fewer than 25 items are discordant, else mid-p (Fagerland et al., BMC Medical
    Research Methodology 13, 2013). "chi2" and "corrected" (for continuity) are there for comparison.
    """
    n = only_a + only_b
    if method == "auto":
        method = "exact" if n < EXACT_BELOW else "mid-p"
    name = f"McNemar {method}"
    if n == 0:
        return Test(name, 0.0, 1.0)
    if method in ("chi2", "corrected"):
        gap = abs(only_a - only_b) - (1 if method == "corrected" else 0)
        statistic = max(gap, 0) ** 2 / n
        return Test(name, statistic, math.erfc(math.sqrt(statistic / 2)))
    from scipy.stats import binom

    less = min(only_a, only_b)
    p = 2 * float(binom.cdf(less, n, 0.5))
    if method == "mid-p":
        p -= float(binom.pmf(less, n, 0.5))
    return Test(name, float(less), min(1.0, p))


def difference_interval(only_a: int, only_b: int, items: int, confidence: float = 0.95) -> Interval:
    """Tango's score interval of a paired difference of proportions (Statistics in Medicine 17, 1998).

    It inverts the score test whose case "no difference" is McNemar's, so that the two agree.
    """
    z = quantile(confidence)

    def score(d: float) -> float:
        a = 2 * items
        b = -only_a - only_b + (2 * items - only_a + only_b) * d
        c = -only_b * d * (1 - d)
        q = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
        variance = items * (2 * q + d * (1 - d))
        gap = only_a - only_b - items * d
        return gap / math.sqrt(variance) if variance > 1e-14 else math.copysign(math.inf, gap) if gap else 0.0

    value = (only_a - only_b) / items
    low = _bisect(lambda d: score(d) >= z, -1.0, value)
    high = _bisect(lambda d: score(d) > -z, value, 1.0)
    return Interval(low, high, "Tango score")


def _bisect(holds_at_first: Callable[[float], bool], low: float, high: float) -> float:
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if holds_at_first(middle) else (low, middle)
    return (low + high) / 2


def bootstrap_test(differences: Floats) -> Test:
    """p from resampled differences (R,): twice the smaller share on either side of 0, the data counted in.

    Cannot be smaller than 2 / (R + 1).
    """
    known = differences[~np.isnan(differences)]
    total = len(known) + 1
    below, above = int((known <= 0).sum()) + 1, int((known >= 0).sum()) + 1
    return Test("paired bootstrap", float(known.mean()) if len(known) else 0.0, min(1.0, 2 * min(below, above) / total))


def normal_test(name: str, difference: float, error: float) -> Test:
    """z test of a difference with a known standard error; p is 1 where nothing differs."""
    if error == 0:
        return Test(name, 0.0, 1.0 if difference == 0 else 0.0)
    z = difference / error
    return Test(name, z, math.erfc(abs(z) / math.sqrt(2)))


def delong(influence_a: Floats, influence_b: Floats, difference: float, name: str = "DeLong") -> Test:
    """Paired test of two areas (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988).

    Takes the (N,) influences that `tunewright.metrics.Ranked.influence` gives for both contenders.
    """
    return normal_test(name, difference, float(np.sqrt(((influence_a - influence_b) ** 2).sum())))


def permutation(a: Floats, b: Floats, *, resamples: int = 10_000, seed: int = 0, exact_up_to: int = 16) -> Test:
    """Paired permutation test of the mean difference of two (N,) arrays: every sign flip, or random ones.

    Exact up to 2^`exact_up_to` flips; else `resamples` random ones with the data counted in.
    """
    d = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    n, value = len(d), float(np.mean(d))
    reached = abs(value) * n * (1 - 1e-12) - 1e-12
    if n <= exact_up_to:
        flips = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return Test("exact paired permutation", value, float(np.mean(np.abs(flips @ d) >= reached)))
    rng = np.random.default_rng(key(seed, "permutation"))
    hits, done = 0, 0
    while done < resamples:
        size = min(resamples - done, max(1, 4_000_000 // n))
        hits += int((np.abs((1 - 2.0 * rng.integers(0, 2, (size, n))) @ d) >= reached).sum())
        done += size
    return Test("paired permutation", value, (hits + 1) / (resamples + 1))


def wilcoxon(differences: Floats) -> Test:
    """Wilcoxon's signed rank test; exact where there are no ties and at most 50 differences."""
    from scipy.stats import wilcoxon as signed_rank

    d = np.asarray(differences, np.float64)
    if not d.any():
        return Test("Wilcoxon signed rank", 0.0, 1.0)
    result = signed_rank(d)
    return Test("Wilcoxon signed rank", float(result.statistic), float(result.pvalue))


def corrected_resampled_t(
    differences: Floats, train_items: int, test_items: int, alternative: Literal["two-sided", "greater"] = "two-sided"
) -> Test:
    """t test over cross-validation folds whose training sets overlap (Nadeau and Bengio, Machine Learning 52, 2003).

    The variance of the mean is multiplied by 1 / k + test / train in place of 1 / k, for k folds.
    """
    from scipy.stats import t as student

    d = np.asarray(differences, np.float64)
    if len(d) < 2:
        raise ValueError("corrected_resampled_t needs at least two folds")
    error = float(np.sqrt(d.var(ddof=1) * (1 / len(d) + test_items / train_items)))
    if error == 0:
        return normal_test("corrected resampled t", float(d.mean()), 0.0)
    statistic = float(d.mean()) / error
    tail = float(student.sf(statistic if alternative == "greater" else abs(statistic), len(d) - 1))
    return Test("corrected resampled t", statistic, tail if alternative == "greater" else 2 * tail)


def normal_interval(difference: float, error: float, confidence: float = 0.95) -> Interval:
    """difference +- z standard errors."""
    half = quantile(confidence) * error
    return Interval(difference - half, difference + half, "normal")
