"""Matthews correlation coefficient for any number of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tunewright.core.records import Predictions
from tunewright.core.registry import register
from tunewright.metrics.protocol import ONE_CLASS, Counted, Floats
from tunewright.metrics.tally import Tally


@register("metric", "mcc")
@dataclass(frozen=True)
class MCC(Counted):
    """R_K of Gorodkin (Computational Biology and Chemistry 28, 2004): correlation of gold and output.

    (s r - sum_c gold_c output_c) / sqrt((s^2 - sum output_c^2) (s^2 - sum gold_c^2)), with s items and r
    right. A constant output scores 0 (the limit, as in scikit-learn); one gold class has no correlation.
    """

    name: ClassVar[str] = "mcc"
    title: ClassVar[str] = "Matthews correlation"
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    percent: ClassVar[bool] = False

    def undefined(self, p: Predictions) -> str | None:
        """Why the metric has no value on these items; None where it has one."""
        gold = p.gold[p.gold >= 0]
        return super().undefined(p) or (ONE_CLASS if (gold == gold[0]).all() else None)

    def of_tally(self, counts: Tally) -> Floats:
        """(...) from (..., C); NaN where there is one gold class."""
        s = counts.gold.sum(axis=-1)
        over = s * counts.right.sum(axis=-1) - (counts.gold * counts.output).sum(axis=-1)
        of_gold = s**2 - (counts.gold**2).sum(axis=-1)
        under = np.sqrt(of_gold * (s**2 - (counts.output**2).sum(axis=-1)))
        value = np.divide(over, under, out=np.zeros(np.shape(over)), where=under > 0)
        return np.where(of_gold > 0, value, np.nan)
