"""Areas under curves: ROC with DeLong's variance, precision-recall (average precision) with the infinitesimal
jackknife. Both have closed forms for every item's influence, so that neither needs resampling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tunewright.core.registry import register
from tunewright.metrics.protocol import Floats, Ranked


def midranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of theirs. O(N log N)."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[where], np.float64)


@register("metric", "roc_auc")
@dataclass(frozen=True)
class RocAuc(Ranked):
    """The chance that an item of the class scores higher than one of another class; ties count half.

    Two classes: that of the second class. More: one-vs-rest, macro. Variance: DeLong et al. 1988, through
    midranks as in Sun and Xu (IEEE Signal Processing Letters 21, 2014); the classes' covariance comes from
    adding up what each item contributes to all of them.
    """

    name: ClassVar[str] = "roc_auc"
    title: ClassVar[str] = "ROC-AUC"

    def of_class(self, scores: Floats, positive: NDArray[np.bool_]) -> tuple[float, Floats]:
        """The area and the (N,) influence of every item."""
        m, n = int(positive.sum()), int((~positive).sum())
        ranks = midranks(scores)
        beaten = (ranks[positive] - midranks(scores[positive])) / n
        beating = 1.0 - (ranks[~positive] - midranks(scores[~positive])) / m
        value = float(beaten.mean())
        influence = np.empty(len(scores))
        # Sample variances divide by m - 1 and n - 1: the square sums must carry that.
        influence[positive] = (beaten - value) / np.sqrt(m * max(m - 1, 1))
        influence[~positive] = (beating - value) / np.sqrt(n * max(n - 1, 1))
        return value, influence


@register("metric", "pr_auc")
@dataclass(frozen=True)
class PrAuc(Ranked):
    """Average precision: the mean, over the class's items, of the precision at each one's score.

    Not the trapezoid under the curve, which is too optimistic (Davis and Goadrich, ICML 2006). With weights
    w and y = 1 for the class: AP = sum_i w_i y_i T_i / N_i / sum_i w_i y_i, where T_i and N_i are the
    weights of the class and of all at scores no lower than item i's; the influence is its derivative.
    """

    name: ClassVar[str] = "pr_auc"
    title: ClassVar[str] = "PR-AUC"

    def of_class(self, scores: Floats, positive: NDArray[np.bool_]) -> tuple[float, Floats]:
        """The average precision and the (N,) influence of every item."""
        _, level, counts = np.unique(-scores, return_inverse=True, return_counts=True)
        hits = np.bincount(level, weights=positive, minlength=len(counts))
        total, true = np.cumsum(counts), np.cumsum(hits)
        precision = true / total
        value = float((hits * precision).sum() / true[-1])
        from_here = np.cumsum((hits / total)[::-1])[::-1]
        diluted = np.cumsum((hits * true / total**2)[::-1])[::-1]
        influence = (positive * (precision - value + from_here)[level] - diluted[level]) / true[-1]
        return value, np.asarray(influence, np.float64)
