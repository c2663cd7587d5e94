"""From files to rows: each with its place, each fault with a reason, nothing lost on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, Problem, closest, listed
from tunewright.core.records import Event, Source
from tunewright.data.folders import Member, members
from tunewright.data.options import Options
from tunewright.data.rows import (
    AS_FOUND,
    Columns,
    Fault,
    FileFacts,
    Form,
    Row,
    Rows,
    Table,
    UnfitError,
    as_text,
    need_columns,
)
from tunewright.data.tables import open_table

Pick = Callable[[Any], tuple[str, str | None, str | None]]


def read(
    path: str | Path | Sequence[str | Path], columns: Columns, form: Form = AS_FOUND, split: str | None = None
) -> Rows:
    """The rows of a file, of several, or of a data set folder.

    Args:
        path: CSV, TSV, JSON lines, a JSON array, Parquet, Arrow (text formats also as .gz), or a folder.
        columns: which columns hold the text, the label and the second text.
        form: how the file is written, where it shall not be found out.
        split: the split that these rows are given for; a folder's own splits are kept where it is None.

    Raises:
        DataError: with the problems of all files at once.
    """
    paths = [path] if isinstance(path, (str, Path)) else list(path)
    rows, problems = Rows(), list[Problem]()
    for each in paths:
        try:
            for member in members(Path(each)):
                rows.extend(_read_file(member, columns, form, split or member.split))
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
    rows, problems = Rows(), list[Problem]()
    given = (
        (None, options.train),
        ("validation", options.validation),
        ("test", options.test),
    )
    for split, paths in given:
        for path in paths:
            try:
                rows.extend(read(base / path, options.columns, options.form, split))
            except DataError as error:
                problems.extend(error.problems)
    if problems:
        raise DataError(*problems)
    return rows


def _read_file(member: Member, columns: Columns, form: Form, split: str | None) -> Rows:
    file = str(member.path)
    table = open_table(member.path, form, columns.names)
    rows = Rows(notes=[f"{file}: {note}" for note in table.notes])
    pick = _picker(table, columns, {**table.class_names, **member.class_names}, file)
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
    if table.columns is None and seen:
        need_columns(columns, tuple(sorted(seen)), file)
    rows.files.append(FileFacts(file, *_sha256(member.path, rows.entered), table.format, table.encoding))
    return rows


def _picker(table: Table, columns: Columns, names: Mapping[str, tuple[str, ...]], file: str) -> Pick:
    """A function from a row's cells to its text, label and pair."""
    labels = names.get(columns.label or "")
    if table.columns is None:
        return _by_name(columns)
    if table.columns == () and table.format in ("csv", "tsv"):
        return _by_name(columns)
    need_columns(columns, table.columns, file)
    at = {name: i for i, name in enumerate(table.columns)}
    t = at[columns.text]
    g = None if columns.label is None else at[columns.label]
    p = None if columns.pair is None else at[columns.pair]
    if table.format in ("csv", "tsv"):
        interned: dict[str, str] = {}

        def cells(values: Any) -> tuple[str, str | None, str | None]:
            label = (values[g] or None) if g is not None else None
            if label is not None:
                label = interned.setdefault(label, label)
            return values[t], label, values[p] if p is not None else None

        return cells

    def typed(values: Any) -> tuple[str, str | None, str | None]:
        label = _named(values[g], labels) if g is not None else None
        pair = as_text(values[p], "pair") if p is not None else None
        return as_text(values[t], "text") or "", label or None, pair

    return typed


def _by_name(columns: Columns) -> Pick:
    text_name, label_name, pair_name = columns.text, columns.label, columns.pair

    def named(values: Any) -> tuple[str, str | None, str | None]:
        if text_name not in values:
            known = listed([repr(name) for name in values]) or "no keys"
            raise UnfitError(
                "missing_field", f"no {text_name!r}; the row has {known} {closest(text_name, values)}".strip()
            )
        label = as_text(values.get(label_name), "label") if label_name is not None else None
        pair = as_text(values.get(pair_name), "pair") if pair_name is not None else None
        return as_text(values[text_name], "text") or "", label or None, pair

    return named


def _named(value: Any, names: tuple[str, ...] | None) -> str | None:
    """A label; a ClassLabel's number as its name, -1 as missing."""
    if names is None or not isinstance(value, int) or isinstance(value, bool):
        return as_text(value, "label")
    if value == -1:
        return None
    if not 0 <= value < len(names):
        raise UnfitError("unknown_label", f"class number {value}; there are {len(names)} names")
    return names[value]


def _sha256(path: Path, rows: int) -> tuple[str, int, int]:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return digest, rows, file.tell()
    except OSError as error:
        raise DataError(Problem(where=str(path), found=error.strerror or str(error))) from None
