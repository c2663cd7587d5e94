"""The second pass: spills to splits, and the ledger; each file is finished beside its place and then renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from tunewright.core.records import Event, Source
from tunewright.data.splits import NAMES
from tunewright.data.streaming.batch import ID, column, event_line
from tunewright.data.streaming.settling import Decided

Form = Literal["jsonl", "parquet"]
_START = len('{"id": "')


def write(
    paths: Sequence[Path], bounds: Sequence[int], decided: Decided, form: Form, beside: Path, out: Path
) -> list[str]:
    """Write everything into `beside`, then rename it into `out`; the files there."""
    with ExitStack() as stack:
        put = [_writer(beside / f"{name}.{form}", form, stack) for name in NAMES]
        for path, start, end in zip(paths, bounds, bounds[1:], strict=False):
            lines: list[list[str]] = [[] for _ in NAMES]
            rows = np.flatnonzero(decided.split[start:end] >= 0)
            if len(rows):
                records = column(path, "record")
                for at in rows.tolist():
                    split = int(decided.split[start + at])
                    lines[split].append(_line(records[at], start + at, split, decided))
            path.unlink()
            for each, some in zip(put, lines, strict=True):
                each(some)
    with (beside / "ledger.jsonl").open("a", encoding="utf-8", newline="\n") as file:
        file.writelines(_events(decided))
    ledger = json.dumps({**decided.ledger.as_json(), "found": decided.found}, ensure_ascii=False, indent=1) + "\n"
    (beside / "ledger.json").write_text(ledger, encoding="utf-8", newline="\n")
    out.mkdir(parents=True, exist_ok=True)
    names = [*(f"{name}.{form}" for name in NAMES), "ledger.jsonl", "ledger.json"]
    for name in names:
        with (beside / name).open("rb") as file:
            os.fsync(file.fileno())
        (beside / name).replace(out / name)
    return [str(out / name) for name in names]


def _line(record: str, row: int, split: int, decided: Decided) -> str:
    """The record's line with what was decided since: the number of its id, its split and cluster."""
    nth, cluster = int(decided.nth[row]), int(decided.cluster[row])
    named = f"{record[: _START + ID]}-{nth}{record[_START + ID :]}" if nth > 1 else record
    inside = f', "cluster": "{decided.id_of(cluster)}"' if cluster >= 0 else ""
    return f'{named[:-1]}, "split": "{NAMES[split]}"{inside}}}\n'


def _writer(path: Path, form: Form, stack: ExitStack) -> Any:
    if form == "jsonl":
        file: IO[str] = stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))
        return file.writelines
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([
        *((name, pa.string()) for name in ("id", "text", "label", "pair", "split", "cluster", "file")),
        ("line", pa.int64()), ("offset", pa.int64()),
    ])  # fmt: skip
    table = stack.enter_context(pq.ParquetWriter(path, schema))

    def put(lines: Sequence[str]) -> None:
        rows = [json.loads(line) for line in lines]
        if rows:
            flat = [{**row, **row["source"]} for row in rows]
            table.write_table(pa.Table.from_pylist(flat, schema))

    return put


def _events(decided: Decided) -> Iterator[str]:
    columns = decided.columns
    for stage, fate in decided.fates:
        for row, of in zip(fate.rows.tolist(), fate.of.tolist(), strict=True):
            source = Source(decided.files[columns.file[row]], int(columns.line[row]))
            detail = _detail(decided, row, of, fate.reason)
            yield event_line(Event(stage, fate.outcome, fate.reason, source, decided.id_of(row), detail))


def _detail(decided: Decided, row: int, of: int, reason: str) -> str:
    if of == row:
        return "kept aside as unlabelled" if reason == "missing_label" else ""
    columns = decided.columns
    place = "" if columns.file[row] == columns.file[of] else f"{decided.files[columns.file[of]]}, "
    how = "same as" if reason == "duplicate" else "a copy of" if reason == "near_duplicate" else "with"
    return f"{how} {place}line {columns.line[of]}"
