"""Measures how hard rows are and writes it into them, for curricula: `{difficulty: [length, rarity, probe]}`.

No row leaves or is changed otherwise. `found` has each measure's quantiles. Instruction-following difficulty needs
`data.models.language`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import tunewright.data.difficulty as _measures  # registers them
from tunewright.core.registry import register
from tunewright.data.difficulty import Means, measured
from tunewright.data.journal import Draft
from tunewright.data.steps.protocol import Described, Phase, Room

assert _measures
DESCRIBED: Described = {}


@register("step", "difficulty")
@dataclass(frozen=True)
class MeasureDifficulty:
    """`by`: names of measures: length, rarity, readability, probe, disagreement, instruction."""

    phase: ClassVar[Phase] = "rows"
    shorthand: ClassVar[str] = "by"
    by: str | tuple[str, ...] = ("length", "rarity")

    def __call__(self, drafts: list[Draft], room: Room) -> list[Draft]:
        names = (self.by,) if isinstance(self.by, str) else self.by
        scores = measured(drafts, names, Means(room.seed, room.models.loss))
        for i, draft in enumerate(drafts):
            kept = {name: value for name, value in draft.difficulty if name not in scores}
            draft.difficulty = tuple({**kept, **{name: float(own[i]) for name, own in scores.items()}}.items())
        if drafts:
            room.found["difficulty"] = {
                name: dict(zip(("least", "quarter", "median", "three quarters", "most"),
                               (float(q) for q in np.quantile(own, [0, 0.25, 0.5, 0.75, 1])), strict=True))
                for name, own in scores.items()
            }  # fmt: skip
        room.journal.close("difficulty", len(drafts), len(drafts))
        return drafts
