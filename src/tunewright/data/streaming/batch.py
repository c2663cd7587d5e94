"""What is done to one batch of rows, in whatever process: cleaned, labelled, spilled to a file; columns come back.

A spill is an Arrow IPC file of two columns: the record as the JSON line that will be written (without split and cluster), and
the text that copies are found by. Nothing else of a text stays in memory.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.records import Event, Stage
from tunewright.data.options import Options
from tunewright.data.prepare import labelled
from tunewright.data.rows import Rows
from tunewright.data.similarity.clusters import Prints, batches, prints
from tunewright.data.targets import target_of

ID = 16
"""Hexadecimal digits of an id before its number."""
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


@dataclass(frozen=True)
class Columns:
    """What is known of rows, one entry a row: hashes of id and comparison key, label (-1: none), length, place in its file."""

    id: NDArray[np.uint64]
    key: NDArray[np.uint64]
    label: NDArray[np.int32]
    length: NDArray[np.int32]
    line: NDArray[np.int64]
    file: NDArray[np.int32]


@dataclass(frozen=True)
class Spilled:
    """A finished batch. `labels` and `files` are what its columns count by; `said` are labels as they stood, counted."""

    rows: int
    columns: Columns
    labels: list[str]
    files: list[str]
    said: Counter[str]
    prints: Prints | None
    stages: list[Stage]
    events: str


def spill(rows: Rows, options: Options, threshold: float | None, path: Path) -> Spilled:
    """Clean and label a batch, write it to `path`; prints are taken where there is a threshold."""
    found = labelled(rows, options)
    drafts, shown = found.drafts, target_of(options).shown
    for draft in drafts:
        draft.id = draft.id[:ID]
    texts = [shown(d.text) if d.pair is None else f"{shown(d.text)}\n{d.pair}" for d in drafts]
    _write(path, [_encode(draft.record().as_json()) for draft in drafts], texts)
    labels, files = _Numbers(), _Numbers()
    columns = Columns(
        _hashes(draft.id for draft in drafts),
        _hashes(draft.key for draft in drafts),
        np.array([-1 if d.label is None else labels[d.label] for d in drafts], np.int32),
        np.array([len(d.text) + len(d.pair or "") for d in drafts], np.int32),
        np.array([d.source.line for d in drafts], np.int64),
        np.array([files[d.source.file] for d in drafts], np.int32),
    )
    taken = [prints(batch, threshold) for batch in batches(texts)] if threshold is not None and texts else []
    events = "".join(event_line(_unnumbered(event)) for event in found.journal.ledger.events)
    said = Counter(row.label for row in rows.rows if row.label is not None and row.label.strip())
    return Spilled(
        len(drafts), columns, list(labels), list(files), said, Prints.joined(taken) if taken else None,
        found.journal.ledger.stages, events,
    )  # fmt: skip


def event_line(event: Event) -> str:
    """An event as a line of ledger.jsonl."""
    source = event.source
    row = {
        "stage": event.stage, "outcome": event.outcome, "reason": event.reason,
        "record": event.record,
        "file": source.file, "line": source.line, "offset": source.offset, "detail": event.detail,
    }  # fmt: skip
    return _encode(row) + "\n"


def _unnumbered(event: Event) -> Event:
    """With its row's id without a number: that is known once all rows are read."""
    return event if event.record is None else replace(event, record=event.record[:ID])


class _Numbers(dict[str, int]):
    """Names by the order in which they are asked for."""

    def __missing__(self, name: str) -> int:
        self[name] = len(self)
        return self[name]


def _hashes(names: Iterator[str]) -> NDArray[np.uint64]:
    return np.array([int(name, 16) for name in names], np.uint64)


def _write(path: Path, records: Sequence[str], texts: Sequence[str]) -> None:
    import pyarrow as pa

    batch = pa.record_batch(
        {"record": pa.array(records, pa.large_string()), "text": pa.array(texts, pa.large_string())}
    )
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def column(path: Path, name: str) -> list[str]:
    """One column of a spill."""
    import pyarrow as pa

    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_file(file) as reader:
        values: list[str] = reader.read_all().column(name).to_pylist()
    return values


def texts_at(path: Path, places: NDArray[np.int64]) -> Any:
    """The texts at some places of a spill, as an Arrow array: they take a third of the memory of strings."""
    import pyarrow as pa

    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_file(file) as reader:
        return reader.read_all().column("text").combine_chunks().take(pa.array(places))
