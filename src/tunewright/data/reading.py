"""From files to rows: each with its place, each fault with a reason, nothing lost on the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, Problem, closest, listed
from tunewright.core.records import Event, Source
from tunewright.data import folders
from tunewright.data.folders import Member
from tunewright.data.journal import excerpt
from tunewright.data.options import Options
from tunewright.data.rows import (
    AS_FOUND,
    Columns,
    Fault,
    FileFacts,
    Form,
    Reader,
    Row,
    Rows,
    Table,
    UnfitError,
    as_text,
    need_columns,
)
from tunewright.data.targets import CLASSES, Target, target_of
from tunewright.data.targets.protocol import Pick, ReadsRows

_SAMPLE = 200
"""Rows by which the form of a file is recognised."""


def read(
    path: str | Path | Sequence[str | Path],
    columns: Columns,
    form: Form = AS_FOUND,
    split: str | None = None,
    target: Target = CLASSES,
) -> Rows:
    """The rows of a file, of several, or of a data set folder.

    Args:
        path: CSV, TSV, JSON lines, a JSON array, Parquet, Arrow, a column file of tokens and tags (text formats also
            as .gz), or a folder.
        columns: which columns hold the text, the label and the second text.
        form: how the file is written, where it shall not be found out.
        split: the split that these rows are given for; a folder's own splits are kept where it is None.
        target: the kind of answer in the label column; it says which cells can be one.

    Raises:
        DataError: with the problems of all files at once.
    """
    paths = [path] if isinstance(path, (str, Path)) else list(path)
    rows, problems = Rows(), list[Problem]()
    for each in paths:
        try:
            for member in target.files(Path(each)):
                rows.extend(_read_file(member, columns, form, split or member.split, target))
        except DataError as error:
            problems.extend(error.problems)
    if problems:
        raise DataError(*problems)
    return rows


def gather(options: Options, base: Path = Path()) -> Rows:
    """The rows of every file that the options name: train, validation and test. Paths are relative to `base`.

    Raises:
        DataError: with the problems of all files at once.
    """
    rows, problems, target = Rows(), list[Problem](), target_of(options)
    given = (
        (None, options.train),
        ("validation", options.validation),
        ("test", options.test),
    )
    for split, paths in given:
        for path in paths:
            try:
                rows.extend(read(base / path, options.columns, options.form, split, target))
            except DataError as error:
                problems.extend(error.problems)
    if problems:
        raise DataError(*problems)
    return rows


def content(path: Path, options: Options | None = None) -> str:
    """SHA-256 of what reading a path depends on, for the task of `options` (without them: of rows by column).

    Raises:
        DataError: nothing there, or a file cannot be read.
    """
    return folders.content(path, None if options is None else target_of(options).files(path))


def _read_file(member: Member, columns: Columns, form: Form, split: str | None, target: Target) -> Rows:
    file = str(member.path)
    table = target.table(member, form, columns.names or None)
    rows = Rows(notes=[f"{file}: {note}" for note in table.notes])
    sample = list(islice(table.items, _SAMPLE))
    table.items = chain(sample, table.items)
    reader = target.reader([_mapped(table, item[0]) for item in sample if not isinstance(item, Fault)], file)
    if reader is not None:
        _read_whole(table, reader, file, split, rows)
    else:
        _read_columns(table, columns, {**table.class_names, **member.class_names}, file, split, target, rows)
    rows.files += [
        FileFacts(str(path), *_sha256(path, rows.entered), table.format, table.encoding) for path in member.paths
    ]
    return rows


def _mapped(table: Table, cells: Any) -> Mapping[str, Any]:
    """A row by column; an empty cell of a table of texts is a missing value."""
    if isinstance(cells, Mapping):
        return cells
    if table.format in ("csv", "tsv"):
        cells = [cell or None for cell in cells]
    return dict(zip(table.columns or (), cells, strict=False))


def _read_whole(table: Table, reader: Reader, file: str, split: str | None, rows: Rows) -> None:
    """Take from every row what the reader makes of it."""
    rows.notes += [f"{file}: {reader.note}"] if reader.note else []
    rows.forms += [reader.form] if reader.form else []
    take, keep, fault = reader.take, rows.rows.append, rows.events.append
    direct = table.columns is None
    for item in table.items:
        if isinstance(item, Fault):
            source = Source(file, item.line, item.offset, item.length)
            fault(Event("read", item.outcome, item.reason, source, None, item.detail))
            continue
        cells, line, offset, length = item
        source = Source(file, line, offset, length)
        row = cells if direct else _mapped(table, cells)
        try:
            text, label, pair, change = take(row)
        except UnfitError as unfit:
            fault(Event("read", "quarantined", unfit.reason, source, None, f"{unfit.detail}; {_excerpt(row)}"))
        else:
            keep(Row(text, label, pair, source, split))
            if change is not None:
                rows.changes.append(Event("read", "changed", change[0], source, None, change[1]))


def _excerpt(row: Mapping[str, Any]) -> str:
    """The beginning of a row that was set aside, in characters that every file can hold."""
    try:
        text = json.dumps(row, ensure_ascii=False, default=str)
    except (ValueError, TypeError, RecursionError):
        text = ", ".join(map(str, row))
    return excerpt(text).encode("utf-8", "replace").decode()


def _read_columns(
    table: Table, columns: Columns, names: Mapping[str, tuple[str, ...]], file: str, split: str | None, target: Target,
    rows: Rows,
) -> None:  # fmt: skip
    """Take text, label and pair from their columns."""
    pick = _picker(table, columns, names, file, target)
    seen: set[str] = set()
    keep, fault = rows.rows.append, rows.events.append
    for item in table.items:
        if isinstance(item, Fault):
            source = Source(file, item.line, item.offset, item.length)
            fault(Event("read", item.outcome, item.reason, source, None, item.detail))
            continue
        values, line, offset, length = item
        source = Source(file, line, offset, length)
        if table.columns is None and len(seen) < 1000:
            seen.update(values)
        try:
            text, label, pair = pick(values)
        except UnfitError as unfit:
            fault(Event("read", "quarantined", unfit.reason, source, None, unfit.detail))
        else:
            keep(Row(text, label, pair, source, split))
    if table.columns is None and seen and not isinstance(target, ReadsRows):
        need_columns(columns, tuple(sorted(seen)), file)


def _picker(table: Table, columns: Columns, names: Mapping[str, tuple[str, ...]], file: str, target: Target) -> Pick:
    """A function from a row's cells to its text, label and pair."""
    if isinstance(target, ReadsRows):
        return target.picker(table, names)
    if table.columns is None or (table.columns == () and table.format in ("csv", "tsv")):
        return _by_name(columns, target)
    need_columns(columns, table.columns, file)
    at = {name: i for i, name in enumerate(table.columns)}
    t = at[columns.text or ""]
    p = None if columns.pair is None else at[columns.pair]
    places = [at[name] for name in columns.labels]
    several = isinstance(columns.label, tuple)
    if table.format in ("csv", "tsv"):
        interned: dict[str, str] = {}

        def cells(values: Any) -> tuple[str, str | None, str | None]:
            label = _together([values[i] for i in places], several)
            if label is not None:
                label = interned.setdefault(label, label)
            return values[t], label, values[p] if p is not None else None

        return cells

    named = [(place, names.get(name)) for place, name in zip(places, columns.labels, strict=True)]

    def typed(values: Any) -> tuple[str, str | None, str | None]:
        label = _together([target.cell(values[i], own) for i, own in named], several)
        pair = as_text(values[p], "pair") if p is not None else None
        return as_text(values[t], "text") or "", label, pair

    return typed


def _by_name(columns: Columns, target: Target) -> Pick:
    text_name, label_names, pair_name = columns.text or "", columns.labels, columns.pair
    several = isinstance(columns.label, tuple)

    def named(values: Any) -> tuple[str, str | None, str | None]:
        if text_name not in values:
            known = listed([repr(name) for name in values]) or "no keys"
            raise UnfitError(
                "missing_field", f"no {text_name!r}; the row has {known} {closest(text_name, values)}".strip()
            )
        label = _together([target.cell(values.get(name), None) for name in label_names], several)
        pair = as_text(values.get(pair_name), "pair") if pair_name is not None else None
        return as_text(values[text_name], "text") or "", label, pair

    return named


def _together(cells: list[str | None], several: bool) -> str | None:
    """The label of a row: its one cell, or a JSON array of all of them; None where there is nothing in them."""
    if not several:
        return (cells[0] or None) if cells else None
    filled = [cell if cell and cell.strip() else None for cell in cells]
    return json.dumps(filled, ensure_ascii=False) if any(filled) else None


def _sha256(path: Path, rows: int) -> tuple[str, int, int]:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return digest, rows, file.tell()
    except OSError as error:
        raise DataError(Problem(where=str(path), found=error.strerror or str(error))) from None
