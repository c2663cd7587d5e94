"""The stages over a source of any length: read and clean batch by batch, decide over columns, write batch by batch.

    read -> clean -> spill   (processes beside this one, a batch at a time)
    columns -> contradictions, copies, near copies, splits   (numbers alone: about 150 bytes a row)
    spill -> train / validation / test, ledger   (a batch at a time)

What comes out is what `prepare` makes of the same rows with the same options, row for row; reasons and sums are the same, and
the words beside them shorter. Refuses what needs all rows as objects: tasks other than one label a row, steps of rows other
than near_duplicates, folds, strata, groups, times, manifests, limits, files given for validation or test.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tunewright.core.errors import DataError, Problem, RecipeError
from tunewright.core.files import storing
from tunewright.core.records import Ledger, Stage
from tunewright.data.options import Division, Options
from tunewright.data.prepare import steps_of
from tunewright.data.reading import read_batches
from tunewright.data.remote import placed
from tunewright.data.rows import Rows
from tunewright.data.similarity.clusters import Prints
from tunewright.data.steps.near_duplicates import NearDuplicates
from tunewright.data.streaming.batch import Columns, Spilled, spill
from tunewright.data.streaming.settling import Decided, decide
from tunewright.data.streaming.workers import in_order
from tunewright.data.streaming.writing import Form, write
from tunewright.data.targets import target_of
from tunewright.data.targets.names import near_labels

BATCH = 10_000


@dataclass(frozen=True)
class Streamed:
    """What was written: rows by split, the ledger's sums, what was found about copies."""

    splits: dict[str, int]
    ledger: Ledger
    found: dict[str, Any]
    files: list[str]

    def as_json(self) -> dict[str, Any]:
        """The outcome as plain values."""
        return {"splits": self.splits, "files": self.files, "found": self.found, **self.ledger.as_json()}


def stream(
    options: Options,
    out: Path,
    *,
    base: Path = Path(),
    seed: int = 0,
    form: Form = "jsonl",
    processes: int = 1,
    size: int = BATCH,
) -> Streamed:
    """Clean, deduplicate and divide the files of `options` into the folder `out`.

    Args:
        options: as for `prepare`; among the steps of rows near_duplicates alone.
        out: gets train, validation and test, ledger.json and ledger.jsonl; each is whole or as it was.
        base: what paths are relative to.
        seed: of the splits.
        form: jsonl or parquet.
        processes: how many clean beside this one, which reads; with 1 none does.
        size: rows of a batch.

    Raises:
        RecipeError: the options ask for what cannot be done in bounded memory. DataError: a file cannot be read.
        StorageError: the disk is full, or `out` cannot be written.
    """
    near = _checked(options)
    with storing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
    try:
        with storing(beside):
            read = _read(options, base, near, beside, processes, size)
            decided = decide(
                read.columns, read.labels, read.files, read.prints, read.paths, options, near, seed, read.bounds
            )
            for stage in (*read.stages.values(), *decided.stages):
                _close(decided.ledger, stage)
            files = write(read.paths, read.bounds, decided, form, beside, out)
        return Streamed(decided.sizes, decided.ledger, decided.found, files)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _close(ledger: Ledger, stage: Stage) -> None:
    if not stage.balances:
        raise DataError(Problem(where=f"ledger, stage {stage.name!r}", found="its sums do not balance",
                                to_do="this is a defect: please report it with the file that shows it"))  # fmt: skip
    ledger.stages.append(stage)


def _checked(options: Options) -> NearDuplicates | None:
    """The step that finds near copies, if there is one."""
    problems = []

    def refuse(where: str, found: str, allowed: str = "") -> None:
        problems.append(Problem(where=where, found=found, allowed=allowed,
                                to_do="use `tunewright data check --out` for sets that fit into memory"))  # fmt: skip

    if options.task != "classification":
        refuse("task", options.task, "classification: one label a row, or none")
    if options.validation or options.test:
        refuse(
            "data",
            "files given for validation or test",
            "files for train alone; `data leaks --against` compares others",
        )
    division = options.division
    if division != Division():
        refuse("data.split", "a division other than by content", "by content and cluster")
    if options.limit is not None:
        refuse("data.limit", str(options.limit), "no limit")
    near = [step for step in steps_of(options) if isinstance(step, NearDuplicates)]
    others = [type(step).__name__ for step in steps_of(options) if step.phase != "texts" and step not in near]
    if others or len(near) > 1:
        refuse("data.steps", ", ".join(others) or "near_duplicates twice", "steps over texts, and near_duplicates once")
    if problems:
        raise RecipeError(*problems)
    return near[0] if near else None


@dataclass
class _Read:
    """What the first pass leaves in memory."""

    columns: Columns
    labels: list[str]
    files: list[str]
    prints: list[Prints | None]
    stages: dict[str, Stage]
    paths: list[Path]
    bounds: list[int] = field(default_factory=lambda: [0])


def _read(options: Options, base: Path, near: NearDuplicates | None, beside: Path, processes: int, size: int) -> _Read:
    target = target_of(options)
    paths = [placed(path, base) for path in options.train]
    batches = read_batches(paths, options.columns, options.form, size, None, target)
    threshold = near.threshold if near else None
    spilled = list[Columns]()
    labels, files, said = dict[str, int](), dict[str, int](), Counter[str]()
    done = _Read(_EMPTY, [], [], [], {}, [])
    with (beside / "ledger.jsonl").open("w", encoding="utf-8", newline="\n") as events:
        for part in in_order(spill, _asked(batches, options, threshold, beside, done.paths), processes):
            events.write(part.events)
            said.update(part.said)
            spilled.append(_renumbered(part, labels, files))
            done.prints.append(part.prints)
            done.bounds.append(done.bounds[-1] + part.rows)
            for stage in part.stages:
                done.stages[stage.name] = _added(done.stages.get(stage.name), stage)
    errors = near_labels(said, options.label_map)
    if errors:
        raise DataError(*errors)
    done.labels, done.files = list(labels), list(files)
    if spilled:
        done.columns = Columns(
            *(np.concatenate([getattr(c, name) for c in spilled]) for name in Columns.__dataclass_fields__)
        )
    return done


_EMPTY = Columns(
    np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int64),
    np.zeros(0, np.int32),
)  # fmt: skip


def _asked(
    batches: Iterable[Rows], options: Options, threshold: float | None, beside: Path, paths: list[Path]
) -> Iterator[tuple[Rows, Options, float | None, Path]]:
    for i, rows in enumerate(batches):
        paths.append(beside / f"{i:06d}.arrow")
        yield rows, options, threshold, paths[-1]


def _renumbered(part: Spilled, labels: dict[str, int], files: dict[str, int]) -> Columns:
    """The columns of a batch with labels and files as all batches count them."""
    of_label = np.array([*(labels.setdefault(name, len(labels)) for name in part.labels), -1], np.int32)
    of_file = np.array([*(files.setdefault(name, len(files)) for name in part.files), -1], np.int32)
    c = part.columns
    return Columns(c.id, c.key, of_label[c.label], c.length, c.line, of_file[c.file])


def _added(one: Stage | None, other: Stage) -> Stage:
    if one is None:
        return other
    reasons = dict(Counter(one.reasons) + Counter(other.reasons))
    return Stage(
        one.name, one.entered + other.entered, one.added + other.added, one.left + other.left, one.dropped + other.dropped,
        one.quarantined + other.quarantined, one.changed + other.changed, reasons,
    )  # fmt: skip


__all__ = ["Decided", "Streamed", "stream"]
