"""The data folder of a run: written file by file, each beside its place and renamed; read back as records."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from tunewright.core.errors import Problem, RunDamaged, StorageError
from tunewright.core.files import read_lines, write_json, write_lines
from tunewright.core.records import Annotation, Event, Ledger, Record, Source
from tunewright.data.card import card
from tunewright.data.prepare import Prepared
from tunewright.data.splits import NAMES

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def write(prepared: Prepared, folder: Path) -> None:
    """Write splits, rows set aside, ledger and card into `folder` (a run's `data`).

    Raises:
        StorageError: the folder cannot be written or the disk is full; no half-written file stays.
    """
    tables: dict[str, Iterable[Mapping[str, Any]]] = {
        **{name: (record.as_json() for record in part) for name, part in prepared.splits.items()},
        "unlabelled": (record.as_json() for record in prepared.unlabelled),
        "quarantine": (row.as_json() for row in prepared.quarantined),
        "ledger": (_event(event) for event in prepared.ledger.events),
        "manifest": ({"key": key, "split": split} for key, split in sorted(prepared.manifest.items())),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in tables.items():
            _write(folder / f"{name}.jsonl", (_encode(row) + "\n" for row in rows))
        for name, value in (("ledger", prepared.ledger.as_json()), ("card", card(prepared))):
            _write(folder / f"{name}.json", [json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n"])
    except OSError as error:
        raise StorageError(
            Problem(where=str(error.filename or folder), found=error.strerror or str(error),
                    to_do="free space or choose another folder; what was there before is unchanged")
        ) from None  # fmt: skip


class Unused(Protocol):
    """A record that a later stage cannot use: its id, a reason code, and words."""

    @property
    def id(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def detail(self) -> str: ...


def set_aside(
    folder: Path, splits: Mapping[str, Sequence[Record]], left: Mapping[str, Sequence[Unused]], stage: str = "encode"
) -> None:
    """Enter into a data folder's ledger what a stage after it leaves out of `splits`; a second call replaces the first.

    Raises:
        DataError: the sums do not balance. StorageError: the folder cannot be written.
    """
    known = {record.id: record for part in splits.values() for record in part}
    events = [
        Event(stage, "quarantined", one.reason, known[one.id].source, one.id, one.detail)
        for part in left.values() for one in part
    ]  # fmt: skip
    sums = json.loads((folder / "ledger.json").read_text(encoding="utf-8"))
    stages = [row for row in sums["stages"] if row["name"] != stage]
    if events:
        entered, ledger = sum(map(len, splits.values())), Ledger()
        ledger.close(stage, entered=entered, left=entered - len({e.record for e in events}), events=events)
        stages += ledger.as_json()["stages"]
    if stages == sums["stages"]:
        return
    lines = [row for row in read_lines(folder / "ledger.jsonl") if row.get("stage") != stage]
    write_lines(folder / "ledger.jsonl", [*lines, *map(_event, events)])
    write_json(folder / "ledger.json", {**sums, "stages": stages})


def load(folder: Path) -> dict[str, list[Record]]:
    """The splits of a data folder, as `write` left them.

    Raises:
        RunDamaged: a file is missing or not what was written.
    """
    return {name: load_records(folder / f"{name}.jsonl") for name in NAMES}


def load_records(path: Path) -> list[Record]:
    """The records of one file.

    Raises:
        RunDamaged: the file is missing or not what was written.
    """
    try:
        return [_record(json.loads(line)) for line in path.read_bytes().split(b"\n") if line]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunDamaged(
            Problem(where=str(path), found=f"cannot be read back: {error}", to_do="prepare the data again")
        ) from None


def _record(row: Mapping[str, Any]) -> Record:
    place = row["source"]
    return Record(
        row["id"],
        row["text"],
        row["label"],
        Source(place["file"], place["line"], place.get("offset", 0), place.get("length", 0)),
        row.get("pair"),
        row.get("split"),
        tuple(row.get("flags", ())),
        tuple(row.get("parents", ())),
        tuple(Annotation(one["by"], one["label"], one.get("time")) for one in row.get("annotations", ())),
        tuple(row.get("soft", {}).items()),
        row.get("weight", 1.0),
        row.get("cluster"),
        row.get("group"),
        row.get("time"),
        tuple(row.get("difficulty", {}).items()),
    )


def _event(event: Event) -> dict[str, Any]:
    return {
        "stage": event.stage,
        "outcome": event.outcome,
        "reason": event.reason,
        "record": event.record,
        "file": event.source.file,
        "line": event.source.line,
        "offset": event.source.offset,
        "length": event.source.length,
        "detail": event.detail,
    }


def _batched(lines: Iterable[str], count: int = 2000) -> Iterator[str]:
    held: list[str] = []
    for line in lines:
        held.append(line)
        if len(held) >= count:
            yield "".join(held)
            held.clear()
    yield "".join(held)


def _write(path: Path, lines: Iterable[str]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            for part in _batched(lines):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
