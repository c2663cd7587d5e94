"""The adjudication queue: what people shall decide, one row each, as JSON lines or CSV, with stable ids.

A row bears its text, every candidate with its votes and probability, the model's opinion, and why it is here. Its `answer` is left
empty: it is filled in the file, or on a terminal screen, and imported; answers live in a file of their own (`answers.py`).
`id` depends on the item alone, so that a queue that is exported again asks nobody twice; `keys` are the content keys of the rows
that an answer settles.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, Problem, counted
from tunewright.core.files import read_lines, write_lines, write_text
from tunewright.core.records import content_id
from tunewright.data.journal import folded
from tunewright.data.labels.arbitration.decision import Arbitrated
from tunewright.data.labels.votes import Votes

COLUMNS = ("id", "item", "text", "candidates", "opinion", "reason", "detail", "labels", "keys", "answer", "by", "time")
_SEPARATOR = "\n———\n"
UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A label that may be right: how many said so, and how probable it is; None where nothing says."""

    label: str
    votes: int = 0
    probability: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The candidate as plain values."""
        return {"label": self.label, "votes": self.votes, "probability": self.probability}


@dataclass(frozen=True, slots=True)
class Asked:
    """One row of the queue. `labels` are all that may be answered, the candidates first."""

    id: str
    item: str
    text: str
    candidates: tuple[Candidate, ...]
    reason: str
    labels: tuple[str, ...]
    opinion: tuple[tuple[str, float], ...] = ()
    detail: str = ""
    keys: tuple[str, ...] = ()
    answer: str | None = None
    by: str | None = None
    time: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The row as plain values, in the order of `COLUMNS`."""
        return {
            "id": self.id, "item": self.item, "text": self.text, "candidates": [c.as_json() for c in self.candidates],
            "opinion": dict(self.opinion), "reason": self.reason, "detail": self.detail, "labels": list(self.labels),
            "keys": list(self.keys), "answer": self.answer, "by": self.by, "time": self.time,
        }  # fmt: skip


def key_of(text: str, pair: str | None = None) -> str:
    """What is the same for rows of the same content, as the stages of the data side compare them."""
    return content_id(folded(text), None if pair is None else folded(pair))


def of_arbitration(found: Arbitrated, votes: Votes) -> list[Asked]:
    """The items that arbitration could not decide."""
    made = []
    for one in found.queued:
        soft, counts = dict(one.soft), dict(one.votes)
        candidates = tuple(
            Candidate(name, counts.get(name, 0), soft.get(name)) for name in dict.fromkeys((*soft, *counts))
        )
        text = votes.texts.get(one.item, "")
        made.append(
            Asked(
                content_id("item", one.item), one.item, text, candidates, one.queue, _all(candidates, found.labels),
                one.opinion, _spread(one.spread), (key_of(text),) if text else (),
            )
        )  # fmt: skip
    return made


def _spread(spread: float | None) -> str:
    return "" if spread is None else f"spread {spread:g}"


def _all(candidates: Sequence[Candidate], labels: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*(c.label for c in candidates), *labels)))


@dataclass
class _Case:
    """Rows set aside that one answer settles."""

    reason: str
    detail: str
    texts: dict[str, str] = field(default_factory=dict)
    votes: Counter[str] = field(default_factory=Counter)
    soft: dict[str, float] = field(default_factory=dict)


