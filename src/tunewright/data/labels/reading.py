"""Votes from a table: a row an answer, a column an annotator, or rows that bear a list `annotations`.

    long          item,annotator,label        one row for each item and annotator
    wide          item,anna,ben,chris         one row an item, one column for each annotator; an empty cell is no answer
    annotations   {"text": ..., "annotations": [{"by": "anna", "label": "good"}, ...]}

Every row is accounted for: read, or left out with a reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, Problem, closest, counted, listed
from tunewright.core.records import content_id
from tunewright.data.labels.votes import Level, Vote, Votes, gathered
from tunewright.data.rows import AS_FOUND, Fault, Form, Table, UnfitError, as_text
from tunewright.data.tables import open_table

Cell = Callable[[str], str | None]
"""A row's cell by its column, as text; None where it is empty."""


@dataclass(frozen=True)
class Named:
    """The columns. `annotators` are those of the wide form, `annotations` that of lists; else `annotator` and `label`.

    item: without it, equal texts are one item, and without texts each row is one.
    """

    item: str | None = None
    annotator: str | None = None
    label: str | None = None
    text: str | None = None
    time: str | None = None
    annotators: tuple[str, ...] = ()
    annotations: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        single = (self.item, self.annotator, self.label, self.text, self.time, self.annotations)
        return tuple(dict.fromkeys(name for name in (*single, *self.annotators) if name))


@dataclass
class Told:
    """What was read: votes, texts by item, rows seen, and why some were left out."""

    votes: list[Vote] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    left: Counter[str] = field(default_factory=Counter)

    def notes(self) -> list[str]:
        """What was left out, in words."""
        return [f"{counted(n, 'row')} left out: {reason.replace('_', ' ')}" for reason, n in sorted(self.left.items())]


def read_votes(
    path: Path, named: Named, *, level: Level = "nominal", order: Sequence[str] = (), form: Form = AS_FOUND
) -> tuple[Votes, Told]:
    """The votes of a file, and what became of its rows.

    Raises:
        DataError: the file cannot be read, has no such columns, or no vote.
    """
    table = open_table(path, form, named.names or None)
    named = _settled(table, named, path)
    told = Told()
    take = _annotations if named.annotations else _wide if named.annotators else _long
    for number, cell in _rows(table, told):
        try:
            found = list(take(cell, named, number))
            text = cell(named.text) if named.text else None
        except UnfitError as unfit:
            told.left[unfit.reason] += 1
            continue
        if not found:
            told.left["no_answer"] += 1
        told.votes += found
        if text is not None:
            told.texts.update((vote.item, text) for vote in found)
    where = f"{path}, {told.rows} rows" + "".join(f"; {note}" for note in told.notes())
    return gathered(told.votes, level=level, order=order, texts=told.texts, where=where), told


def _rows(table: Table, told: Told) -> Iterator[tuple[int, Cell]]:
    """The number of each row and what gives its cells."""
    place = {name: i for i, name in enumerate(table.columns or ())}
    for item in table.items:
        told.rows += 1
        if isinstance(item, Fault):
            told.left[item.reason] += 1
            continue
        values = item[0]

        def cell(name: str, values: Any = values) -> str | None:
            value = values.get(name) if isinstance(values, Mapping) else values[place[name]]
            if isinstance(value, (list, Mapping)):
                return json.dumps(value, ensure_ascii=False)
            text = as_text(value, name)
            return text.strip() or None if text is not None else None

        yield told.rows, cell


