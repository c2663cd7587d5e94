"""Rows that say the same in other words, as far as the user's encoder can tell: cosine of at least the threshold.

    - semantic_duplicates: {threshold: 0.95, keep: all}

Exact: every pair is compared (`similarity/meaning.py` says what that costs). Encoders take negations and numbers for details
("was good", "was not good" may reach 0.95): so rows are only marked unless `keep` says otherwise, and contradicting labels
are left alone unless `conflicts` does. Needs a model that the recipe names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt, Le

from tunewright.core.registry import register
from tunewright.data.journal import Draft
from tunewright.data.similarity.meaning import close_clusters
from tunewright.data.similarity.settling import Conflicts, Keep, Policy, compared, settle
from tunewright.data.steps.protocol import Described, Need, Phase, Room

DESCRIBED: Described = {
    "semantic_duplicate": ("Rows that mean the same as another", "left out"),
    "semantic_leaked": ("Rows that mean the same as one held out", "left out of train"),
    "semantic_conflict": ("Rows of one meaning under different labels", "set aside"),
    "semantic_conflict_minority": ("Rows of one meaning under another label than most", "left out"),
}


@register("step", "semantic_duplicates")
@dataclass(frozen=True)
class SemanticDuplicates:
    """`threshold` is the cosine from which two rows mean the same."""

    phase: ClassVar[Phase] = "rows"
    needs: ClassVar[tuple[Need, ...]] = ("encode",)
    shorthand: ClassVar[str] = "threshold"
    threshold: Annotated[float, Gt(0), Le(1)] = 0.95
    keep: Keep = "all"
    conflicts: Conflicts = "keep"

    def __call__(self, drafts: list[Draft], room: Room) -> list[Draft]:
        if room.encode is None:
            raise ValueError("semantic_duplicates needs a model that encodes texts")
        clusters = close_clusters(room.encode(compared(drafts, room)), self.threshold)
        names = ("semantic_duplicates", "semantic_duplicate", "semantic_leaked", "semantic_conflict")
        return settle(drafts, clusters, Policy(*names, self.keep, self.conflicts), room)
