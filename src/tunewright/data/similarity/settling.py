"""What becomes of clusters of copies: who stays, what is said of those that go, and what contradictions cost.

In this order, within a cluster: a row of a file given for test stays, and its copies in validation and train leave as
leaked, as those of validation leave train; labels that contradict each other are settled (`queue`: all of them are set
aside for people to decide, `majority`: the target's majority stays and a tie is set aside, `keep`: all stay); of what is
left one row of each label stays (`first` in reading order, or the `longest`), or `all`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tunewright.data.journal import Draft, excerpt
from tunewright.data.similarity.clusters import alarm
from tunewright.data.similarity.unions import Unions
from tunewright.data.steps.protocol import Room

Keep = Literal["first", "longest", "all"]
Conflicts = Literal["queue", "majority", "keep"]
_RANK = {"test": 0, "validation": 1}


@dataclass(frozen=True)
class Policy:
    """How a step settles its clusters, and under which names it says so."""

    stage: str
    duplicate: str
    leaked: str
    conflict: str
    keep: Keep
    conflicts: Conflicts


def compared(drafts: Sequence[Draft], room: Room) -> list[str]:
    """What of each row is compared: the text as people read it, with the second text where there is one."""
    shown = room.target.shown
    return [shown(d.text) if d.pair is None else f"{shown(d.text)}\n{d.pair}" for d in drafts]


def settle(drafts: list[Draft], clusters: NDArray[np.int64], policy: Policy, room: Room) -> list[Draft]:
    """Mark the clusters, let rows go as the policy says, close the stage, and tell `room.found` the counts.

    A cluster's name is the smallest id in it; one that a row bore before goes on as part of the new one.
    """
    groups = _groups(drafts, clusters)
    for group in groups:
        name = min(draft.id for draft in group)
        for draft in group:
            draft.cluster = name
    places = {id(draft): i for i, draft in enumerate(drafts)}
    firsts = np.arange(len(drafts))
    for group in groups:
        firsts[[places[id(draft)] for draft in group]] = places[id(group[0])]
    alarms = alarm(firsts)
    for found in alarms:
        draft = drafts[found.first]
        detail = f"{found.rows:,} rows ({found.share:.1%}) are one cluster: look whether they are copies, or raise the threshold"
        room.journal.show("cluster_alarm", draft.source, draft.text, detail)
    gone: set[int] = set()
    torn = 0
    for group in groups:
        left = [draft for draft in group if id(draft) not in gone]
        left = _without_leaked(left, policy, room, gone)
        left, contradicted = _without_conflicts(left, drafts, policy, room, gone)
        torn += contradicted
        _thinned(left, policy, room, gone)
    kept = [draft for draft in drafts if id(draft) not in gone]
    room.journal.close(policy.stage, len(drafts), len(kept))
    room.found[policy.stage] = _said(drafts, groups, torn, [(drafts[a.first].cluster, a.rows, a.share) for a in alarms])
    return kept


def _said(
    drafts: Sequence[Draft],
    groups: Sequence[Sequence[Draft]],
    torn: int,
    alarms: Sequence[tuple[str | None, int, float]],
) -> Mapping[str, Any]:
    return {
        "rows": len(drafts),
        "clusters": len(groups),
        "in_clusters": sum(map(len, groups)),
        "largest": max(map(len, groups), default=0),
        "contradicted": torn,
        "alarms": [{"cluster": name, "rows": rows, "share": share} for name, rows, share in alarms],
    }


def _groups(drafts: Sequence[Draft], clusters: NDArray[np.int64]) -> list[list[Draft]]:
    """Clusters of two rows and more, in reading order, with those that rows bore before."""
    unions = Unions(len(drafts))
    unions.unite(np.arange(len(drafts)), clusters)
    before: dict[str, int] = {}
    old = [(i, before.setdefault(d.cluster, i)) for i, d in enumerate(drafts) if d.cluster is not None]
    if old:
        left, right = np.array(old).T
        unions.unite(left, right)
    groups: dict[int, list[Draft]] = defaultdict(list)
    for draft, root in zip(drafts, unions.roots.tolist(), strict=True):
        groups[root].append(draft)
    return [group for group in groups.values() if len(group) > 1]


def _without_leaked(group: list[Draft], policy: Policy, room: Room, gone: set[int]) -> list[Draft]:
    best = min((_RANK.get(draft.split or "", 2) for draft in group), default=2)
    if policy.keep == "all" or best == 2:
        return group
    held = next(draft for draft in group if _RANK.get(draft.split or "", 2) == best)
    stay = []
    for draft in group:
        if _RANK.get(draft.split or "", 2) == best:
            stay.append(draft)
            continue
        gone.add(id(draft))
        room.journal.note(policy.stage, "leaked", policy.leaked, draft, f"{_copy_of(held, draft)}, in {held.split}")
    return stay


def _without_conflicts(
    group: list[Draft], drafts: Sequence[Draft], policy: Policy, room: Room, gone: set[int]
) -> tuple[list[Draft], bool]:
    known = [draft for draft in group if draft.label is not None]
    torn = len({draft.label for draft in known}) > 1 and bool(room.target.conflicts([known], drafts))
    if not torn or policy.conflicts == "keep":
        return group, torn
    agreed = room.target.majority(known) if policy.conflicts == "majority" else None
    labels = ", ".join(sorted({repr(excerpt(draft.label or "")) for draft in known}))
    for draft in known:
        if agreed is None:
            room.journal.note(policy.stage, "quarantined", policy.conflict, draft, f"cluster {draft.cluster}: {labels}")
            gone.add(id(draft))
        elif draft.label != agreed:
            detail = f"cluster {draft.cluster}: most say {excerpt(agreed)!r}"
            room.journal.note(policy.stage, "dropped", f"{policy.conflict}_minority", draft, detail)
            gone.add(id(draft))
    return [draft for draft in group if id(draft) not in gone], torn


def _thinned(group: list[Draft], policy: Policy, room: Room, gone: set[int]) -> None:
    if policy.keep == "all":
        return
    by_label: dict[str | None, list[Draft]] = defaultdict(list)
    for draft in group:
        by_label[draft.label].append(draft)
    for same in by_label.values():
        stays = (
            same[0] if policy.keep == "first" else max(same, key=lambda draft: len(draft.text) + len(draft.pair or ""))
        )
        for draft in same:
            if draft is not stays:
                gone.add(id(draft))
                room.journal.note(policy.stage, "duplicate", policy.duplicate, draft, _copy_of(stays, draft))


def _copy_of(kept: Draft, draft: Draft) -> str:
    same = kept.source.file == draft.source.file
    return f"a copy of line {kept.source.line}" if same else f"a copy of {kept.source.file}, line {kept.source.line}"
