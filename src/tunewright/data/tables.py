"""Opens a file as a table: finds its format, encoding, delimiter and header, and starts the right reader."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from tunewright.core.errors import DataError, Problem, closest
from tunewright.data.arrow import open_arrow
from tunewright.data.charset import Charset, decide, text_chunks
from tunewright.data.column_files import looks_tagged, open_tagged
from tunewright.data.compressed import chunks, parted, stem, zip_members
from tunewright.data.delimited import DELIMITERS, records, sniff
from tunewright.data.folders import Member
from tunewright.data.json_rows import json_array, json_lines
from tunewright.data.lines import lines
from tunewright.data.rows import AS_FOUND, MIB, Fault, Form, Item, Table
from tunewright.data.workbooks import BOOK, open_workbook

FORMATS = ("csv", "tsv", "jsonl", "json", "parquet", "arrow", "xlsx", "conll")
_BY_ENDING = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json",
    ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow", ".xlsx": "xlsx", ".xlsm": "xlsx",
    ".conll": "conll", ".bio": "conll", ".iob": "conll", ".iob2": "conll", ".bioes": "conll", ".bmes": "conll",
    ".bmeo": "conll",
}  # fmt: skip
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def open_member(member: Member, form: Form = AS_FOUND, only: tuple[str, ...] | None = None) -> Table:
    """The table that a member of a data set is: that of its file, or of what it names beside files.

    Raises:
        DataError: as `open_table`; what it names cannot be reached.
    """
    return open_table(member.path, form, only) if member.remote is None else member.remote.table(form, only)


def open_table(path: Path, form: Form = AS_FOUND, only: tuple[str, ...] | None = None) -> Table:
    """The table in a file.

    Args:
        path: one file.
        form: how it is written, as far as it is known.
        only: the columns that will be asked for; they decide whether a first line is a header.

    Raises:
        DataError: missing, empty, truncated or unknown.
    """
    format = _format(path, form.format)
    if format in ("parquet", "arrow"):
        return open_arrow(path, format, only)
    if format == "xlsx":
        return _with_header(replace(open_workbook(path), header=form.header), path, only)
    charset = decide(path, form.encoding)
    codec = "utf-8" if charset.wide else charset.codec
    start = 0 if charset.wide else charset.skip
    notes = (charset.note,) if charset.note else ()
    if format in ("json", "jsonl"):
        head = b"".join(islice(text_chunks(path, charset), 1)).lstrip()
        if head.startswith(b"["):
            items = json_array(text_chunks(path, charset), codec, start, form.max_line)
            return Table(None, items, "json", encoding=charset.codec, notes=notes)
        source = lines(text_chunks(path, charset), start, form.max_line)
        items = json_lines(source, codec, form.max_line)
        return Table(None, items, "jsonl", encoding=charset.codec, notes=notes)
    if format == "conll":
        places = [int(name) for name in only or () if name.isdecimal()]
        table, said = open_tagged(lines(text_chunks(path, charset), start, form.max_line), codec, form.max_line, places)
        return replace(table, encoding=charset.codec, notes=notes + said)
    delimiter = form.delimiter or ("\t" if format == "tsv" else sniff(first_lines(path, charset)))
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise DataError(Problem(where=f"{path}, delimiter", found=repr(delimiter), allowed="one character"))
    found = records(lines(text_chunks(path, charset), start, form.max_line), codec, delimiter, form.max_line)
    table = Table(None, found, format, delimiter, form.header, charset.codec, notes=notes)
    return _with_header(table, path, only)


def first_lines(path: Path, charset: Charset, count: int = 50) -> list[str]:
    """The first physical lines as text, for sniffing."""
    codec = "utf-8" if charset.wide else charset.codec
    found = lines(text_chunks(path, charset), charset.skip, MIB)
    return [(raw or b"").decode(codec, "replace").rstrip("\r") for _, _, _, raw in islice(found, count)]


def looks_like_header(first: Sequence[str], below: Sequence[Sequence[str]]) -> tuple[bool, str]:
    """Whether a first row names the columns, and why: names are short, distinct, no numbers, and not values."""
    bare = [cell.strip() for cell in first]
    if any(_NUMBER.fullmatch(cell) for cell in bare):
        return False, "a cell of the first line is a number, so there is no header"
    if len(set(bare)) < len(bare) or sum(not cell for cell in bare) > 1:
        return False, "cells of the first line are empty or repeated, so there is no header"
    if any(len(cell) > 40 or cell.count(" ") > 4 for cell in bare):
        return False, "a cell of the first line is a whole text, so there is no header"
    for i, cell in enumerate(bare):
        if sum(row[i].strip() == cell for row in below if i < len(row)) > 0:
            return False, f"{cell!r} of the first line is a value of the lines below, so there is no header"
    return True, "the first line names the columns"


def _with_header(table: Table, path: Path, only: tuple[str, ...] | None) -> Table:
    """Take the header off the rows, or name the columns by position."""
    faults: list[Fault] = []
    first: Item | None = None
    for item in table.items:
        if not isinstance(item, Fault):
            first = item
            break
        faults.append(item)
    if first is None:
        table.items, table.columns = iter(faults), ()
        return table
    cells: list[str] = ["" if cell is None else str(cell) for cell in first[0]]
    if table.header is None and only is not None:
        named = {cell.strip() for cell in cells}
        table.header = any(name in named for name in only) or not all(name.isdecimal() for name in only)
    elif table.header is None:
        below = list(islice(table.items, 2000))
        table.items = chain(below, table.items)
        rows = [[str(cell) for cell in item[0]] for item in below if not isinstance(item, Fault)]
        table.header, why = looks_like_header(cells, rows)
        table.notes = (*table.notes, why)
    if table.header:
        table.columns = tuple(
            cell.strip() or (str(i) if table.format == "xlsx" else "") for i, cell in enumerate(cells)
        )
        table.items = chain(faults, table.items)
    else:
        table.columns = tuple(str(i) for i in range(len(cells)))
        table.items = chain(faults, [first], table.items)
    return table


def _format(path: Path, wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in FORMATS:
            raise DataError(
                Problem(where=f"{path}, format", found=repr(wanted), allowed=", ".join(FORMATS),
                        to_do=closest(wanted, FORMATS))
            )  # fmt: skip
        return wanted
    file, part = parted(path)
    known = _BY_ENDING.get(Path(stem(path.name)).suffix)
    if BOOK in zip_members(file) or (
        _BY_ENDING.get(file.suffix.lower()) == "xlsx" and not (part and zip_members(file))
    ):
        return "xlsx"
    head = next(chunks(path, 4096), b"")
    if not head:
        raise DataError(Problem(where=str(path), found="the file is empty", to_do="check that it was written whole"))
    if head.startswith(b"PAR1"):
        return "parquet"
    if known == "tsv" and b"\n\n" in head.replace(b"\r", b"") and looks_tagged(first_lines(path, decide(path))):
        return "conll"
    if known is not None:
        return known
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[{", b"[\n")):
        return "jsonl"
    charset = decide(path)
    sample = first_lines(path, charset)
    if looks_tagged(sample):
        return "conll"
    delimiter = sniff(sample)
    if not any(mark in line for mark in DELIMITERS for line in sample[:1]):
        raise DataError(
            Problem(where=str(path), found="the first line has neither comma, tab, semicolon nor pipe, "
                    "so there are no columns", allowed=", ".join(FORMATS),
                    to_do="set `format:` and `delimiter:`, or save it as CSV")
        )  # fmt: skip
    return "tsv" if delimiter == "\t" else "csv"
