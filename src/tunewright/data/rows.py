"""What reading yields: rows as the user gave them, and the faults of those that could not be read.

Text stays text: nothing here turns "NA", "None" or "nan" into a missing value. Missing is an empty
cell or a JSON null.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from typing import Any, NamedTuple

from tunewright.core.errors import DataError, Problem, closest, listed
from tunewright.core.records import Event, Source

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns to read. In a file without a header they are "0", "1", ... by position.

    `label` may be several columns: those of several targets, or one of 0 and 1 for each of several labels.
    `text` is None where a kind of answer finds the columns out by itself.

    `group` and `time` hold that by which splits are made: rows of one group stay on one side. `by` names the annotator
    whose label stands in the row, `item` what it is a label of, where several annotators have a row each.
    """

    text: str | None = None
    label: str | tuple[str, ...] | None = None
    pair: str | None = None
    group: str | None = None
    time: str | None = None
    by: str | None = None
    item: str | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The label columns, be it none, one or several."""
        return () if self.label is None else (self.label,) if isinstance(self.label, str) else self.label

    @property
    def beside(self) -> tuple[str | None, str | None, str | None, str | None]:
        """The columns of group, time, annotator and item."""
        return self.group, self.time, self.by, self.item

    @property
    def roles(self) -> tuple[tuple[str, str], ...]:
        """What each named column is for, with its name."""
        named = zip(("group", "time", "annotator", "item"), self.beside, strict=True)
        all_of_them = (("text", self.text), *(("label", name) for name in self.labels), ("pair", self.pair), *named)
        return tuple((role, name) for role, name in all_of_them if name is not None)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, name in self.roles))

    def said(self) -> str:
        """The label columns in a message."""
        return f"label column{'s' * (len(self.labels) > 1)} {listed([repr(name) for name in self.labels])}"


@dataclass(frozen=True, slots=True)
class Form:
    """How a file is written; what is None is found out from the file.

    `format` is csv, tsv, jsonl, json, parquet, arrow, xlsx or conll; `max_line` the longest row in bytes.
    """

    format: str | None = None
    header: bool | None = None
    delimiter: str | None = None
    encoding: str | None = None
    max_line: int = MIB


AS_FOUND = Form()
"""Everything about the file is found out from the file."""


class Fault(NamedTuple):
    """A row that could not be read: a reason code, words, and its place (`length` in bytes)."""

    reason: str
    detail: str
    line: int
    offset: int
    length: int
    outcome: str = "quarantined"


class Taken(NamedTuple):
    """What was taken from a row; `change` is a reason code and words where something of it was left out."""

    text: str
    label: str | None
    pair: str | None = None
    change: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """How the rows of one file are read: `take` makes of a whole row what is learnt from it, or raises UnfitError.

    `form` is the name of the form that was recognised, `note` says so in words.
    """

    take: Callable[[Mapping[str, Any]], Taken]
    form: str = ""
    note: str = ""


Item = tuple[Any, int, int, int]
"""The cells of a row (a list, or a mapping by column), first line, byte offset, byte length."""


@dataclass
class Table:
    """An opened file: its columns (None where each row names its own) and its rows, read as they are asked for.

    `joined` says that the tokens of a column file stand without spaces between them.
    """

    columns: tuple[str, ...] | None
    items: Iterator[Item | Fault]
    format: str
    delimiter: str | None = None
    header: bool | None = None
    encoding: str = "utf-8"
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    joined: bool = False


class Row(NamedTuple):
    """One row as the user gave it; `split` is the one that its file was given for, if any.

    The label is the cell as text. A list in a cell, or the cells of several label columns, are a JSON array. The fields
    after `split` are those of the columns of the same names, as text; None where there is no such column or nothing in it.
    """

    text: str
    label: str | None
    pair: str | None
    source: Source
    split: str | None = None
    group: str | None = None
    time: str | None = None
    by: str | None = None
    item: str | None = None


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Lineage of one file: `rows` counts all that were seen, the faulty ones too."""

    path: str
    sha256: str
    rows: int
    bytes: int
    format: str
    encoding: str

    def as_json(self) -> dict[str, Any]:
        """The facts as plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass
class Rows:
    """What was read: `entered = len(rows) + len(events)`.

    `changes` are rows that are among `rows` with something left out; `forms` the forms of rows that were recognised.
    """

    rows: list[Row] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    files: list[FileFacts] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    changes: list[Event] = field(default_factory=list)
    forms: list[str] = field(default_factory=list)

    @property
    def entered(self) -> int:
        return len(self.rows) + len(self.events)

    def extend(self, other: Rows) -> None:
        """Take in the rows, events, files and notes of another reading."""
        self.rows.extend(other.rows)
        self.events.extend(other.events)
        self.files.extend(other.files)
        self.notes.extend(other.notes)
        self.changes.extend(other.changes)
        self.forms.extend(name for name in other.forms if name not in self.forms)


class UnfitError(ValueError):
    """A value that cannot be a text or a label; `reason` is the code."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class Unfit:
    """A cell that holds no value, such as the error of a formula: it costs its row only where the cell is asked for."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return self.detail


def as_text(value: Any, what: str) -> str | None:
    """A cell as text: a string as it is, numbers and booleans in their JSON form, dates in that of ISO 8601, null as None.

    Raises:
        UnfitError: NaN, a list, a nested object, a NUL, half of a surrogate pair.
    """
    if value is None or (value.__class__ is str and value.isascii() and "\x00" not in value):
        text: str | None = value
        return text
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UnfitError("not_utf8", f"{what}: byte 0x{value[error.start]:02x} at byte {error.start}") from None
    if isinstance(value, str):
        if "\x00" in value:
            raise UnfitError("nul_byte", f"{what}: a NUL at character {value.index(chr(0)) + 1}")
        if not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError as error:
                raise UnfitError("lone_surrogate", f"{what}: half of a pair at character {error.start + 1}") from None
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        raise UnfitError("not_a_number", f"{what}: {value}")
    if isinstance(value, (int, float)):
        try:
            return str(value)
        except ValueError:
            raise UnfitError("not_text", f"{what}: an integer of thousands of digits") from None
    if isinstance(value, Unfit):
        raise UnfitError(value.reason, f"{what}: {value.detail}")
    if isinstance(value, (date, time)):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, Decimal) and value.is_finite():
        return str(value)
    raise UnfitError("not_text", f"{what}: a {type(value).__name__}, not a text")


def need_columns(wanted: Columns, known: tuple[str, ...], file: str) -> None:
    """Refuse columns that the file does not have, or has twice.

    Raises:
        DataError: with one problem a column, naming the closest one and all there are.
    """
    problems = [
        Problem(
            where=f"{file}, {role} column",
            found=f"there is no column {name!r}" if name not in known else f"column {name!r} stands there twice",
            allowed=listed([repr(column) for column in known], 40) or "the file has no columns",
            to_do=closest(name, known) or f"set `{role}:` to one of these",
        )
        for role, name in wanted.roles
        if known.count(name) != 1
    ]
    if problems:
        raise DataError(*problems)
