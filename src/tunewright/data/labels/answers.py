"""What people have decided: a file of JSON lines that only grows. The last line about an item counts; a null label takes it back.

    {"id": "5f...", "item": "36618", "keys": ["9a..."], "label": "1", "by": "anna", "time": "2026-11-30T20:15:00+00:00"}

It is all the state that a queue has: a screen that is left, or killed, goes on where it was; two people may answer one queue in turn.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, Problem, closest, listed
from tunewright.core.files import read_lines, storing
from tunewright.data.labels.queue import Asked


@dataclass(frozen=True, slots=True)
class Answer:
    """One decision; `label` None takes an earlier one back. `via` is "screen" or "file"."""

    id: str
    item: str
    keys: tuple[str, ...]
    label: str | None
    by: str
    time: str
    via: str = "screen"

    def as_json(self) -> dict[str, Any]:
        """The answer as plain values."""
        return {"id": self.id, "item": self.item, "keys": list(self.keys), "label": self.label, "by": self.by,
                "time": self.time, "via": self.via}  # fmt: skip


def beside(queue: Path) -> Path:
    """Where the answers to a queue lie."""
    return queue.with_suffix(".answers.jsonl")


def now() -> str:
    """This second, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Log:
    """The answers in a file. `add` is on the disk when it returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.given: list[Answer] = _read(path)

    def current(self) -> dict[str, Answer]:
        """The answers that count, by id."""
        latest = {one.id: one for one in self.given}
        return {name: one for name, one in latest.items() if one.label is not None}

    def add(self, answer: Answer) -> None:
        """One more line, whole or not at all.

        Raises:
            StorageError: it cannot be written.
        """
        line = (json.dumps(answer.as_json(), ensure_ascii=False) + "\n").encode("utf-8")
        with storing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                size = file.seek(0, os.SEEK_END)
                file.truncate(_whole(file, size))
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        self.given.append(answer)


def _whole(file: Any, size: int) -> int:
    """How much of the file is whole lines: what a killed process left of one is cut off before the next is written."""
    at = size
    while at > 0:
        step = min(4096, at)
        file.seek(at - step)
        found = file.read(step).rfind(b"\n")
        if found >= 0:
            return int(at - step + found + 1)
        at -= step
    return 0


def _read(path: Path) -> list[Answer]:
    try:
        return [
            Answer(str(row["id"]), str(row["item"]), tuple(row.get("keys") or ()), row["label"], str(row["by"]),
                   str(row["time"]), str(row.get("via", "screen")))
            for row in read_lines(path)
        ]  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            Problem(where=str(path), found=f"these are no answers to a queue: {type(error).__name__}: {error}",
                    allowed="JSON lines with id, item, label, by and time", to_do="name the file that review or import wrote")
        ) from None  # fmt: skip


@dataclass(frozen=True)
class Imported:
    """What an import did: answers taken in, those that were known, rows without one, and all that counts now."""

    taken: int
    known: int
    open: int
    current: Mapping[str, Answer]

    def as_json(self) -> dict[str, Any]:
        """The import as plain values."""
        return {"taken": self.taken, "known": self.known, "open": self.open, "answers": len(self.current)}


def take_in(answered: Sequence[Asked], log: Log, by: str, asked: Sequence[Asked] | None = None) -> Imported:
    """Enters the answers that were filled in a queue's file into the log.

    Args:
        answered: the rows of the file as it came back.
        by: who has answered where a row does not say.
        asked: the queue as it was exported, where it is at hand: other ids are refused.

    Raises:
        DataError: unknown labels or ids, each with the closest known one; nothing is entered then.
    """
    ids = None if asked is None else {row.id for row in asked}
    problems = []
    for i, row in enumerate(answered, start=1):
        where = f"row {i}, item {row.item!r}"
        if ids is not None and row.id not in ids:
            problems.append(
                Problem(where=where, found=f"id {row.id!r} is not in the queue", to_do=closest(row.id, ids))
            )
        if row.answer is not None and row.answer not in row.labels:
            problems.append(
                Problem(where=where, found=f"{row.answer!r} is none of its labels", allowed=listed(row.labels),
                        to_do=closest(row.answer, row.labels) or "answer with one of these")
            )  # fmt: skip
    if problems:
        raise DataError(*problems)
    before, taken, known = log.current(), 0, 0
    for row in answered:
        if row.answer is None:
            continue
        old = before.get(row.id)
        if old is not None and old.label == row.answer:
            known += 1
            continue
        log.add(Answer(row.id, row.item, row.keys, row.answer, row.by or by, row.time or now(), "file"))
        taken += 1
    current = log.current()
    return Imported(taken, known, sum(row.id not in current for row in answered), current)


def gold_by_item(answers: Mapping[str, Answer]) -> dict[str, str]:
    """The label that was decided of each item."""
    return {one.item: one.label for one in answers.values() if one.label is not None}


def gold_by_key(answers: Mapping[str, Answer]) -> dict[str, Answer]:
    """The answers by the keys of the contents that they settle."""
    return {key: one for one in answers.values() for key in one.keys}
