"""Functions that take text, label and pair, and the cells beside them, out of a row's cells."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tunewright.core.errors import closest, listed
from tunewright.data.rows import Columns, Table, UnfitError, as_text, need_columns
from tunewright.data.targets import Target
from tunewright.data.targets.protocol import Pick, ReadsRows

OF_TEXTS = ("csv", "tsv")
"""Formats whose cells are texts, of which an empty one is a missing value."""

Beside = tuple[str | None, str | None, str | None, str | None]
"""Group, time, annotator and item of a row."""

_LABELS = 10_000

NOTHING: Beside = (None, None, None, None)


def picker(table: Table, columns: Columns, names: Mapping[str, tuple[str, ...]], file: str, target: Target) -> Pick:
    """A function from a row's cells to its text, label and pair; `names` are those of ClassLabel columns.

    Raises:
        DataError: the table has no such column, or has it twice.
    """
    if isinstance(target, ReadsRows):
        return target.picker(table, names)
    if not _by_place(table):
        return _by_name(columns, target)
    known = table.columns or ()
    need_columns(columns, known, file)
    at = {name: i for i, name in enumerate(known)}
    t = at[columns.text or ""]
    p = None if columns.pair is None else at[columns.pair]
    places = [at[name] for name in columns.labels]
    several = isinstance(columns.label, tuple)
    if table.format in OF_TEXTS:
        return _of_texts(t, places, p, several)
    named = [(place, names.get(name)) for place, name in zip(places, columns.labels, strict=True)]
    if len(named) == 1 and not several and p is None:
        (place, own), cell = named[0], target.cell

        def two(values: Any) -> tuple[str, str | None, str | None]:
            label = cell(values[place], own) or None
            return as_text(values[t], "text") or "", label, None

        return two

    def typed(values: Any) -> tuple[str, str | None, str | None]:
        label = _together([target.cell(values[i], own) for i, own in named], several)
        pair = as_text(values[p], "pair") if p is not None else None
        return as_text(values[t], "text") or "", label, pair

    return typed


def beside(table: Table, columns: Columns, file: str) -> Callable[[Any], Beside] | None:
    """A function from a row's cells to its group, time, annotator and item; None where no such column is named.

    Raises:
        DataError: the table has no such column, or has it twice.
    """
    if not any(columns.beside):
        return None
    roles = ("group", "time", "annotator", "item")
    if not _by_place(table):

        def named(values: Any) -> Beside:
            one, two, three, four = (
                None if name is None else as_text(values.get(name), role) or None
                for role, name in zip(roles, columns.beside, strict=True)
            )
            return one, two, three, four

        return named
    known = table.columns or ()
    need_columns(Columns(group=columns.group, time=columns.time, by=columns.by, item=columns.item), known, file)
    places = [None if name is None else known.index(name) for name in columns.beside]

    def placed(values: Any) -> Beside:
        one, two, three, four = (
            None if at is None else as_text(values[at], role) or None for role, at in zip(roles, places, strict=True)
        )
        return one, two, three, four

    return placed


class _Interned(dict[str, str]):
    """Equal labels as one object, of so many labels that memory stays bounded."""

    def __missing__(self, label: str) -> str:
        if len(self) < _LABELS:
            self[label] = label
        return label


def _by_place(table: Table) -> bool:
    """Whether rows are lists in the order of the table's columns; an empty CSV file has neither."""
    return table.columns is not None and not (table.columns == () and table.format in OF_TEXTS)


def _of_texts(t: int, places: list[int], p: int | None, several: bool) -> Pick:
    interned = _Interned()
    if len(places) == 1 and not several and p is None:
        place = places[0]

        def two(values: Any) -> tuple[str, str | None, str | None]:
            label = values[place]
            return values[t], interned[label] if label else None, None

        return two

    def cells(values: Any) -> tuple[str, str | None, str | None]:
        label = _together([values[i] for i in places], several)
        if label is not None:
            label = interned[label]
        return values[t], label, values[p] if p is not None else None

    return cells


def _by_name(columns: Columns, target: Target) -> Pick:
    text_name, label_names, pair_name = columns.text or "", columns.labels, columns.pair
    several = isinstance(columns.label, tuple)

    if len(label_names) == 1 and not several and pair_name is None:
        label_name, cell = label_names[0], target.cell

        def two(values: Any) -> tuple[str, str | None, str | None]:
            if text_name not in values:
                raise _without(values, text_name)
            label = cell(values.get(label_name), None) or None
            return as_text(values[text_name], "text") or "", label, None

        return two

    def named(values: Any) -> tuple[str, str | None, str | None]:
        if text_name not in values:
            raise _without(values, text_name)
        label = _together([target.cell(values.get(name), None) for name in label_names], several)
        pair = as_text(values.get(pair_name), "pair") if pair_name is not None else None
        return as_text(values[text_name], "text") or "", label, pair

    return named


def _without(values: Mapping[str, Any], name: str) -> UnfitError:
    known = listed([repr(each) for each in values]) or "no keys"
    return UnfitError("missing_field", f"no {name!r}; the row has {known} {closest(name, values)}".strip())


def _together(cells: list[str | None], several: bool) -> str | None:
    """The label of a row: its one cell, or a JSON array of all of them; None where there is nothing in them."""
    if not several:
        return (cells[0] or None) if cells else None
    filled = [cell if cell and cell.strip() else None for cell in cells]
    return json.dumps(filled, ensure_ascii=False) if any(filled) else None
