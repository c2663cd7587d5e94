"""A second round of the probe: learnt again without the rows that the first suspects most, and on another division.

Wrong labels in training pull the probe towards themselves. Of four probabilities the mean is taken: first division and
another one, each with all rows and without the 5% whose given labels are the least likely. A row's own label never has a part
in its own probabilities, but in which other rows are left out it has, if only as one of many.

After Northcutt 2021, section 3.3 (prune, then learn again), here with what is pruned judged again too. Cost: three times
the probe. Axes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tunewright.core.seeds import key
from tunewright.data.journal import Draft
from tunewright.data.probe import FOLDS, Floats, Judged, cross_validated, folds_of

PRUNED = 0.05


def second_round(
    drafts: Sequence[Draft], features: Any, first: Judged, score: Floats, seed: int, pruned: float = PRUNED
) -> Judged:
    """The mean of four probabilities, the first among them.

    Args:
        features: (N, D) what the probe learns from.
        score: (N,) how suspect the first round found each row.
    """
    classes = len(first.labels)
    other = folds_of(drafts, key(seed, "second"), FOLDS)
    kept = np.ones(len(score), bool)
    kept[np.argsort(-score, kind="stable")[: int(pruned * len(score))]] = False
    for k in np.flatnonzero(np.bincount(first.given[kept], minlength=classes) < 2):
        kept |= first.given == k  # a class is never pruned away
    three = [
        cross_validated(features, first.given, classes, folds, kept=which)
        for folds, which in ((other, None), (first.folds, kept), (other, kept))
    ]
    return replace(first, probabilities=(first.probabilities + sum(three)) / 4)
