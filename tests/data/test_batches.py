"""Rows some thousands at a time: the same rows, in bounded memory; the columns beside text and label."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tunewright.core.errors import DataError
from tunewright.data import Columns, Options, Rows, read, read_batches
from tunewright.data.targets import target_of

COLUMNS = Columns("text", "label")
WIDE = Columns("text", "label", group="thread", time="at", by="who", item="no")


def put(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def together(batches: Iterator[Rows]) -> Rows:
    rows = Rows()
    for batch in batches:
        rows.extend(batch)
    return rows


@pytest.fixture(params=["csv", "jsonl", "json", "parquet"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """25 rows, in text formats with a fault or two among them."""
    rows = [{"text": f"text {i} 好", "label": "ab"[i % 2]} for i in range(25)]
    path = tmp_path / f"a.{request.param}"
    if request.param == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif request.param == "csv":
        lines = [f"{row['text']},{row['label']}" for row in rows]
        put(path, "\n".join(["text,label", *lines[:9], "ragged,row,x", "", *lines[9:]]))
    elif request.param == "json":
        put(path, json.dumps(rows[:9])[:-1] + ', {"text": oops}, ' + json.dumps(rows[9:])[1:])
    else:
        put(path, "\n".join(["{", *map(json.dumps, rows)]))
    return path


@pytest.mark.parametrize("size", [1, 5, 10, 1000])
def test_batches_are_what_is_read_at_once(file: Path, size: int) -> None:
    whole, parts = read(file, COLUMNS), list(read_batches(file, COLUMNS, size=size))
    assert len(whole.rows) == 25
    assert together(iter(parts)) == whole
    assert [len(part.rows) + len(part.events) for part in parts[:-1]] == [size] * (len(parts) - 1)
    assert [len(part.files) for part in parts] == [0] * (len(parts) - 1) + [1]
    assert parts[-1].files[0].rows == whole.entered


def test_several_files_in_batches(tmp_path: Path) -> None:
    paths = [put(tmp_path / f"{name}.csv", f"text,label\n{name},1\n") for name in "abc"]
    assert [row.text for batch in read_batches(paths, COLUMNS) for row in batch.rows] == ["a", "b", "c"]
    with pytest.raises(DataError) as error:
        next(read_batches([*paths, tmp_path / "d.csv", tmp_path / "e.csv"], COLUMNS))
    assert len(error.value.problems) == 2


def test_columns_that_no_row_has_are_named_after_the_last(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", '{"txt": "x", "label": 1}\n' * 3)
    with pytest.raises(DataError, match="no column 'text'"):
        together(read_batches(path, COLUMNS, size=2))


def grown(path: Path, rows: int) -> Path:
    """A file with rows of a kind that repeats, every one of them different."""
    some = [f"row {{i}} {'the quick brown fox 这个东西很好用 ' * 4}"[:130] for _ in range(8)]
    if path.suffix == ".parquet":
        schema = pa.schema([("text", pa.string()), ("label", pa.string())])
        with pq.ParquetWriter(path, schema) as out:
            for start in range(0, rows, 4_000):
                texts = [some[i % 8].replace("{i}", str(start + i)) for i in range(4_000)]
                out.write_table(pa.table({"text": texts, "label": ["a", "b"] * 2000}, schema), 4_000)
        return path
    with path.open("w", encoding="utf-8") as out:
        out.write("text,label\n" if path.suffix == ".csv" else "")
        for i in range(rows):
            text = some[i % 8].replace("{i}", str(i))
            row = f"{text},a\n" if path.suffix == ".csv" else f'{{"text": "{text}", "label": "a"}}\n'
            out.write(row)
    return path


def peak(path: Path) -> tuple[int, int]:
    """Rows, and the peak of Python's memory while they are read in batches of 1,000."""
    tracemalloc.start()
    try:
        count = sum(len(batch.rows) for batch in read_batches(path, COLUMNS, size=1000))
        return count, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, ending: str) -> None:
    rows = 20_000 if ending == "parquet" else 8_000  # what fills every buffer on the way
    small, large = grown(tmp_path / f"s.{ending}", rows), grown(tmp_path / f"l.{ending}", 3 * rows)
    (few, before), (many, after) = peak(small), peak(large)
    assert (few, many) == (rows, 3 * rows)
    assert large.stat().st_size > 0.9 * before or ending == "parquet"
    assert after < 1.3 * before + 300_000