def of_quarantine(rows: Iterable[Mapping[str, Any]], labels: Iterable[str] = ()) -> list[Asked]:
    """Rows that a run or a check has set aside because their labels contradict each other, or could not be decided.

    Rows of one text are one question, and so are near copies of one cluster; other reasons are none that an answer mends.

    Args:
        rows: of a `quarantine.jsonl`.
        labels: further ones that may be answered.
    """
    cases: dict[tuple[str, str], _Case] = {}
    seen = set(labels)
    for row in rows:
        reason = str(row.get("reason", ""))
        if row.get("text") is None or not ("conflict" in reason or reason == UNDECIDED):
            continue
        key = key_of(row["text"], row.get("pair"))
        near = reason not in (UNDECIDED, "conflict") and row.get("cluster")
        case = cases.setdefault(
            ("cluster", str(row["cluster"])) if near else ("key", key), _Case(reason, str(row.get("detail", "")))
        )
        case.texts.setdefault(key, row["text"] if row.get("pair") is None else f"{row['text']}\n{row['pair']}")
        said = [str(one["label"]) for one in row.get("annotations") or ()] or (
            [row["label"]] if row.get("label") else []
        )
        case.votes.update(said)
        case.soft.update(row.get("soft") or {})
        seen.update(said)
    made = []
    for (kind, name), case in sorted(cases.items()):
        order = sorted({*case.votes, *case.soft}, key=lambda c, case=case: (-case.soft.get(c, 0.0), -case.votes[c], c))  # type: ignore[misc]
        candidates = tuple(Candidate(c, case.votes[c], case.soft.get(c)) for c in order)
        made.append(
            Asked(
                content_id(kind, name), name, _SEPARATOR.join(case.texts.values()), candidates, case.reason,
                _all(candidates, sorted(seen)), detail=case.detail, keys=tuple(case.texts),
            )
        )  # fmt: skip
    return made


def write_queue(rows: Sequence[Asked], path: Path) -> None:
    """Writes the queue as JSON lines, or as CSV where the name ends so.

    Raises:
        DataError: another ending. StorageError: it cannot be written.
    """
    ending = path.suffix.lower()
    if ending == ".jsonl":
        write_lines(path, [row.as_json() for row in rows])
    elif ending == ".csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        for row in rows:
            cells = row.as_json()
            packed = {n: json.dumps(cells[n], ensure_ascii=False) for n in ("candidates", "opinion", "labels", "keys")}
            writer.writerow({**{n: "" if v is None else v for n, v in cells.items()}, **packed})
        write_text(path, text.getvalue())
    else:
        raise DataError(Problem(where=str(path), found=f"a file ending in {ending!r}", allowed=".jsonl or .csv"))


def read_queue(path: Path) -> list[Asked]:
    """The rows of a queue, with the answers that somebody filled in.

    Raises:
        DataError: it is no queue.
    """
    try:
        if path.suffix.lower() == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                table = csv.DictReader(file)
                lacking = [name for name in COLUMNS if name not in (table.fieldnames or ())]
                if lacking:
                    raise ValueError(f"no column {lacking[0]!r}")
                rows = [_unpacked(row) for row in table]
        else:
            if not path.exists():
                raise FileNotFoundError("there is no such file")
            rows = read_lines(path)
        return [_asked(row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise DataError(
            Problem(where=str(path), found=f"it is no adjudication queue: {type(error).__name__}: {error}",
                    allowed="what `tunewright data queue export` wrote, with answers filled in",
                    to_do="export it again: answers that were given stay")
        ) from None  # fmt: skip


def _unpacked(row: Mapping[str, Any]) -> dict[str, Any]:
    packed = {n: json.loads(row[n] or "null") for n in ("candidates", "opinion", "labels", "keys")}
    return {**row, **packed}


def _asked(row: Mapping[str, Any]) -> Asked:
    candidates = tuple(Candidate(c["label"], int(c["votes"]), c["probability"]) for c in row["candidates"])
    return Asked(
        str(row["id"]), str(row["item"]), str(row["text"]), candidates, str(row["reason"]), tuple(row["labels"]),
        tuple((row["opinion"] or {}).items()), str(row["detail"] or ""), tuple(row["keys"] or ()),
        *((str(row[name]).strip() or None) if row.get(name) else None for name in ("answer", "by", "time")),
    )  # fmt: skip


def said(rows: Sequence[Asked]) -> str:
    """How many rows for which reasons, in words."""
    why = Counter(row.reason for row in rows)
    return f"{counted(len(rows), 'item')}: " + ", ".join(f"{n} {reason}" for reason, n in why.most_common())
