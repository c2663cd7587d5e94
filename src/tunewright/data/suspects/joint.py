"""The confident joint: how many rows were given one label and are, with confidence, of another.

A row counts as class k where p_k >= t_k, with t_k the mean of p_k over the rows that were given k; of several such
classes it counts as the likeliest. C[given][k] are the counts; scaled so that each row sums to how many rows were given
that label, they estimate the joint distribution of given and true labels, and off the diagonal the errors.

Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels", equations 1 to 3. Differs:
nothing in the joint. Cost: one pass, 1 million rows of 10 classes in about 0.1 s. Axes: N rows, C classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tunewright.data.probe import Floats, Ints

_BLOCK = 16_384


def thresholds(given: Ints, probabilities: Floats) -> Floats:
    """(C,) the mean probability of each class over the rows that were given it; infinite where none was."""
    classes = probabilities.shape[1]
    counts = np.bincount(given, minlength=classes)
    own = probabilities[np.arange(len(given)), given]
    sums = np.bincount(given, weights=own, minlength=classes)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)


def confident_class(given: Ints, probabilities: Floats) -> Ints:
    """(N,) the class that a row is with confidence; -1 where it is none."""
    least = np.maximum(thresholds(given, probabilities) - 1e-12, 1e-300)
    out = np.empty(len(given), np.int64)
    for start in range(0, len(given), _BLOCK):  # what a core's cache holds
        block = probabilities[start : start + _BLOCK]
        sure = block * (block >= least)
        best = sure.argmax(axis=1)
        best[sure[np.arange(len(best)), best] == 0] = -1
        out[start : start + _BLOCK] = best
    return out


def confident_joint(given: Ints, probabilities: Floats) -> NDArray[np.int64]:
    """(C, C) counts: given by row, confident class by column."""
    classes = probabilities.shape[1]
    best = confident_class(given, probabilities)
    sure = best >= 0
    return np.bincount(given[sure] * classes + best[sure], minlength=classes * classes).reshape(classes, classes)


def estimated_errors(given: Ints, probabilities: Floats) -> float:
    """How many labels are wrong, by the joint scaled to the counts of the given labels."""
    joint = confident_joint(given, probabilities).astype(np.float64)
    counts = np.bincount(given, minlength=len(joint))
    rows = joint.sum(axis=1)
    off = rows - np.diag(joint)
    return float((off / np.maximum(rows, 1) * counts).sum())