WIDE_ROWS = [
    {"text": "a", "label": "1", "thread": "t1", "at": "2024-01-02", "who": "ann", "no": "7"},
    {"text": "b", "label": "0", "thread": "", "at": "", "who": "bob", "no": "7"},
]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_columns_beside(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    if ending == "csv":
        put(path, "\n".join([",".join(WIDE_ROWS[0]), *(",".join(row.values()) for row in WIDE_ROWS)]))
    elif ending == "jsonl":
        put(path, "\n".join(map(json.dumps, WIDE_ROWS)))
    else:
        pq.write_table(pa.Table.from_pylist(WIDE_ROWS), path)
    first, second = read(path, WIDE).rows
    assert (first.group, first.time, first.by, first.item) == ("t1", "2024-01-02", "ann", "7")
    assert (second.group, second.time, second.by, second.item) == (None, None, "bob", "7")
    plain = read(path, COLUMNS).rows[0]
    assert (plain.text, plain.group, plain.time, plain.by, plain.item) == ("a", None, None, None, None)
    with pytest.raises(DataError) as error:
        read(path, Columns("text", "label", group="thred", by="whom"))
    assert [(p.where.split(", ")[-1], p.found) for p in error.value.problems] == [
        ("group column", "there is no column 'thred'"), ("annotator column", "there is no column 'whom'"),
    ]  # fmt: skip


def test_a_time_of_its_own_type_is_its_iso_form(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": 1, "at": datetime(2024, 1, 2, 3, 4)}, {"text": "b", "label": 0, "at": None}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet", Columns("text", "label", time="at")).rows
    assert [row.time for row in found] == ["2024-01-02T03:04:00", None]


def test_a_group_that_is_no_text_sets_its_row_aside(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", '{"text": "x", "label": 1, "g": [1]}\n{"text": "y", "label": 1}\n')
    rows = read(path, Columns("text", "label", group="g"))
    assert [(e.reason, e.detail) for e in rows.events] == [("not_text", "group: a list, not a text")]
    assert [(row.text, row.group) for row in rows.rows] == [("y", None)]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_columns_beside_rows_that_are_read_whole(tmp_path: Path, ending: str) -> None:
    rows = [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": f"Ho {i}"}],
             "thread": f"t{i}"} for i in range(3)]  # fmt: skip
    path = tmp_path / f"a.{ending}"
    if ending == "jsonl":
        put(path, "\n".join(map(json.dumps, rows)))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    columns = Columns(group="thread")
    target = target_of(Options(train=(str(path),), columns=columns, task="chat"))
    assert [row.group for row in read(path, columns, target=target).rows] == ["t0", "t1", "t2"]


def test_columns_beside_tagged_tokens(tmp_path: Path) -> None:
    rows = [{"tokens": ["Ann", "ran"], "tags": ["B-P", "O"], "doc": "d1"}]
    path = put(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    columns = Columns("tokens", "tags", group="doc")
    target = target_of(Options(train=(str(path),), columns=columns, task="token_classification"))
    assert [row.group for row in read(path, columns, target=target).rows] == ["d1"]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert [row.group for row in read(tmp_path / "a.parquet", columns, target=target).rows] == ["d1"]
    with pytest.raises(DataError, match="no column 'dok'"):
        read(tmp_path / "a.parquet", Columns("tokens", "tags", group="dok"), target=target)
