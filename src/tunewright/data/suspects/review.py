"""Answers of people about suspects, and what they say of the whole list: how precise it is, how many errors there are.

Of the `top` K most suspect rows and of the N - K others each half has its own random order, drawn by hash. The review goes
through the list from the top, and asks every second time one of these random rows. An estimate takes the longest beginning of
a random order that is answered: a simple random sample, whatever else was asked. So

    precision at K = wrong / answered of the first order, with Wilson's interval
    errors = K p1 + (N - K) p2, with p2 of the second order; the interval by the two Wilson intervals (Newcombe 1998, method 10)

and reviewing the most suspect first does not make the list look better than it is. A label is wrong where the answer is
`relabel` or `drop`. What was skipped is left out, which is right where skipping has nothing to do with being wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunewright.core.errors import DataError, Problem, listed
from tunewright.core.files import read_lines, storing, write_lines
from tunewright.core.seeds import key
from tunewright.data.labels.intervals import Figure, refused, wilson
from tunewright.data.suspects.finding import Suspects

Action = Literal["keep", "relabel", "drop", "skip"]
ACTIONS: tuple[Action, ...] = ("keep", "relabel", "drop", "skip")
WRONG = ("relabel", "drop")
_SLICE = 100
_LEAST = 5


@dataclass(frozen=True)
class Answer:
    """What somebody said of a suspect; `label` is the right one where it is `relabel`."""

    id: str
    action: Action
    label: str | None = None
    by: str = ""

    def as_json(self) -> dict[str, Any]:
        """The answer as plain values."""
        return {"id": self.id, "action": self.action, "label": self.label, "by": self.by}


@dataclass(frozen=True)
class Listing:
    """A list to be reviewed: the facts of its first line, and its rows in the file's order."""

    facts: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.facts["labels"])

    def order(self, part: str) -> list[str]:
        """The ids of one part, "top" or "rest", in their random order."""
        own = [row for row in self.rows if row["part"] == part and row["turn"] is not None]
        return [str(row["id"]) for row in sorted(own, key=lambda row: int(row["turn"]))]

    def asked(self) -> list[Mapping[str, Any]]:
        """The rows in the order of the review: from the top on, every second one a random one, from either part in turn."""
        by_id = {row["id"]: row for row in self.rows}
        first = sorted((row for row in self.rows if row["part"] == "top"), key=lambda row: int(row["rank"]))
        mixed = [one for pair in zip(self.order("top"), self.order("rest"), strict=False) for one in pair]
        longest = max(self.order("top"), self.order("rest"), key=len)
        mixed += longest[len(mixed) // 2 :]
        out: dict[str, Mapping[str, Any]] = {}
        for i in range(max(len(first), len(mixed))):
            for row in (*first[i : i + 1], *(by_id[one] for one in mixed[i : i + 1])):
                out.setdefault(str(row["id"]), row)
        return list(out.values())


def write(found: Suspects, path: Path, *, top: int, seed: int) -> Listing:
    """Writes the `top` most suspect rows and a random slice of the others, each with its turn; the first line says what of."""
    ranked = found.first(len(found.drafts))
    top = min(top, len(ranked))
    turns = sorted(range(top), key=lambda i: key(seed, "review top", ranked[i].id))
    others = sorted(range(top, len(ranked)), key=lambda i: key(seed, "review rest", ranked[i].id))[:_SLICE]
    turn = {place: i for i, place in enumerate(turns)} | {place: i for i, place in enumerate(others)}
    chosen = [*range(top), *sorted(others)]
    rows = [
        {**ranked[i].as_json(), "part": "top" if i < top else "rest", "turn": turn.get(i)} for i in chosen
    ]  # fmt: skip
    facts = {
        "suspects": 1, "rows": len(ranked), "top": top, "labels": list(found.labels), "seed": seed,
        "expected_errors": round(found.errors, 1),
    }  # fmt: skip
    write_lines(path, [facts, *rows])
    return Listing(facts, rows)


def read(path: Path) -> Listing:
    """A list that `write` has written.

    Raises:
        DataError: it is none.
    """
    if not path.is_file():
        raise DataError(Problem(where=str(path), found="no such file", to_do="make it with `tunewright data suspects`"))
    try:
        facts, *rows = read_lines(path)
        whole = facts["suspects"] == 1 and isinstance(facts["labels"], list)
        whole = whole and all(
            {"id", "text", "given", "suggested", "part", "turn", "rank"} <= row.keys() for row in rows
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise DataError(
            Problem(
                where=str(path), found="this is no list of suspects", allowed="what `tunewright data suspects` writes"
            )
        )
    return Listing(facts, rows)


def answers_beside(path: Path) -> Path:
    """Where the answers about a list are kept: `suspects.answers.jsonl` beside `suspects.jsonl`."""
    return path.with_name(f"{path.stem}.answers.jsonl")


def append(path: Path, answer: Answer) -> None:
    """Adds one answer to the end of the file: what was answered is never lost, and a later answer takes its place."""
    with storing(path), path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(answer.as_json(), ensure_ascii=False) + "\n")


def answers(path: Path, listing: Listing) -> dict[str, Answer]:
    """The last answer about each row.

    Raises:
        DataError: an unknown action or label, or a row that is not in the list; all at once.
    """
    known = {str(row["id"]) for row in listing.rows}
    out, problems = dict[str, Answer](), list[Problem]()
    for line, row in enumerate(read_lines(path), 1):
        where = f"{path}, line {line}"
        id_, action, label = str(row.get("id")), row.get("action"), row.get("label")
        if id_ not in known:
            problems.append(Problem(where=where, found=f"row {id_}, which the list has not"))
        elif action not in ACTIONS:
            problems.append(Problem(where=where, found=f"{action!r}", allowed=listed(ACTIONS)))
        elif action == "relabel" and label not in listing.labels:
            problems.append(Problem(where=where, found=f"the label {label!r}", allowed=listed(listing.labels)))
        else:
            out[id_] = Answer(id_, action, label if action == "relabel" else None, str(row.get("by") or ""))
    if problems:
        raise DataError(*problems)
    return out


@dataclass(frozen=True)
class Estimate:
    """What the answers say: precision at `top`, the share of errors below it, and how many errors there are in all."""

    top: int
    rows: int
    answered: int
    precision: Figure
    below: Figure
    errors: Figure

    def as_json(self) -> dict[str, Any]:
        """The estimate as plain values."""
        figures = {"precision": self.precision, "below": self.below, "errors": self.errors}
        return {"top": self.top, "rows": self.rows, "answered": self.answered,
                **{name: one.as_json() for name, one in figures.items()}}  # fmt: skip


def estimate(listing: Listing, given: Mapping[str, Answer]) -> Estimate:
    """Precision and errors, each with its 95% interval, or why there is none yet."""
    top, rows = int(listing.facts["top"]), int(listing.facts["rows"])
    first, below = (_share(listing.order(part), given) for part in ("top", "rest"))
    if rows <= top:
        below = Figure(0.0, 0.0, 0.0)
    return Estimate(top, rows, sum(a.action != "skip" for a in given.values()), first, below,
                    _errors(first, below, top, rows - top))  # fmt: skip


def _share(order: Sequence[str], given: Mapping[str, Answer]) -> Figure:
    wrong = n = 0
    for id_ in order:
        if id_ not in given:
            break
        if given[id_].action != "skip":
            n += 1
            wrong += given[id_].action in WRONG
    if n < _LEAST and n < len(order):
        return refused(f"{n} rows of the random order are answered; {min(_LEAST, len(order))} are needed")
    return wilson(wrong, n) if n else refused("no row is answered")


def _errors(first: Figure, below: Figure, top: int, rest: int) -> Figure:
    if first.value is None or below.value is None:
        return refused(first.refused or below.refused)
    parts = [(top, first), (rest, below)]
    value = sum(n * p.value for n, p in parts if p.value is not None)
    down = sum((n * ((p.value or 0) - (p.low or 0))) ** 2 for n, p in parts) ** 0.5
    up = sum((n * ((p.high or 0) - (p.value or 0))) ** 2 for n, p in parts) ** 0.5
    return Figure(value, max(value - down, 0.0), min(value + up, float(top + rest)))
