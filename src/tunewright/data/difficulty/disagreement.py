"""How much a row's annotators disagree: the entropy of their labels in nats; of soft labels where there are no annotations.

A row with one annotation, or with none, gets 0: nobody disagreed. Refuses rows of which none has two annotations or a soft
label. Cost: one pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tunewright.core.errors import DataError, Problem
from tunewright.core.registry import register
from tunewright.data.difficulty.protocol import Floats, Means
from tunewright.data.journal import Draft


@register("difficulty", "disagreement")
@dataclass(frozen=True)
class Disagreement:
    """No options."""

    def __call__(self, drafts: Sequence[Draft], means: Means) -> Floats:
        if not any(len(draft.annotations) > 1 or draft.soft for draft in drafts):
            raise DataError(
                Problem(where="difficulty.disagreement", found="no row has two annotations, or a soft label",
                        allowed="rows that several people have labelled", to_do="name the column with the annotator: `annotator:`")
            )  # fmt: skip
        return np.array([_of(draft) for draft in drafts], np.float64)


def _of(draft: Draft) -> float:
    if len(draft.annotations) > 1:
        return _entropy(Counter(one.label for one in draft.annotations).values())
    return _entropy([p for _, p in draft.soft])


def _entropy(weights: Iterable[float]) -> float:
    known = np.array([w for w in weights if w > 0], np.float64)
    if len(known) < 2:
        return 0.0
    p = np.sort(known / known.sum())
    return float(-(p * np.log(p)).sum())
