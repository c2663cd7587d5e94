"""From one opened file to rows, some thousands at a time: memory is bounded by the batch, whatever the file's size."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from typing import Any

from tunewright.core.errors import DataError, Problem
from tunewright.core.files import sha256
from tunewright.core.records import Event, Source
from tunewright.data.compressed import parted
from tunewright.data.folders import Member
from tunewright.data.journal import excerpt
from tunewright.data.picking import NOTHING, OF_TEXTS, Beside, beside, picker
from tunewright.data.rows import (
    Columns,
    Fault,
    FileFacts,
    Form,
    Item,
    Reader,
    Row,
    Rows,
    Table,
    UnfitError,
    need_columns,
)
from tunewright.data.targets import Target
from tunewright.data.targets.protocol import ReadsRows

BATCH = 10_000
"""Rows of a batch where the caller does not say how many."""

_SAMPLE = 200
"""Rows by which the form of a file is recognised."""

_NAMES_SEEN = 1000

_row: Callable[[Any], Row] = partial(tuple.__new__, Row)
_source: Callable[[Any], Source] = partial(tuple.__new__, Source)

Take = Callable[[Sequence[Item | Fault], Rows], None]
"""Enters items into Rows: as a row each, or as an event."""


def batches(
    member: Member, columns: Columns, form: Form, split: str | None, target: Target, size: int = BATCH
) -> Iterator[Rows]:
    """The rows of one file, at most `size` of them at a time; its facts come with the last batch.

    Raises:
        DataError: the file cannot be read as a table with these columns, or is damaged further down.
    """
    file, answers = member.shown, (columns.text, *columns.labels, columns.pair)
    table = target.table(member, form, columns.names if any(answers) else None)
    rows = Rows(notes=[f"{file}: {note}" for note in table.notes])
    sample = list(islice(table.items, _SAMPLE))
    items = chain(sample, table.items)
    reader = target.reader([_mapped(table, item[0]) for item in sample if not isinstance(item, Fault)], file)
    more = beside(table, columns, file)
    missing, seen = set[str](), set[str]()
    if reader is not None:
        rows.notes += [f"{file}: {reader.note}"] if reader.note else []
        rows.forms += [reader.form] if reader.form else []
        take = _whole(table, reader, file, split, more)
    else:
        missing = set(columns.names) if table.columns is None and not isinstance(target, ReadsRows) else missing
        pick = picker(table, columns, {**table.class_names, **member.class_names}, file, target)
        take = _by_column(pick, file, split, more, missing, seen)
    entered, full = 0, True
    while full:
        with _uncollected():
            batch = list(islice(items, size))
            take(batch, rows)
        entered, full = entered + len(batch), len(batch) == size
        if full:
            batch.clear()
            yield rows
            rows = Rows(forms=list(rows.forms))
    if missing and seen:
        need_columns(columns, tuple(sorted(seen)), file)
    rows.files += _facts(member, entered, table)
    yield rows


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of cycles: rows have none, and it would look at each of them again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _mapped(table: Table, cells: Any) -> Mapping[str, Any]:
    """A row by column; an empty cell of a table of texts is a missing value."""
    if isinstance(cells, Mapping):
        return cells
    if table.format in OF_TEXTS:
        cells = [cell or None for cell in cells]
    return dict(zip(table.columns or (), cells, strict=False))


def _fault(item: Fault, file: str) -> Event:
    return Event(
        "read", item.outcome, item.reason, Source(file, item.line, item.offset, item.length), None, item.detail
    )


def _whole(table: Table, reader: Reader, file: str, split: str | None, more: Callable[[Any], Beside] | None) -> Take:
    """Takes from every row what the reader makes of it."""
    take, direct = reader.take, table.columns is None

    def enter(items: Sequence[Item | Fault], rows: Rows) -> None:
        keep, fault = rows.rows.append, rows.events.append
        for item in items:
            if isinstance(item, Fault):
                fault(_fault(item, file))
                continue
            cells, *place = item
            source = Source(file, *place)
            row = cells if direct else _mapped(table, cells)
            try:
                text, label, pair, change = take(row)
                extra = NOTHING if more is None else more(cells)
            except UnfitError as unfit:
                fault(Event("read", "quarantined", unfit.reason, source, None, f"{unfit.detail}; {_excerpt(row)}"))
            else:
                keep(Row(text, label, pair, source, split, *extra))
                if change is not None:
                    rows.changes.append(Event("read", "changed", change[0], source, None, change[1]))

    return enter


def _by_column(
    pick: Callable[[Any], tuple[str, str | None, str | None]],
    file: str,
    split: str | None,
    more: Callable[[Any], Beside] | None,
    missing: set[str],
    seen: set[str],
) -> Take:
    """Takes text, label and pair from their columns.

    Where rows bear their own names, these are added to `seen` until none of `missing` is missing.
    """

    def enter(items: Sequence[Item | Fault], rows: Rows) -> None:
        keep, fault, extra = rows.rows.append, rows.events.append, NOTHING
        make, place = _row, _source
        for item in items:
            if item.__class__ is Fault:
                fault(_fault(item, file))
                continue
            values, line, offset, length = item  # type: ignore[misc]
            if missing and len(seen) < _NAMES_SEEN:
                missing.difference_update(values)
                seen.update(values)
            try:
                text, label, pair = pick(values)
                if more is not None:
                    extra = more(values)
            except UnfitError as unfit:
                source = Source(file, line, offset, length)
                fault(Event("read", "quarantined", unfit.reason, source, None, unfit.detail))
            else:
                keep(make((text, label, pair, place((file, line, offset, length)), split, *extra)))

    return enter


def _excerpt(row: Mapping[str, Any]) -> str:
    """The beginning of a row that was set aside, in characters that every file can hold."""
    try:
        text = json.dumps(row, ensure_ascii=False, default=str)
    except (ValueError, TypeError, RecursionError):
        text = ", ".join(map(str, row))
    return excerpt(text).encode("utf-8", "replace").decode()


def _facts(member: Member, rows: int, table: Table) -> list[FileFacts]:
    """What was read, of every file of a member."""
    if member.remote is not None:
        return [FileFacts(member.shown, member.remote.content(), rows, 0, table.format, table.encoding)]
    try:
        return [
            FileFacts(str(path), sha256(real), rows, real.stat().st_size, table.format, table.encoding)
            for path in member.paths
            for real in (parted(path)[0],)
        ]
    except OSError as error:
        raise DataError(Problem(where=member.shown, found=error.strerror or str(error))) from None
