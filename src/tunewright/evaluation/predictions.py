"""Predictions on disk: predictions/CONTENDER.SPLIT.jsonl, a header line and one line an item.

The header names the task (none: classification); what a line holds beside id and seconds is the task's (`shapes`).

Written beside and renamed, so that a file is whole or absent. Numbers are written with every digit that
they have: evidence computed from the file equals evidence computed from memory.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from tunewright.core.errors import Problem, RunDamaged, listed
from tunewright.core.files import write_text
from tunewright.core.outcomes import Judged
from tunewright.evaluation.shapes import SHAPES, Shape, shape_of
from tunewright.evaluation.shapes.common import finite

Role = Literal["tuned", "baseline", "variant"]
"""A variant is the tuned model used otherwise: it is compared, and the verdict is not about it."""
VERSION = 1
LADDER = ("tuned", "majority", "unigram", "words", "length", "lexicon", "tfidf", "linear", "copy", "lead", "untuned")
_SHOWN = 20
PLAIN = "classification"
"""The task of a file that names none."""


@dataclass(frozen=True)
class Contender:
    """Predictions with how the report names their maker and which part it plays."""

    predictions: Judged
    title: str
    role: Role = "baseline"

    @property
    def name(self) -> str:
        """The short name: tuned, majority, tfidf, linear, ..."""
        return self.predictions.contender


def write(run_folder: Path, contender: Contender) -> Path:
    """Write one contender's predictions and return the file's path.

    Raises:
        StorageError: as `write_text`.
    """
    p = contender.predictions
    path = Path(run_folder) / "predictions" / f"{p.contender}.{p.split}.jsonl"
    shape = shape_of(p)
    header = {
        "contender": p.contender,
        "title": contender.title,
        "role": contender.role,
        "split": p.split,
        "labels": list(p.labels),
        "version": VERSION,
        **({} if shape.TASK.name == PLAIN else {"task": shape.TASK.name}),
    }
    lines = [json.dumps(header, ensure_ascii=False)]
    for i, item in enumerate(p.ids):
        seconds = None if p.seconds is None else float(p.seconds[i])
        row = {"id": item, **shape.row(p, i), "seconds": seconds}
        lines.append(json.dumps(row, ensure_ascii=False, allow_nan=False))
    write_text(path, "\n".join(lines) + "\n")
    return path


def read(path: Path) -> Contender:
    """The contender in one predictions file.

    Raises:
        RunDamaged: with every line that is wrong (the first 20 in full).
    """
    path = Path(path)
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(Problem(where=str(path), found=f"cannot be read: {error}")) from error
    problems: list[Problem] = []
    header = _header(path, lines[0], problems)
    if problems:
        raise _damaged(*problems)
    labels: list[str] = header["labels"]
    shape = SHAPES[header.get("task", PLAIN)]
    rows: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        row, wrong = _row(line, labels, shape)
        if row is not None and row["id"] in seen:
            wrong = [*wrong, f"id {row['id']!r} stands on line {seen[row['id']]} too"]
        if row is not None:
            seen.setdefault(row["id"], number)
            rows.append(row)
        problems.extend(Problem(where=f"{path.name}, line {number}", found=text) for text in wrong)
    if not rows and not problems:
        problems.append(Problem(where=path.name, found="no predictions after the header"))
    if problems:
        raise _damaged(*problems)
    return _contender(header, rows, shape)


def read_all(run_folder: Path, split: str = "test") -> list[Contender]:
    """Every contender of a split: tuned, the ladder, then the others by name.

    Raises:
        RunDamaged: with the problems of all files together, or because there is no file.
    """
    folder = Path(run_folder) / "predictions"
    paths = [path for path in folder.glob(f"*.{split}.jsonl") if not path.name.startswith(".")]
    found: list[Contender] = []
    problems: list[Problem] = []
    for path in sorted(paths):
        try:
            found.append(read(path))
        except RunDamaged as error:
            problems.extend(error.problems)
    if not paths:
        problems.append(
            Problem(
                where=str(folder),
                found=f"no predictions of split {split!r}",
                allowed=f"files named CONTENDER.{split}.jsonl",
                to_do="run `tunewright evaluate` on this run",
            )
        )
    if problems:
        raise RunDamaged(*problems)
    return sorted(found, key=_rung)


def _rung(contender: Contender) -> tuple[int, int, str]:
    name = contender.name
    return contender.role != "tuned", LADDER.index(name) if name in LADDER else len(LADDER), name


def _damaged(*problems: Problem) -> RunDamaged:
    more = len(problems) - _SHOWN
    shown = list(problems[:_SHOWN])
    if more > 0:
        shown.append(Problem(where=problems[0].where.split(",")[0], found=f"and {more} more lines are wrong"))
    last = shown[-1]
    shown[-1] = Problem(where=last.where, found=last.found, allowed=last.allowed,
                        to_do=last.to_do or "delete the file and run `tunewright evaluate` on this run")  # fmt: skip
    return RunDamaged(*shown)


def _header(path: Path, line: str, problems: list[Problem]) -> dict[str, Any]:
    where = f"{path.name}, line 1 (header)"
    try:
        header = json.loads(line)
    except ValueError:
        header = None
    if not isinstance(header, dict):
        problems.append(Problem(where=where, found="not a JSON object", allowed="the header of a predictions file"))
        return {}
    if header.get("version") != VERSION:
        problems.append(Problem(where=where, found=f"version {header.get('version')!r}", allowed=f"version {VERSION}"))
    problems.extend(
        Problem(where=f"{where}.{name}", found=repr(header.get(name)), allowed="a text")
        for name in ("contender", "title", "split")
        if not isinstance(header.get(name), str)
    )
    if header.get("role") not in get_args(Role):
        problems.append(Problem(where=f"{where}.role", found=repr(header.get("role")), allowed=listed(get_args(Role))))
    if header.get("task", PLAIN) not in SHAPES:
        problems.append(Problem(where=f"{where}.task", found=repr(header["task"]), allowed=listed(list(SHAPES))))
    labels, task = header.get("labels"), header.get("task", PLAIN)
    needed = SHAPES[task].TASK.labels if task in SHAPES else False
    whole = isinstance(labels, list) and (labels or not needed) and all(isinstance(label, str) for label in labels)
    if not whole or len(set(labels or ())) != len(labels or ()):
        problems.append(Problem(where=f"{where}.labels", found=repr(labels), allowed="a list of different texts"))
    return header


def _row(line: str, labels: Sequence[str], shape: Shape) -> tuple[dict[str, Any] | None, list[str]]:
    """The row, or None, and what is wrong with it."""
    try:
        row = json.loads(line)
    except ValueError:
        return None, ["not JSON (cut off?)"]
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        return None, ["not an object with an id"]
    wrong = shape.faults(row, labels)
    seconds = row.get("seconds")
    if seconds is not None and not (finite(seconds) and seconds >= 0):
        wrong.append(f"seconds must be a number of at least 0 or null, found {seconds!r}")
    return row, wrong


def _contender(header: dict[str, Any], rows: list[dict[str, Any]], shape: Shape) -> Contender:
    timed = all(row.get("seconds") is not None for row in rows)
    seconds = np.array([row["seconds"] for row in rows], np.float64) if timed else None
    predictions = shape.predictions((header["contender"], header["split"]), tuple(header["labels"]), rows, seconds)
    return Contender(predictions, header["title"], header["role"])
