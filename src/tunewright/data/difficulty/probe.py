"""The out-of-sample loss of a cheap probe: -log p(label | text), by cross-validation (`data.probe`).

High for hard rows, and for rows whose label is wrong: look at `tunewright data suspects` before a curriculum ends on them.
Refuses rows without a class. Cost: five fits of a logistic regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunewright.core.registry import register
from tunewright.data.difficulty.protocol import Floats, Means
from tunewright.data.journal import Draft
from tunewright.data.probe import classes_of, judged, text_features, whole_text


@register("difficulty", "probe")
@dataclass(frozen=True)
class ProbeLoss:
    """No options."""

    def __call__(self, drafts: Sequence[Draft], means: Means) -> Floats:
        labels, _ = classes_of(drafts)
        order = sorted(range(len(drafts)), key=lambda i: (drafts[i].text, drafts[i].label or "", drafts[i].id))
        rows = [drafts[i] for i in order]
        features = text_features([whole_text(draft) for draft in rows], len(labels), means.seed)
        out = np.empty(len(drafts))
        out[order] = -np.log(judged(rows, features, means.seed).own())
        return out