def _settled(table: Table, named: Named, path: Path) -> Named:
    """The columns, seen to be there; lists of annotations are found by their name.

    Raises:
        DataError: a column is missing, or it is not said which holds the answers.
    """
    known = table.columns
    problems = [
        Problem(where=f"{path}, columns", found=f"there is no column {name!r}", to_do=closest(name, known),
                allowed=listed([repr(column) for column in known], 40))
        for name in named.names
        if known is not None and name not in known
    ]  # fmt: skip
    if problems:
        raise DataError(*problems)
    if named.annotations or named.annotators or (named.annotator and named.label):
        return named
    if known is None or "annotations" in known:
        text = named.text or ("text" if known is None or "text" in known else None)
        return Named(named.item, text=text, annotations="annotations")
    lacking = [f"--{role}" for role, name in (("annotator", named.annotator), ("label", named.label)) if not name]
    raise DataError(
        Problem(where=str(path), found=f"it is not said which column holds what: {listed(lacking)}",
                allowed=listed([repr(column) for column in known], 40),
                to_do="name --item, --annotator and --label, or --annotators with a column for each")
    )  # fmt: skip


def _item(cell: Cell, named: Named, number: int) -> str:
    """The name of a row's item.

    Raises:
        UnfitError: its cell is empty.
    """
    if named.item:
        found = cell(named.item)
        if found is None:
            raise UnfitError("missing_item", named.item)
        return found
    text = cell(named.text) if named.text else None
    return content_id(text) if text is not None else f"{number:08d}"


def _long(cell: Cell, named: Named, number: int) -> Iterator[Vote]:
    label, by = cell(named.label or ""), cell(named.annotator or "")
    if label is None:
        return
    if by is None:
        raise UnfitError("missing_annotator", named.annotator or "")
    yield Vote(_item(cell, named, number), by, label, cell(named.time) if named.time else None)


def _wide(cell: Cell, named: Named, number: int) -> Iterator[Vote]:
    item = _item(cell, named, number)
    for name in named.annotators:
        label = cell(name)
        if label is not None:
            yield Vote(item, name, label)


def _annotations(cell: Cell, named: Named, number: int) -> Iterator[Vote]:
    raw = cell(named.annotations or "")
    if raw is None:
        return
    try:
        rows = json.loads(raw)
        found = [(as_text(r["by"], "by"), as_text(r["label"], "label"), as_text(r.get("time"), "time")) for r in rows]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UnfitError("bad_annotations", raw[:80]) from None
    item = _item(cell, named, number)
    for by, label, time in found:
        if by and label:
            yield Vote(item, by, label, time)


def read_truth(path: Path, item: str, label: str) -> dict[str, str]:
    """What is known to be right of each item.

    Raises:
        DataError: the file cannot be read or has no such columns.
    """
    table = open_table(path, AS_FOUND, (item, label))
    _settled(table, Named(item, annotator=item, label=label), path)
    told = Told()
    found = {}
    for _, cell in _rows(table, told):
        name, value = cell(item), cell(label)
        if name is not None and value is not None:
            found[name] = value
    return found


def read_opinion(path: Path, item: str) -> dict[str, dict[str, float]]:
    """A model's probabilities by item: columns `p_LABEL` as `tunewright predict` writes them, or `probabilities` in an object.

    Raises:
        DataError: the file cannot be read, or has no probabilities.
    """
    table = open_table(path, AS_FOUND)
    told, found = Told(), dict[str, dict[str, float]]()
    columns = [name for name in table.columns or () if name.startswith("p_")]
    for _, cell in _rows(table, told):
        name = cell(item) if table.columns is None or item in table.columns else None
        if name is None:
            continue
        try:
            raw = cell("probabilities") if table.columns is None or "probabilities" in table.columns else None
            given = json.loads(raw) if raw else {c.removeprefix("p_"): cell(c) for c in columns}
            found[name] = {str(label): float(p) for label, p in given.items() if p is not None}
        except (ValueError, TypeError, AttributeError):
            told.left["bad_probability"] += 1
    if not any(found.values()):
        raise DataError(
            Problem(where=str(path), found=f"no probabilities of a column {item!r}'s items",
                    allowed=f"columns {item!r} and p_LABEL for each label, or an object `probabilities`",
                    to_do=closest(item, table.columns or ()))
        )  # fmt: skip
    return found
