"""Near copies among all rows: the same words but for a few, in whatever script (`tunewright.data.similarity`).

    - near_duplicates: {threshold: 0.8, keep: first, conflicts: queue}

Every row of a cluster bears its name (`Draft.cluster`), so that no split parts it. `keep` says who of one label stays, `all`
only marks; `conflicts` what happens where near copies bear different labels. Exact copies are gone before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt, Le

from tunewright.core.registry import register
from tunewright.data.journal import Draft
from tunewright.data.similarity.clusters import near_clusters
from tunewright.data.similarity.settling import Conflicts, Keep, Policy, compared, settle
from tunewright.data.steps.protocol import Described, Need, Phase, Room

DESCRIBED: Described = {
    "near_duplicate": ("Near copies of another row", "left out"),
    "near_leaked": ("Near copies of a row held out", "left out of train"),
    "near_conflict": ("Near copies under different labels", "set aside"),
    "near_conflict_minority": ("Near copies under another label than most", "left out"),
    "cluster_alarm": ("A cluster of copies above 1% of the rows", "to be looked at"),
}


@register("step", "near_duplicates")
@dataclass(frozen=True)
class NearDuplicates:
    """`threshold` is the Jaccard coefficient from which two texts are near copies."""

    phase: ClassVar[Phase] = "rows"
    needs: ClassVar[tuple[Need, ...]] = ()
    shorthand: ClassVar[str] = "threshold"
    threshold: Annotated[float, Gt(0), Le(1)] = 0.8
    keep: Keep = "first"
    conflicts: Conflicts = "queue"

    def __call__(self, drafts: list[Draft], room: Room) -> list[Draft]:
        clusters = near_clusters(compared(drafts, room), self.threshold)
        names = ("near_duplicates", "near_duplicate", "near_leaked", "near_conflict")
        return settle(drafts, clusters, Policy(*names, self.keep, self.conflicts), room)
