"""Whatever is thrown at the readers: no traceback, no row lost, and every row of a whole file back as it was."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from tunewright.core.errors import TunewrightError
from tunewright.data import Columns, Form, Rows, read, read_batches

COLUMNS = Columns("text", "label")
FAST = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=12) | st.sampled_from(
    ["NA", "null", "nan", 'a "b" c', '"', "a,b\tc", "x\u2028y", "\x85", "多行\n文本", "\\", '\\"', "=1+1", "1e5", "#"]
)
ROWS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=12)


@contextmanager
def file(name: str, data: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        yield path


def delimited(rows: list[tuple[str, str]], delimiter: str) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([("text", "label"), *rows])
    return out.getvalue().encode()


def lines(rows: list[tuple[str, str]]) -> bytes:
    return "".join(json.dumps({"text": t, "label": g}, ensure_ascii=len(t) % 2 == 0) + "\n" for t, g in rows).encode()


def array(rows: list[tuple[str, str]]) -> bytes:
    return json.dumps([{"text": t, "label": g} for t, g in rows], ensure_ascii=False).encode()


def parquet(rows: list[tuple[str, str]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"text": [t for t, _ in rows], "label": [g for _, g in rows]}), out)
    return out.getvalue()


def workbook(rows: list[tuple[str, str]]) -> bytes:
    made, out = Workbook(), io.BytesIO()
    page = made.active
    page.append(["text", "label"])
    for row in rows:
        page.append(["", ""])
        for cell, value in zip(page[page.max_row], row, strict=True):
            cell.value, cell.data_type = (
                ILLEGAL_CHARACTERS_RE.sub("", value),
                "s",
            )  # a text, be it one that looks like a formula
    made.save(out)
    return out.getvalue()


WRITERS: dict[str, Callable[[list[tuple[str, str]]], bytes]] = {
    "a.csv": lambda rows: delimited(rows, ","),
    "a.tsv": lambda rows: delimited(rows, "\t"),
    "a.jsonl": lines,
    "a.json": array,
    "a.parquet": parquet,
    "a.jsonl.gz": lambda rows: gzip.compress(lines(rows)),
    "a.xlsx": workbook,
}


def accounted(path: Path, columns: Columns = COLUMNS, form: Form | None = None) -> Rows | None:
    """What is read, all of it in order and every row in one place; None where the file is refused with words."""
    try:
        rows = read(path, columns, form or Form())
    except TunewrightError as error:
        assert error.problems
        assert all(p.where and p.found for p in error.problems)
        return None
    assert rows.entered == len(rows.rows) + len(rows.events) == sum(f.rows for f in rows.files)
    places = sorted(
        [(r.source.line, r.source.offset) for r in rows.rows] + [(e.source.line, e.source.offset) for e in rows.events]
    )
    assert len(set(places)) == len(places)
    assert all(
        "\ufffd" not in r.text or b"\xef\xbf\xbd" in path.read_bytes() for r in rows.rows if path.suffix == ".csv"
    )
    parts = Rows()
    for batch in read_batches(path, columns, form or Form(), size=3):
        assert batch.entered <= 3
        parts.extend(batch)
    assert parts == rows
    return rows


@FAST
@given(ROWS, st.sampled_from(sorted(WRITERS)))
def test_every_row_of_a_whole_file_comes_back(rows: list[tuple[str, str]], name: str) -> None:
    if name == "a.xlsx":
        rows = [
            (ILLEGAL_CHARACTERS_RE.sub("", t).strip("\n_") or "x", ILLEGAL_CHARACTERS_RE.sub("", g).strip("\n_"))
            for t, g in rows
        ]
    if name == "a.tsv":  # where a quote that runs over lines of two cells is not believed to be one
        rows = [(t.replace("\n", " "), g.replace("\n", " ")) for t, g in rows]
    with file(name, WRITERS[name](rows)) as path:
        found = accounted(path)
    assert found is not None
    assert [(r.text, r.label) for r in found.rows] == [(t, g or None) for t, g in rows]
    assert not found.events


@FAST
@given(
    ROWS,
    st.sampled_from(["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "gb18030"]),
    st.sampled_from(["a.csv", "a.jsonl"]),
)
def test_every_row_in_another_encoding(rows: list[tuple[str, str]], codec: str, name: str) -> None:
    data = WRITERS[name](rows).decode().encode(codec)
    with file(name, data) as path:
        found = accounted(path, form=Form(encoding=None if codec in ("utf-8-sig", "utf-16", "utf-32") else codec))
    assert found is not None
    assert [(r.text, r.label) for r in found.rows] == [(t, g or None) for t, g in rows]


MUTATION = st.tuples(st.floats(0, 1), st.integers(0, 30), st.binary(max_size=6))


@settings(FAST, max_examples=150)
@given(ROWS, st.sampled_from(sorted(WRITERS)), st.lists(MUTATION, min_size=1, max_size=3), st.booleans())
def test_damaged_files_are_refused_or_accounted_for(
    rows: list[tuple[str, str]], name: str, mutations: list[tuple[float, int, bytes]], truncated: bool
) -> None:
    data = WRITERS[name](rows)
    for at, removed, put in mutations:
        place = int(at * len(data))
        data = data[:place] + put + data[place + removed :]
    with file(name, data[: len(data) // 2] if truncated else data) as path:
        accounted(path)


@FAST
@given(st.binary(max_size=300), st.sampled_from(
    ["a.csv", "a.tsv", "a", "a.jsonl", "a.json", "a.parquet", "a.arrow", "a.xlsx", "a.conll", "a.zip", "a.csv.gz",
     "a.csv.bz2", "a.csv.xz", "a.csv.zst", "a.db#t"]
), st.sampled_from([b"", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"PAR1", b"ARROW1",
                    b"\xff\xfe", b"\xd0\xcf\x11\xe0", b"text,label\n", b'{"text": "x"}\n', b"[{"]))  # fmt: skip
def test_any_bytes_under_any_name(data: bytes, name: str, start: bytes) -> None:
    with file(name, start + data) as path:
        accounted(path)


@FAST
@given(st.lists(st.text(alphabet='ab",\n\r é', max_size=15), max_size=12), st.sampled_from([",", "\t", ";"]))
def test_no_line_of_a_table_is_lost(body: list[str], delimiter: str) -> None:
    """Without quotes that run on, every line is one row or one event."""
    data = "\n".join([f"text{delimiter}label", *body]).replace('"', "'").encode()
    with file("a.csv", data) as path:
        found = accounted(path, form=Form(delimiter=delimiter, header=True))
    assert found is not None
    assert found.entered == len(data.split(b"\n")) - 1 - (data.endswith(b"\n"))


@settings(FAST, max_examples=40)
@given(
    st.text(max_size=40),
    st.sampled_from(["", "hub:", "sqlite://", "sqlite:///", "nosuch://", "x+y://", "*", "a.zip#"]),
)
def test_any_entry_of_a_recipe(entry: str, start: str) -> None:
    entry = start + entry.replace("/", "_").replace("\0", "")
    if entry.startswith("hub:"):
        entry = "hub:" + entry[4:].replace("#", "") + "/a/b"  # none that anybody would be asked for
    try:
        rows: Any = read(entry, COLUMNS)
    except TunewrightError as error:
        assert error.problems
    else:
        raise AssertionError(rows)
