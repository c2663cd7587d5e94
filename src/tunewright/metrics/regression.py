"""How far numbers are from the truth, and whether they move with it. Several targets: the mean over the targets.

The definitions are scikit-learn's and scipy's. Every metric is a function of means over items, so that it is
resampled exactly; Spearman's is one of means of ranks that are taken once, over all items.

Axes: N items, K targets, `...` resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tunewright.core.outcomes import Bools, Values
from tunewright.core.registry import register
from tunewright.metrics.auc import midranks
from tunewright.metrics.protocol import NO_NUMBER, Averaged, Better, Floats

_LEAST = 1e-12
"""A variance smaller than this share of the whole sample's is rounding: a resample of one value."""


class _OfNumbers(Averaged):
    no_item: ClassVar[str] = NO_NUMBER


class _Error(_OfNumbers):
    """A mean of errors; lower is better and there is no upper bound."""

    better: ClassVar[Better] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, float("inf"))


@register("regression_metric", "mse")
@dataclass(frozen=True)
class MSE(_Error):
    """Mean squared error, in the targets' units squared."""

    name: ClassVar[str] = "mse"
    title: ClassVar[str] = "mean squared error"

    def items(self, p: Values) -> Floats | None:
        """(N,) squared errors, mean over the targets."""
        return self.columns(p)[:, 0]

    def columns(self, p: Values) -> Floats:
        """(N, 1) squared errors."""
        p = p.supervised()
        return np.asarray(((p.output - p.gold) ** 2).mean(axis=1, keepdims=True))


@register("regression_metric", "rmse")
@dataclass(frozen=True)
class RMSE(_Error):
    """Root of the mean squared error, in the targets' units. Several targets: the mean of their roots."""

    name: ClassVar[str] = "rmse"
    title: ClassVar[str] = "root mean squared error"

    def columns(self, p: Values) -> Floats:
        """(N, K) squared errors."""
        p = p.supervised()
        return np.asarray((p.output - p.gold) ** 2)

    def of_means(self, means: Floats) -> Floats:
        """(...) from (..., K)."""
        return np.asarray(np.sqrt(np.maximum(means, 0.0)).mean(axis=-1))


@register("regression_metric", "mae")
@dataclass(frozen=True)
class MAE(_Error):
    """Mean absolute error, in the targets' units."""

    name: ClassVar[str] = "mae"
    title: ClassVar[str] = "mean absolute error"

    def items(self, p: Values) -> Floats | None:
        """(N,) absolute errors, mean over the targets."""
        return self.columns(p)[:, 0]

    def columns(self, p: Values) -> Floats:
        """(N, 1) absolute errors."""
        p = p.supervised()
        return np.asarray(np.abs(p.output - p.gold).mean(axis=1, keepdims=True))


class _Explained(_OfNumbers):
    """A metric that asks how the gold varies: it has no value where a target is the same for every item."""

    def undefined(self, p: Values) -> str | None:
        """Why the metric has no value on these items; None where it has one."""
        said = super().undefined(p)
        if said:
            return said
        p = p.supervised()
        still = [name for name, varies in zip(p.labels, _varies(p.gold), strict=True) if not varies]
        return f"every item has the same number in {', '.join(still)}" if still else None


@register("regression_metric", "r2")
@dataclass(frozen=True)
class R2(_Explained):
    """1 - mean squared error / variance of the gold: 0 is what its own mean reaches, 1 is perfect, worse is negative.

    The variance is that of the judged items, as in scikit-learn, so that the training mean stays just below 0.
    """

    name: ClassVar[str] = "r2"
    title: ClassVar[str] = "R²"
    bounds: ClassVar[tuple[float, float]] = (float("-inf"), 1.0)

    def columns(self, p: Values) -> Floats:
        """(N, 3 K): squared errors, gold and squared gold in units of the gold's spread."""
        p = p.supervised()
        spread = p.gold.std(axis=0)
        gold = (p.gold - p.gold.mean(axis=0)) / spread
        return np.concatenate([((p.output - p.gold) / spread) ** 2, gold, gold**2], axis=1)

    def of_means(self, means: Floats) -> Floats:
        """(...) from (..., 3 K); NaN where a resample holds one gold value only."""
        error, gold, square = np.split(means, 3, axis=-1)
        variance = square - gold**2
        unexplained = np.divide(error, variance, out=np.full(error.shape, np.nan), where=variance > _LEAST)
        return np.asarray((1 - unexplained).mean(axis=-1))


class _Correlation(_Explained):
    """Of two (N, K) arrays, from five means a target. An output that never varies correlates 0 with everything."""

    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def sides(self, p: Values) -> tuple[Floats, Floats]:
        """(N, K) gold and (N, K) output, as they are to be correlated."""
        raise NotImplementedError

    def columns(self, p: Values) -> Floats:
        """(N, 5 K): gold, output, their squares and their product, each standardised first."""
        gold, output = (_standardised(side) for side in self.sides(p.supervised()))
        return np.concatenate([gold, output, gold**2, output**2, gold * output], axis=1)

    def of_means(self, means: Floats) -> Floats:
        """(...) from (..., 5 K); NaN where a resample holds one gold value only."""
        gold, output, gold2, output2, both = np.split(means, 5, axis=-1)
        of_gold, of_output = gold2 - gold**2, output2 - output**2
        moves = (of_gold > _LEAST) & (of_output > _LEAST)
        under = np.sqrt(np.where(moves, of_gold * of_output, 1.0))
        value = np.where(moves, (both - gold * output) / under, np.where(of_gold > _LEAST, 0.0, np.nan))
        return np.asarray(np.clip(value, -1.0, 1.0).mean(axis=-1))


def _standardised(values: Floats) -> Floats:
    """(N, K) with mean 0 and spread 1; 0 where a column never varies."""
    moves = _varies(values)
    return np.where(moves, (values - values.mean(axis=0)) / np.where(moves, values.std(axis=0), 1.0), 0.0)


def _varies(values: Floats) -> Bools:
    """(K,) whether a column holds more than one value; rounding gives a column of one value a spread too."""
    return np.asarray((np.ptp(values, axis=0) > 0) & (values.std(axis=0) > 0), np.bool_)


@register("regression_metric", "pearson")
@dataclass(frozen=True)
class Pearson(_Correlation):
    """Pearson's r of gold and output. Scipy has no value for an output that never varies; here it is 0, the limit."""

    name: ClassVar[str] = "pearson"
    title: ClassVar[str] = "Pearson correlation"

    def sides(self, p: Values) -> tuple[Floats, Floats]:
        """As they are."""
        return p.gold, p.output


@register("regression_metric", "spearman")
@dataclass(frozen=True)
class Spearman(_Correlation):
    """Pearson's r of the ranks, equal values sharing the mean of theirs. An output that never varies scores 0.

    Intervals and tests resample the ranks that the items have among all items: within a resample they are not ranked
    again, which differs by O(1/N).
    """

    name: ClassVar[str] = "spearman"
    title: ClassVar[str] = "Spearman correlation"

    def sides(self, p: Values) -> tuple[Floats, Floats]:
        """Their ranks."""
        return _ranks(p.gold), _ranks(p.output)


def _ranks(values: Floats) -> Floats:
    return np.stack([midranks(column) for column in values.T], axis=1)
