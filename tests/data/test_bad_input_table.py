"""The table of bad inputs, line by line: what each does to a file, from reading to the splits."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tunewright.core.errors import DataError
from tunewright.data import Columns, Options, Prepared, Rows, gather, prepare, read, read_batches, write

COLUMNS = Columns("text", "label")
GOOD = [(f"a good text of number {i}", "ab"[i % 2]) for i in range(24)]


def put(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def of(path: Path, **options: Any) -> Prepared:
    """The file as a run would have it; every stage balances and hands on to the next what left it."""
    asked = Options(train=(str(path),), columns=COLUMNS, **options)
    done = prepare(gather(asked), asked, 0)
    assert all(one.left == two.entered for one, two in pairwise(done.ledger.stages))
    assert all(stage.balances for stage in done.ledger.stages)
    return done


def events(rows: Rows) -> list[tuple[str, str, int, int]]:
    return [(e.reason, e.outcome, e.source.line, e.source.offset) for e in rows.events]


def table(*lines: bytes | str) -> bytes:
    return b"\n".join(line.encode() if isinstance(line, str) else line for line in ("text,label", *lines))


CHINESE = "这个东西很好用，我很喜欢，下次还会再来"


@pytest.mark.parametrize("codec", ["gb18030", "big5", "latin-1"])
def test_another_encoding_only_where_the_whole_file_is_in_it(tmp_path: Path, codec: str) -> None:
    text = {"gb18030": CHINESE, "big5": "這個東西很好用，我很喜歡，下次還會再來", "latin-1": "le café était très bon"}[
        codec
    ]
    whole = table(*[f"{text} {i},a".encode(codec) for i in range(9)])
    rows = read(put(tmp_path / "a.csv", whole), COLUMNS)
    assert [row.text for row in rows.rows] == [f"{text} {i}" for i in range(9)]
    assert f"all of it reads as {codec}" in rows.notes[0]
    stray = b"\xff\xff" if codec != "latin-1" else b"\x81\x8d"  # in no such text
    path = put(tmp_path / "b.csv", whole + b"\nplain,a\n" + stray + b",b\n")
    rows = read(path, COLUMNS)
    assert [row.text for row in rows.rows] == ["plain"]
    assert {e.reason for e in rows.events} == {"not_utf8"}
    assert not any("\ufffd" in row.text for row in rows.rows)


def test_a_byte_that_is_not_utf8_is_told_by_its_place(tmp_path: Path) -> None:
    data = table("日本,a", b"caf\xe9 noir,b", "après,a")
    rows = read(put(tmp_path / "a.csv", data), COLUMNS)
    (event,) = rows.events
    assert event.source.offset == data.index(b"caf")
    assert event.detail == f"byte 0xe9 at byte 4 of the line, {data.index(bytes([0xE9]) + b' ')} of the file"
    assert [row.text for row in rows.rows] == ["日本", "après"]
    line = b'{"text": "caf\xe9", "label": 1}'
    (event,) = read(put(tmp_path / "a.jsonl", '{"text": "é", "label": 1}\n'.encode() + line), COLUMNS).events
    assert event.detail == "byte 0xe9 at byte 14 of the row, 40 of the file"


def test_ends_of_lines_nul_and_separators_inside_a_text(tmp_path: Path) -> None:
    rows = read(put(tmp_path / "a.csv", "text,label\r\na\u2028b\x85c,1\r\nn\0l,1\r\nz,2\r\n"), COLUMNS)
    assert [(r.text, r.label) for r in rows.rows] == [("a\u2028b\x85c", "1"), ("z", "2")]
    assert [(e.reason, e.detail) for e in rows.events] == [("nul_byte", "a NUL at byte 2 of the line")]
    lines = '{"text": "a\u2028b", "label": "1"}\r\n{"text": "n\0l", "label": 1}\r\n{"text": "z", "label": "2"}\r\n'
    rows = read(put(tmp_path / "a.jsonl", lines), COLUMNS)
    assert [(r.text, r.label) for r in rows.rows] == [("a\u2028b", "1"), ("z", "2")]
    assert [(e.reason, e.source.line) for e in rows.events] == [("nul_byte", 2)]


def test_bad_json_by_line_and_column(tmp_path: Path) -> None:
    lines = ['{"text": "ok", "label": 1}', '{"text": "x" "label": 1}', '{"text": "x", "text": "y", "label": 1}',
             '{"text": "x", "label": NaN}', '{"text": "x", "label": -Infinity}', '  {"text": "x", "label": 1',
             '["x", 1]']  # fmt: skip
    rows = read(put(tmp_path / "a.jsonl", "\n".join(lines)), COLUMNS)
    assert [(e.reason, e.detail.partition(":")[0]) for e in rows.events] == [
        ("bad_json", "line 2, column 14"), ("duplicate_key", "line 3, column 15"), ("not_a_number", "line 4, column 24"),
        ("not_a_number", "line 5, column 24"), ("bad_json", "line 6, column 27"), ("bad_json", "line 7, column 1"),
    ]  # fmt: skip
    array = read(put(tmp_path / "a.json", "[" + ",\n".join(lines[:5]) + "]"), COLUMNS)
    assert [(e.reason, e.detail.partition(":")[0]) for e in array.events] == [
        (e.reason, e.detail.partition(":")[0]) for e in rows.events[:4]
    ]
    assert array.entered == 5


def test_ragged_rows_and_a_quote_never_closed(tmp_path: Path) -> None:
    rows = read(put(tmp_path / "a.csv", table("a,1", "b,1,x", "c", '"open,1', "d,2", 'e,"2"')), COLUMNS)
    assert [(r.text, r.label) for r in rows.rows] == [("a", "1"), ("d", "2"), ("e", "2")]
    assert [(e.reason, e.source.line, e.detail) for e in rows.events][:2] == [
        ("ragged_row", 3, "expected 2 fields, seen 3"), ("ragged_row", 4, "expected 2 fields, seen 1"),
    ]  # fmt: skip
    assert [(e.reason, e.source.line) for e in rows.events][2:] == [("unclosed_quote", 5)]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "csv.gz"])
def test_a_line_of_10_mb_is_skipped_without_being_held(tmp_path: Path, ending: str) -> None:
    long = b"x" * (10 << 20)
    before, after = '{"text": "a", "label": "1"}', '{"text": "z", "label": "2"}'
    data = table("a,1", long + b",1", "z,2")
    if ending == "jsonl":
        data = f"{before}\n".encode() + b'{"text": "' + long + b'"}\n' + after.encode()
    elif ending == "json":
        data = f"[{before}, ".encode() + b'{"text": "' + long + b'"}, ' + after.encode() + b"]"
    path = put(tmp_path / f"a.{ending}", gzip.compress(data, 1) if ending.endswith("gz") else data)
    tracemalloc.start()
    try:
        (rows,) = read_batches(path, COLUMNS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [row.text for row in rows.rows] == ["a", "z"]
    (event,) = rows.events
    assert event.reason == "too_long_line"
    assert event.source.offset == data.index(b'{"text": "xx' if ending.startswith("json") else b"xxx")
    assert f"{len(long):,}"[:3] in event.detail
    assert peak < 6 << 20


def test_empty_texts_and_missing_labels(tmp_path: Path) -> None:
    done = of(
        put(tmp_path / "a.csv", table(*(",".join(row) for row in GOOD), ",a", " \u3000\t,b", "no label,", "none,  "))
    )
    reasons = {reason: n for stage in done.ledger.stages for reason, n in stage.reasons.items()}
    assert reasons["empty_text"] == 2
    assert [record.text for record in done.unlabelled] == ["no label", "none"]


def test_labels_that_are_unknown_or_near(tmp_path: Path) -> None:
    train = put(tmp_path / "a.csv", table(*(",".join(row) for row in GOOD)))
    test = put(tmp_path / "t.csv", table("seen,a", "unseen,c", "near,A"))
    asked = Options(train=(str(train),), test=(str(test),), columns=COLUMNS)
    try:
        done = prepare(gather(asked), asked, 0)
    except DataError as error:  # 'A' beside 'a' is one that only the user may merge
        assert 'label_map: {"A": "a"}' in str(error)
    else:
        pytest.fail(f"merged or kept without a word: {done.labels}")
    asked = Options(train=(str(train),), test=(str(test),), columns=COLUMNS, label_map={"A": "a"})
    done = prepare(gather(asked), asked, 0)
    (aside,) = [row for row in done.quarantined if row.reason == "unknown_label"]
    assert "'c'" in aside.detail
    assert sorted(record.text for record in done.splits["test"]) == ["near", "seen"]


@pytest.mark.parametrize(("policy", "left"), [("drop", []), ("majority", ["a"]), ("keep", ["a", "b", "a"])])
def test_one_text_under_several_labels(tmp_path: Path, policy: Any, left: list[str]) -> None:
    lines = [*(",".join(row) for row in GOOD), "torn,a", "torn,b", "Torn ,a"]
    done = of(put(tmp_path / "a.csv", table(*lines)), conflicts=policy, duplicates=False)
    found = [r.label for part in done.splits.values() for r in part if r.text.casefold().strip() == "torn"]
    assert sorted(map(str, found)) == sorted([*left, "a"] if policy == "majority" else left)
    if policy == "drop":
        assert [row.record.text for row in done.quarantined if row.record] == ["torn", "torn", "Torn"]


def test_a_copy_across_splits_leaves_train(tmp_path: Path) -> None:
    train = put(tmp_path / "a.csv", table(*(",".join(row) for row in GOOD), "twin,a"))
    test = put(tmp_path / "t.csv", table("twin,a", "other,b"))
    asked = Options(train=(str(train),), test=(str(test),), columns=COLUMNS)
    done = prepare(gather(asked), asked, 0)
    assert "twin" not in {record.text for record in done.splits["train"]}
    assert "twin" in {record.text for record in done.splits["test"]}
    assert sum(event.outcome == "leaked" for event in done.ledger.events) == 1


def test_too_little_to_learn_from_is_refused(tmp_path: Path) -> None:
    one = [",".join((text, "a")) for text, _ in GOOD]
    with pytest.raises(DataError, match="every row has the label 'a'"):
        of(put(tmp_path / "a.csv", table(*one)))
    done = of(put(tmp_path / "b.csv", table(*(",".join(row) for row in GOOD), "rare one,c", "rare two,c")))
    assert any("class 'c' has" in warning.found for warning in done.warnings)


def test_a_truncated_stream_leaves_nothing_behind(tmp_path: Path) -> None:
    """A stream that breaks off far behind the first batch: no run is made of the rows before."""
    lines = [json.dumps({"text": f"{text} {i}", "label": label}) for i in range(2000) for text, label in GOOD]
    whole = gzip.compress("\n".join(lines).encode())
    path, out = put(tmp_path / "a.jsonl.gz", whole[:-200]), tmp_path / "data"
    with pytest.raises(DataError, match="truncated_gzip") as error:
        write(of(path), out)
    assert error.value.exit_code == 3
    assert not out.exists()
