"""Excel workbooks: sheets, types, merged ranges, formulas, empty rows, files that are none."""

from __future__ import annotations

import sys
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook
from openpyxl.styles import Font

from tunewright.core.errors import DataError
from tunewright.data import Columns, Form, guess, read

COLUMNS = Columns("text", "label")


def book(path: Path, *sheets: tuple[str, list[list[Any]]], merged: str = "") -> Path:
    made = Workbook()
    made.remove(made.active)
    for name, rows in sheets:
        page = made.create_sheet(name)
        for row in rows:
            page.append(row)
    if merged:
        made.worksheets[0].merge_cells(merged)
    made.save(path)
    return path


def test_cells_keep_their_types(tmp_path: Path) -> None:
    rows = [["text", "label", "at"], ["one", 1, date(2024, 1, 2)], ["中文", 1.5, datetime(2024, 1, 2, 3, 4, 5)],
            [3, True, time(4, 5)], ["NA", None, None]]  # fmt: skip
    found = read(book(tmp_path / "a.xlsx", ("S", rows)), Columns("text", "label", time="at"))
    assert [(r.text, r.label, r.time) for r in found.rows] == [
        ("one", "1", "2024-01-02"), ("中文", "1.5", "2024-01-02T03:04:05"), ("3", "true", "04:05:00"), ("NA", None, None),
    ]  # fmt: skip
    assert [r.source.line for r in found.rows] == [2, 3, 4, 5]
    assert (found.files[0].format, found.files[0].rows) == ("xlsx", 4)


def test_one_of_several_sheets(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", ("First", [["text", "label"], ["a", 1]]), ("第二", [["text", "label"], ["b", 2]]))
    rows = read(path, COLUMNS)
    assert [r.text for r in rows.rows] == ["a"]
    assert "sheet 'First' of 2: a.xlsx#第二 would be the next" in rows.notes[0]
    named = read(f"{path}#第二", COLUMNS).rows[0]
    assert (named.text, named.source.file) == ("b", f"{path}#第二")
    with pytest.raises(DataError, match=r"no sheet 'Fist'(.|\n)*'First', '第二'(.|\n)*did you mean 'First'"):
        read(f"{path}#Fist", COLUMNS)


def test_empty_rows_inside_are_told_and_trailing_ones_are_none(tmp_path: Path) -> None:
    made = Workbook()
    page = made.active
    for row in ([], ["text", "label"], ["a", 1], [], ["b", 2]):
        page.append(row)
    page["A2000"].font = Font(bold=True)
    page["B3000"] = ""
    made.save(tmp_path / "a.xlsx")
    rows = read(tmp_path / "a.xlsx", COLUMNS)
    assert [(r.text, r.source.line) for r in rows.rows] == [("a", 3), ("b", 5)]
    assert [(e.reason, e.outcome, e.source.line) for e in rows.events] == [("blank_line", "dropped", 4)]


def test_rows_that_are_too_long_are_set_aside(tmp_path: Path) -> None:
    rows = read(book(tmp_path / "a.xlsx", ("S", [["text", "label"], ["a", 1, "what?"], ["b", 2]])), COLUMNS)
    assert [e.detail for e in rows.events] == ["expected 2 fields, seen 3"]
    assert [r.text for r in rows.rows] == ["b"]


def test_a_merged_range_has_its_value_in_every_cell(tmp_path: Path) -> None:
    rows = [["label", "text"], ["good", "a"], [None, "b"], [None, "c"], ["bad", "d"]]
    found = read(book(tmp_path / "a.xlsx", ("S", rows), merged="A2:A4"), COLUMNS)
    assert [(r.text, r.label) for r in found.rows] == [("a", "good"), ("b", "good"), ("c", "good"), ("d", "bad")]


def test_merged_columns(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", ("S", [["text", "label"], ["a", None], ["b", 2]]), merged="A2:B2")
    assert [(r.text, r.label) for r in read(path, COLUMNS).rows] == [("a", "a"), ("b", "2")]


def test_formulas(tmp_path: Path) -> None:
    """openpyxl writes formulas without values, as Excel never does: such a cell is not an empty one."""
    path = book(
        tmp_path / "a.xlsx", ("S", [["text", "label", "n"], ["a", "=1+1", 1], ["b", "x", "=1+1"], ["c", "#N/A", 1]])
    )
    rows = read(path, COLUMNS)
    assert [(r.text, r.label) for r in rows.rows] == [("b", "x")]
    assert [(e.reason, e.source.line) for e in rows.events] == [("formula_without_value", 2), ("formula_error", 4)]


def test_no_header_and_names_that_are_missing(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", ("S", [["good stuff", 5], ["bad stuff", 1]]))
    assert [(r.text, r.label) for r in read(path, Columns("0", "1")).rows] == [("good stuff", "5"), ("bad stuff", "1")]
    path = book(tmp_path / "b.xlsx", ("S", [["text", None, "label"], ["a", "x", 1]]))
    assert [(r.text, r.label) for r in read(path, Columns("1", "label")).rows] == [("x", "1")]
    assert [(r.text, r.label) for r in read(path, Columns("0", "2"), Form(header=False)).rows] == [
        ("text", "label"), ("a", "1"),
    ]  # fmt: skip


def test_what_is_in_a_workbook_is_guessed(tmp_path: Path) -> None:
    rows = [["review", "sentiment"], *([f"a review of the thing {i}", "good" if i % 2 else "bad"] for i in range(30))]
    found = guess(book(tmp_path / "a.xlsx", ("S", rows)))
    assert (found.text, found.label, found.task, found.format) == ("review", "sentiment", "classification", "xlsx")


def test_what_is_no_workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = book(tmp_path / "a.xlsx", ("S", [["text", "label"], ["a", 1]])).read_bytes()
    for name, data, said in (
        ("cut", whole[: len(whole) // 2], "not a whole xlsx file|truncated_zip"),
        ("empty", b"", "not a whole xlsx file|empty"),
        ("csv", b"text,label\nx,1\n", "not a whole xlsx file"),
        ("old", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500, r"an old \.xls workbook, or one behind a password"),
    ):
        path = tmp_path / f"{name}.xlsx"
        path.write_bytes(data)
        with pytest.raises(DataError, match=said):
            read(path, COLUMNS)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(DataError, match=r"pip install 'tunewright\[data\]'"):
        read(tmp_path / "a.xlsx", COLUMNS)
