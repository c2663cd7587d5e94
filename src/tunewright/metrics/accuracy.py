"""Accuracy: the share of items that are right; balanced accuracy: the mean of the classes' recalls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tunewright.core.records import Predictions
from tunewright.core.registry import register
from tunewright.metrics.protocol import Counted, Floats
from tunewright.metrics.tally import Tally, ratio, right


@register("metric", "accuracy")
@dataclass(frozen=True)
class Accuracy(Counted):
    """Items right / items."""

    name: ClassVar[str] = "accuracy"
    title: ClassVar[str] = "accuracy"

    def of_tally(self, counts: Tally) -> Floats:
        """(...) from (..., C)."""
        return ratio(counts.right.sum(axis=-1), counts.gold.sum(axis=-1))

    def items(self, p: Predictions) -> Floats | None:
        """(N,) 1 where right."""
        return right(p)


@register("metric", "balanced_accuracy")
@dataclass(frozen=True)
class BalancedAccuracy(Counted):
    """Mean recall over the classes that have items (Brodersen et al., ICPR 2010)."""

    name: ClassVar[str] = "balanced_accuracy"
    title: ClassVar[str] = "balanced accuracy"

    def of_tally(self, counts: Tally) -> Floats:
        """(...) from (..., C)."""
        recalls = ratio(counts.right, counts.gold)
        return np.asarray(recalls.sum(axis=-1) / (counts.gold > 0).sum(axis=-1))
