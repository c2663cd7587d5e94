"""Excel workbooks (.xlsx), row by row through openpyxl: `book.xlsx`, or one of its sheets as `book.xlsx#Sheet2`.

Cells keep their types; dates and times are written as ISO 8601 does, formulas are what Excel last computed for them. A
value stands in every cell of a merged range, as whoever looks at the sheet reads it. Rows that are empty to the end of
the sheet (cells that once were formatted) are no rows. A row's line is its number in the sheet. Macros are never run.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, time
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, Problem, closest, listed
from tunewright.data.compressed import PART, parted
from tunewright.data.rows import Fault, Item, Table, Unfit

BOOK = "xl/workbook.xml"
"""The file inside that tells a workbook from other zip archives."""

_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\b[^>]*\bref="([A-Z]+[0-9]+:[A-Z]+[0-9]+)"')
_FORMULA = re.compile(rb"<(?:\w+:)?f[ />]")
_OLD = b"\xd0\xcf\x11\xe0"
_CHUNK = 1 << 20
_MOST_MERGED = 1_000_000
_NO_VALUE = Unfit("formula_without_value", "a formula that no program has computed: open the file and save it once")

Span = tuple[int, int, int, int]
"""A merged range: first and last row, first and last column, from 1."""


def open_workbook(path: Path) -> Table:
    """The rows of one sheet, the first row that is not empty among them; columns are not named yet.

    Raises:
        DataError: openpyxl is not installed, this is no whole workbook, or there is no such sheet.
    """
    file, wanted = parted(path)
    with _reading(path):
        names = _sheets(file, path)
    if wanted and wanted not in names:
        raise DataError(
            Problem(where=str(file), found=f"there is no sheet {wanted!r}", allowed=listed([repr(n) for n in names]),
                    to_do=closest(wanted, names) or "name one of these")
        )  # fmt: skip
    notes: tuple[str, ...] = ()
    if len(names) > 1 and not wanted:
        notes = (f"sheet {names[0]!r} of {len(names)}: {file.name}{PART}{names[1]} would be the next",)
    return Table(None, _rows(path, file, wanted or names[0]), "xlsx", encoding="", notes=notes)


def _rows(path: Path, file: Path, sheet: str) -> Iterator[Item | Fault]:
    """Every row up to the last that is not empty; the first one that is not sets the width."""
    width, empty = 0, list[int]()
    with _reading(path):
        for line, cells in _cells(file, sheet):
            cells = cells[: next((i for i in range(len(cells), 0, -1) if cells[i - 1] is not None), 0)]
            if not cells:
                if width:
                    empty.append(line)
                continue
            yield from (Fault("blank_line", "an empty row", at, 0, 0, "dropped") for at in empty)
            empty.clear()
            width = width or len(cells)
            if len(cells) > width:
                yield Fault("ragged_row", f"expected {width} fields, seen {len(cells)}", line, 0, 0)
            else:
                yield [*cells, *[None] * (width - len(cells))], line, 0, 0


def _cells(file: Path, sheet: str) -> Iterator[tuple[int, list[Any]]]:
    """Number and values of every row that is written in a sheet."""
    import openpyxl

    book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    formulas = None
    try:
        page = book[sheet]
        page.reset_dimensions()  # what a file says of its size is often wrong
        merged, computed = _inside(file, page)
        if computed:
            formulas = openpyxl.load_workbook(file, read_only=True, data_only=False)
            twin = formulas[sheet]
            twin.reset_dimensions()
            beside = twin.iter_rows(values_only=True)
        held: dict[int, tuple[Span, Any]] = {}
        for line, row in enumerate(page.iter_rows(), 1):
            cells = [_value(cell) for cell in row]
            if computed:
                cells = _checked(cells, next(beside, ()))
            if merged:
                cells = _spread(line, cells, merged, held)
            yield line, cells
    finally:
        book.close()
        if formulas is not None:
            formulas.close()


def _value(cell: Any) -> Any:
    value = cell.value
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat()
    if isinstance(value, str):
        if cell.data_type == "e":
            return Unfit("formula_error", value)
        return value or None
    return value


def _checked(cells: list[Any], written: Sequence[Any]) -> list[Any]:
    """Cells whose formula has no value that was kept say so, where they would look empty."""
    return [
        _NO_VALUE if cell is None and (str(was).startswith("=") or type(was).__name__ == "ArrayFormula") else cell
        for cell, was in zip(cells, [*written, *[None] * len(cells)], strict=False)
    ]


def _spread(line: int, cells: list[Any], merged: dict[int, list[Span]], held: dict[int, tuple[Span, Any]]) -> list[Any]:
    """The row with the value of every merged range that it is in; `held` are those that are open, by column."""
    for span in merged.get(line, ()):
        held[span[2]] = span, cells[span[2] - 1] if span[2] <= len(cells) else None
    for column, (span, value) in list(held.items()):
        if line > span[1]:
            del held[column]
        elif value is not None:
            cells += [None] * (span[3] - len(cells))
            cells[span[2] - 1 : span[3]] = [value] * (span[3] - span[2] + 1)
    return cells


def _inside(file: Path, page: Any) -> tuple[dict[int, list[Span]], bool]:
    """The merged ranges of a sheet by their first row, and whether there are formulas: they stand after its rows."""
    merged: dict[int, list[Span]] = {}
    formulas, tail, count = False, b"", 0
    with zipfile.ZipFile(file) as archive, archive.open(page._worksheet_path) as sheet:
        while chunk := sheet.read(_CHUNK):
            text = tail + chunk
            formulas = formulas or _FORMULA.search(text) is not None
            for found in _MERGED.finditer(text):
                first, last = (_place(one) for one in found[1].decode().split(":"))
                merged.setdefault(first[0], []).append((first[0], last[0], first[1], last[1]))
                count += 1
                if count > _MOST_MERGED:
                    raise ValueError("more than a million merged ranges")
            last_one = text.rfind(b"<")
            tail = text[last_one:] if last_one >= 0 and len(text) - last_one < 1000 else b""
            tail = b"" if b">" in tail else tail
    return merged, formulas


def _place(cell: str) -> tuple[int, int]:
    """Row and column of `B3`, from 1."""
    letters = cell.rstrip("0123456789")
    column = 0
    for letter in letters:
        column = 26 * column + ord(letter) - 64
    return int(cell[len(letters) :]), column


def _sheets(file: Path, path: Path) -> list[str]:
    import openpyxl

    with file.open("rb") as raw:
        if raw.read(4) == _OLD:
            raise DataError(
                Problem(where=str(path), found="an old .xls workbook, or one behind a password", allowed=".xlsx",
                        to_do="open it and save it as .xlsx without a password")
            )  # fmt: skip
    book = openpyxl.load_workbook(file, read_only=True)
    try:
        names = [sheet.title for sheet in book.worksheets]
    finally:
        book.close()
    if not names:
        raise ValueError("no sheet with cells")
    return names


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever openpyxl raises for a file that is not whole as one error.

    Raises:
        DataError: it is not installed, or the file is no whole workbook.
    """
    try:
        yield
    except (DataError, GeneratorExit):
        raise
    except ImportError:
        raise DataError(
            Problem(where=str(path), found="openpyxl, which reads workbooks, is not installed",
                    to_do="pip install 'tunewright[data]', or save the sheet as CSV")
        ) from None  # fmt: skip
    except Exception as error:  # damaged XML makes it raise nearly anything
        said = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
        raise DataError(
            Problem(where=str(path), found=f"this is not a whole xlsx file: {said}", to_do="open it and save it again")
        ) from None
