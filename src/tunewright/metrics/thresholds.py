"""From which probability on a label is given, where an item may have several labels.

One threshold for all labels, chosen on validation items: a threshold a label fits noise where labels are rare, and a
single number can be said in the report. The same rule serves the tuned model and every baseline.
"""

from __future__ import annotations

import numpy as np

from tunewright.core.outcomes import Bools, Floats

DEFAULT = 0.5


def tune(gold: Bools, scores: Floats) -> Floats:
    """(C,) the common threshold that maximises micro F1 over (N, C); 0.5 where nothing can be learnt.

    Only the order of the scores matters, so that between two neighbouring scores every threshold gives the same
    labels: 0.5 stands for the interval that holds it, the middle for any other. Equal F1: the one nearest 0.5.
    Cost: O(N C log(N C)).
    """
    labels = gold.shape[1]
    order = np.argsort(-scores, axis=None, kind="stable")
    given, true = scores.ravel()[order], gold.ravel()[order]
    if not true.any():
        return np.full(labels, DEFAULT)
    last = np.flatnonzero(np.append(given[1:] != given[:-1], True))  # a cut falls behind the last of equal scores
    value = 2 * np.cumsum(true)[last] / (last + 1 + true.sum())
    high = given[last]
    low = np.append(high[1:], 0.0)
    middle = np.where((low < DEFAULT) & (high >= DEFAULT), DEFAULT, (low + high) / 2)
    best = np.flatnonzero(value >= value.max() - 1e-12)
    return np.full(labels, middle[best[np.argmin(np.abs(middle[best] - DEFAULT))]])


def applied(scores: Floats, thresholds: Floats) -> Bools:
    """(N, C) whether an item has a label: where its score reaches the label's threshold (C,)."""
    return np.asarray(scores >= thresholds)
