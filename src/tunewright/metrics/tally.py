"""Counts that every metric of the confusion matrix is made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.core.records import Predictions


@dataclass(frozen=True)
class Tally:
    """For each class, shape (..., C): items `right`, items of that `gold`, items with that `output`."""

    right: NDArray[np.float64]
    gold: NDArray[np.float64]
    output: NDArray[np.float64]

    @property
    def present(self) -> NDArray[np.bool_]:
        """(..., C): classes that are some item's gold or output. Macro averages run over these."""
        return (self.gold > 0) | (self.output > 0)


def confusion(p: Predictions) -> NDArray[np.int64]:
    """(C, C) counts of the labelled items; rows gold, columns output."""
    p = p.supervised()
    c = len(p.labels)
    return np.bincount(p.gold * c + p.output, minlength=c * c).reshape(c, c).astype(np.int64)


def tally(p: Predictions) -> Tally:
    """The counts of the labelled items, shape (C,)."""
    matrix = confusion(p).astype(np.float64)
    return Tally(matrix.diagonal().copy(), matrix.sum(axis=1), matrix.sum(axis=0))


def ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """`part / whole`, and 0 where `whole` is 0 (the convention of scikit-learn's `zero_division=0`)."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.asarray(np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0), np.float64)


def right(p: Predictions) -> NDArray[np.float64]:
    """(N,) 1 where a labelled item's output is its gold, else 0."""
    p = p.supervised()
    return np.equal(p.gold, p.output).astype(np.float64)
