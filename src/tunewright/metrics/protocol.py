"""What a metric is, and the three ways in which one can be resampled fast.

A metric is a frozen dataclass registered as `@register(FAMILY, NAME)`, with its task's family (tasks.py). It
turns predictions of that task's shape into one number and says why where it cannot. It knows no intervals and
no tests: `tunewright.evaluation` makes them from one of three things that a metric offers:

    Counted    a function of counts (right, gold, output a class): resampled through cells, never items
    Averaged   a function of means of per-item columns: resampled by one matrix product
    Ranked     a function of the order of the scores: has a closed-form influence of every item (DeLong)

Axes: N items, C classes, K columns, `...` any number of resamples.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tunewright.core.records import Predictions
from tunewright.metrics.tally import Tally, tally

Floats = NDArray[np.float64]
Better = Literal["higher", "lower", "neither"]
"""neither: a metric that describes; contenders are not compared by it."""

NO_ITEM = "no item has a label"
NO_NUMBER = "no item has a number"
ONE_CLASS = "the items with a label hold one class only"


@runtime_checkable
class Metric(Protocol):
    """One number for one contender.

    `name` is the registered name, `title` the name in a sentence. `bounds` are the lowest and highest
    possible values. `percent` says whether a reader expects the value as a percentage. `p` is of the task's own
    shape: Predictions, LabelSets, Values, Texts, ...
    """

    name: ClassVar[str]
    title: ClassVar[str]
    better: ClassVar[Better]
    bounds: ClassVar[tuple[float, float]]
    percent: ClassVar[bool]

    def undefined(self, p: Any) -> str | None:
        """Why the metric has no value on these items; None where it has one."""

    def value(self, p: Any) -> float | None:
        """The metric over the items that have a label; None exactly where `undefined` gives a reason."""

    def items(self, p: Any) -> Floats | None:
        """(N,) scores of the labelled items whose mean is the value; None where it is no mean over items."""

    def apart(self, a: Any, b: Any) -> str | None:
        """Why two contenders that have values cannot be compared by this metric; None where they can."""


class _Base:
    """What the three kinds share."""

    name: ClassVar[str]
    title: ClassVar[str]
    better: ClassVar[Better] = "higher"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    percent: ClassVar[bool] = True
    no_item: ClassVar[str] = NO_ITEM

    def undefined(self, p: Any) -> str | None:
        """Why the metric has no value on these items; None where it has one."""
        return None if bool(p.known().any()) else self.no_item

    def items(self, p: Any) -> Floats | None:
        """None: not a mean over items."""
        return None

    def apart(self, a: Any, b: Any) -> str | None:
        """Why two contenders that have values cannot be compared by this metric; None where they can."""
        return f"neither more nor less {self.title} is better" if self.better == "neither" else None


class Counted(_Base):
    """A metric of the confusion matrix. Cost: O(N) once, then O(C) a resample."""

    def of_tally(self, counts: Tally) -> Floats:
        """(...) values for counts of shape (..., C); NaN where there is none."""
        raise NotImplementedError

    def value(self, p: Predictions) -> float | None:
        """The metric over the items that have a label; None exactly where `undefined` gives a reason."""
        return None if self.undefined(p) else float(self.of_tally(tally(p)))


class Averaged(_Base):
    """A metric of per-item means. Cost: O(N K) once, O(N K) a resample.

    `shared` names the columns where several metrics have the very same ones, so that they are resampled once.
    `binary` says that `items` are 1 where right and 0 where wrong.
    """

    percent: ClassVar[bool] = False
    shared: ClassVar[str] = ""
    binary: ClassVar[bool] = False

    @property
    def source(self) -> str:
        """The name of the columns: the metric's own unless they are shared."""
        return self.shared or self.name

    def columns(self, p: Any) -> Floats:
        """(N, K) numbers of the labelled items."""
        raise NotImplementedError

    def of_means(self, means: Floats) -> Floats:
        """(...) values for column means of shape (..., K)."""
        return np.asarray(means[..., 0], np.float64)

    def value(self, p: Any) -> float | None:
        """The metric over the items that have a label; None exactly where `undefined` gives a reason."""
        return None if self.undefined(p) else float(self.of_means(self.columns(p).mean(axis=0)))


class Ranked(_Base):
    """A metric of the scores' order: of class 1 where there are two classes, else the mean over classes.

    Classes without an item, or with every item, have no order to judge and are left out of the mean.
    Cost: O(C N log N), no resampling.
    """

    percent: ClassVar[bool] = False

    def of_class(self, scores: Floats, positive: NDArray[np.bool_]) -> tuple[float, Floats]:
        """The value for one class and the (N,) influence of every item.

        The variance of the value is the sum of the squared influences; that of a difference between two
        contenders on the same items is the sum of the squared differences of their influences.
        """
        raise NotImplementedError

    def classes(self, p: Predictions) -> list[int]:
        """The classes that can be judged."""
        known = p.gold[p.gold >= 0]
        support = np.bincount(known, minlength=len(p.labels))
        wanted = [1] if len(p.labels) == 2 else range(len(p.labels))
        return [c for c in wanted if 0 < support[c] < len(known)]

    def undefined(self, p: Predictions) -> str | None:
        """Why the metric has no value on these items; None where it has one."""
        return super().undefined(p) or (None if self.classes(p) else ONE_CLASS)

    def influence(self, p: Predictions) -> tuple[float, Floats]:
        """The value and the (N,) influence of every labelled item, mean over the judged classes."""
        p = p.supervised()
        parts = [self.of_class(p.scores[:, c], p.gold == c) for c in self.classes(p)]
        value = float(np.mean([value for value, _ in parts]))
        return value, np.mean([influence for _, influence in parts], axis=0)

    def value(self, p: Predictions) -> float | None:
        """The metric over the items that have a label; None exactly where `undefined` gives a reason."""
        return None if self.undefined(p) else self.influence(p)[0]
