"""All decisions of a streamed run, in the order of `prepare`'s stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.records import Ledger, Stage
from tunewright.data.options import Options
from tunewright.data.similarity.clusters import Prints, alarm, candidates, clusters_of
from tunewright.data.splits import NAMES, split_of
from tunewright.data.steps.near_duplicates import NearDuplicates
from tunewright.data.streaming.batch import Columns, texts_at
from tunewright.data.streaming.deciding import Bools, Fates, Ints, contradictions, copies, firsts, numbers
from tunewright.data.targets import target_of

_AT_ONCE = 1 << 16


@dataclass
class Decided:
    """Where every row goes: `split (N,)` a number of NAMES or -1, `nth` of its id, `cluster` the row that names it (-1)."""

    columns: Columns
    files: Sequence[str]
    split: NDArray[np.int8]
    nth: NDArray[np.int32]
    cluster: Ints
    fates: list[tuple[str, Fates]] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)

    def id_of(self, row: int) -> str:
        """A row's id, with its number where its content came before."""
        nth = int(self.nth[row])
        return f"{int(self.columns.id[row]):016x}" + (f"-{nth}" if nth > 1 else "")


def decide(
    columns: Columns, labels: Sequence[str], files: Sequence[str], prints: list[Prints | None], paths: Sequence[Path],
    options: Options, near: NearDuplicates | None, seed: int, bounds: Sequence[int],
) -> Decided:  # fmt: skip
    """Contradictions, copies, near copies, splits.

    Args:
        columns: of all rows that were read, cleaned and given a label.
        labels, files: what the columns count by.
        prints: of the same rows by spill, where near copies are looked for; the list is emptied.
        paths, bounds: the spills, and at which row each begins, with the end of the last.
        options, near, seed: what is asked.
    """
    n = len(columns.id)
    made = Decided(columns, files, np.full(n, -1, np.int8), numbers(columns.id), np.full(n, -1, np.int64))
    left = np.ones(n, np.bool_)
    if options.columns.labels:
        none = np.flatnonzero(columns.label < 0)
        _leave(made, "unlabelled", left, [Fates(none, "dropped", "missing_label", none)])
    group = firsts(columns.key)
    reason = target_of(options).conflict
    _leave(made, "conflicts", left, contradictions(group, columns.label, left, options.conflicts, reason))
    if options.duplicates:
        _leave(made, "duplicates", left, copies(group, columns.label, left, "duplicate"))
    del group
    if near is not None and any(prints):
        _near(made, left, prints, paths, bounds, near)
    _divide(made, left, options, seed)
    return made


def _leave(made: Decided, name: str, left: Bools, fates: Sequence[Fates]) -> None:
    """Close a stage."""
    entered = int(left.sum())
    fates = [fate for fate in fates if len(fate.rows)]
    for fate in fates:
        left[fate.rows] = False
    aside = sum(len(fate.rows) for fate in fates if fate.outcome == "quarantined")
    gone = sum(len(fate.rows) for fate in fates) - aside
    reasons = {fate.reason: len(fate.rows) for fate in fates}
    made.stages.append(Stage(name, entered, 0, int(left.sum()), gone, aside, 0, reasons))
    made.fates += [(name, fate) for fate in fates]


def _near(
    made: Decided,
    left: Bools,
    prints: list[Prints | None],
    paths: Sequence[Path],
    bounds: Sequence[int],
    step: NearDuplicates,
) -> None:
    rows, columns = np.flatnonzero(left), made.columns
    found = _of_rows(prints, left, bounds)
    asked = candidates(found)
    texts = _texts(rows[asked], paths, bounds)
    clusters = clusters_of(found, step.threshold, lambda at: texts.take(np.searchsorted(asked, at)).to_pylist())
    group = np.arange(len(left))
    group[rows] = rows[clusters]
    sizes = np.bincount(clusters, minlength=len(rows))
    many = rows[sizes[clusters] > 1]
    _name(made, group, many)
    alarms = [
        {"cluster": made.id_of(int(made.cluster[rows[a.first]])), "rows": a.rows, "share": a.share}
        for a in alarm(clusters)
    ]
    policy = {"queue": "drop", "majority": "majority", "keep": "keep"}[step.conflicts]
    inside = np.zeros(len(left), np.bool_)
    inside[many] = True
    torn = contradictions(group, columns.label, inside, policy, "near_conflict")  # type: ignore[arg-type]
    for fate in torn:
        inside[fate.rows] = False
    length = columns.length if step.keep == "longest" else None
    thinned = [] if step.keep == "all" else copies(group, columns.label, inside, "near_duplicate", length)
    contradicted = contradictions(group, columns.label, left & (made.cluster >= 0), "drop", "")
    _leave(made, "near_duplicates", left, [*torn, *thinned])
    made.found["near_duplicates"] = {
        "rows": len(rows),
        "clusters": int((sizes > 1).sum()),
        "in_clusters": len(many),
        "largest": int(sizes.max()) if len(many) else 0,
        "contradicted": len(np.unique(group[contradicted[0].rows])) if contradicted else 0,
        "alarms": alarms,
    }


def _of_rows(prints: list[Prints | None], left: Bools, bounds: Sequence[int]) -> Prints:
    """The prints of the rows that are left; `prints` is emptied."""
    parts = []
    for i, (start, end) in enumerate(pairwise(bounds)):
        part, prints[i] = prints[i], None
        if part is not None:
            parts.append(part.taken(np.flatnonzero(left[start:end])))
    return Prints.joined(parts)


def _name(made: Decided, group: Ints, many: Ints) -> None:
    """Let the row with the smallest id name each cluster."""
    order = many[np.lexsort((made.nth[many], made.columns.id[many], group[many]))]
    _, first, back = np.unique(group[order], return_index=True, return_inverse=True)
    made.cluster[order] = order[first][back]


def _texts(rows: Ints, paths: Sequence[Path], bounds: Sequence[int]) -> Any:
    """The texts of rows, read spill by spill."""
    import pyarrow as pa

    cuts = np.searchsorted(rows, bounds)
    parts = [
        texts_at(path, rows[low:high] - start)
        for path, start, low, high in zip(paths, bounds, cuts, cuts[1:], strict=False)
        if high > low
    ]
    return pa.concat_arrays(parts) if parts else pa.array([], pa.large_string())


def _divide(made: Decided, left: Bools, options: Options, seed: int) -> None:
    rows = np.flatnonzero(left)
    unit = made.columns.key[rows].copy()
    cluster = made.cluster[rows]
    inside = np.flatnonzero(cluster >= 0)
    if len(inside):
        _, back = np.unique(cluster[inside], return_inverse=True)
        least = np.full(int(back.max()) + 1, np.iinfo(np.uint64).max, np.uint64)
        np.minimum.at(least, back, unit[inside])
        unit[inside] = least[back]
    number = {name: i for i, name in enumerate(NAMES)}
    for start in range(0, len(rows), _AT_ONCE):
        some = unit[start : start + _AT_ONCE].tolist()
        where = [number[split_of(f"{key:016x}", seed, options.shares)] for key in some]
        made.split[rows[start : start + _AT_ONCE]] = np.array(where, np.int8)
    made.sizes = {name: int((made.split == i).sum()) for i, name in enumerate(NAMES)}
    _leave(made, "split", left, [])
