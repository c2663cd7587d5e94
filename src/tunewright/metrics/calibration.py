"""Expected calibration error: does 80% confident mean right 80 times in a hundred?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tunewright.core.records import Predictions
from tunewright.core.registry import register
from tunewright.metrics.protocol import Averaged, Better, Floats
from tunewright.metrics.tally import right


def confidence(p: Predictions) -> Floats:
    """(N,) the score of each item's output."""
    return np.asarray(p.scores[np.arange(len(p)), p.output], np.float64)


def bin_of(confidences: Floats, bins: int) -> NDArray[np.int64]:
    """(N,) index of the equal-width bin (low, high] that holds each confidence; 0 belongs to the first."""
    inner = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    return np.digitize(confidences, inner, right=True).astype(np.int64)


@register("metric", "ece")
@dataclass(frozen=True)
class ECE(Averaged):
    """Sum over bins of |sum of (confidence - right)| / items (Naeini et al., AAAI 2015; arXiv:1706.04599).

    Biased upwards where bins hold few items: compare it between contenders on the same items, and look at
    the reliability diagram beside it.
    """

    name: ClassVar[str] = "ece"
    title: ClassVar[str] = "calibration error"
    better: ClassVar[Better] = "lower"
    bins: int = 10

    def __post_init__(self) -> None:
        if self.bins < 1:
            raise ValueError(f"bins must be at least 1, not {self.bins}")

    def columns(self, p: Predictions) -> Floats:
        """(N, bins): confidence - right in the item's own bin, 0 elsewhere."""
        p = p.supervised()
        given = confidence(p)
        columns = np.zeros((len(p), self.bins))
        columns[np.arange(len(p)), bin_of(given, self.bins)] = given - right(p)
        return columns

    def of_means(self, means: Floats) -> Floats:
        """(...) from (..., bins)."""
        return np.asarray(np.abs(means).sum(axis=-1))
