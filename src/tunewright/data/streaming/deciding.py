"""What becomes of rows, decided over columns: contradictions, copies, near copies, splits. The same as over drafts.

Each function takes `left`, which rows are still there, and gives the fates of those that leave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Fates:
    """Rows that leave a stage: their places, the outcome and reason of each, and the row that each is held against."""

    rows: Ints
    outcome: str
    reason: str
    of: Ints


def contradictions(
    group: Ints, label: NDArray[np.int32], left: Bools, policy: Literal["drop", "majority", "keep"], reason: str
) -> list[Fates]:
    """Rows that leave since their group bears several labels.

    Args:
        group: the first row of each row's group.
        label: by number, -1 for none: such a row has no say and stays.
        left: the rows that are there.
        policy: `drop` sets all of them aside, `majority` leaves those of the most frequent label, `keep` all.
        reason: the code of a row set aside; that of one outvoted ends in `_minority`.
    """
    if policy == "keep":
        return []
    rows = np.flatnonzero(left & (label >= 0))
    order = rows[np.lexsort((label[rows], group[rows]))]
    new = np.ones(len(order), np.bool_)
    new[1:] = (group[order[1:]] != group[order[:-1]]) | (label[order[1:]] != label[order[:-1]])
    kind = np.cumsum(new) - 1
    counts = np.bincount(kind) if len(kind) else np.zeros(0, np.int64)
    of_group = group[order[new]]
    heads, start, kinds = np.unique(of_group, return_index=True, return_counts=True)
    torn = np.isin(group[order], heads[kinds > 1])
    if not torn.any():
        return []
    most = np.maximum.reduceat(counts, start)
    ties = np.add.reduceat((counts == np.repeat(most, kinds)).astype(np.int64), start) > 1
    place = np.searchsorted(heads, group[order])
    aside = torn & (ties[place] if policy == "majority" else np.True_)
    outvoted = torn & ~aside & (counts[kind] < most[place])
    fates = [Fates(np.sort(order[aside]), "quarantined", reason, np.zeros(0, np.int64)),
             Fates(np.sort(order[outvoted]), "dropped", f"{reason}_minority", np.zeros(0, np.int64))]  # fmt: skip
    return [Fates(f.rows, f.outcome, f.reason, group[f.rows]) for f in fates if len(f.rows)]


def copies(
    group: Ints, label: NDArray[np.int32], left: Bools, reason: str, length: NDArray[np.int32] | None = None
) -> list[Fates]:
    """All rows of a group and label but the first, or but the longest where lengths are given."""
    rows = np.flatnonzero(left)
    longest = np.zeros(len(rows), np.int32) if length is None else -length[rows]
    order = rows[np.lexsort((rows, longest, label[rows], group[rows]))]
    new = np.ones(len(order), np.bool_)
    new[1:] = (group[order[1:]] != group[order[:-1]]) | (label[order[1:]] != label[order[:-1]])
    kept = order[new][np.cumsum(new) - 1]
    gone, of = order[~new], kept[~new]
    by_row = np.argsort(gone)
    return [Fates(gone[by_row], "duplicate", reason, of[by_row])] if len(gone) else []


def firsts(values: NDArray[np.uint64]) -> Ints:
    """(N,) the first place of each value."""
    _, first, back = np.unique(values, return_index=True, return_inverse=True)
    return np.asarray(first[back], dtype=np.int64)


def numbers(values: NDArray[np.uint64]) -> NDArray[np.int32]:
    """(N,) how many equal values came before, with this one: 1, 2, ..."""
    order = np.argsort(values, kind="stable")
    new = np.ones(len(values), np.bool_)
    new[1:] = values[order[1:]] != values[order[:-1]]
    start = np.flatnonzero(new)
    nth = np.empty(len(values), np.int32)
    nth[order] = np.arange(len(values)) - start[np.cumsum(new) - 1] + 1
    return nth
