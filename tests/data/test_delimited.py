"""Delimited text: exact places, quotes, resynchronisation."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.data.charset import Charset, text_chunks
from tunewright.data.delimited import _at_once, fields, quote_state, records, sniff
from tunewright.data.lines import lines
from tunewright.data.rows import Fault


def cut(data: bytes, delimiter: str = ",", cap: int = 1000, chunk: int = 7) -> list[object]:
    pieces = [data[i : i + chunk] for i in range(0, len(data), chunk)]
    return list(records(lines(pieces, 0, cap), "utf-8", delimiter, cap))


def cells(data: bytes, delimiter: str = ",", cap: int = 1000) -> list[object]:
    return [x.reason if isinstance(x, Fault) else x[0] for x in cut(data, delimiter, cap)]  # type: ignore[index]


@given(st.lists(st.binary(max_size=20)), st.integers(1, 9), st.integers(1, 12))
def test_lines_tile_the_file(parts: list[bytes], chunk: int, cap: int) -> None:
    data = b"\n".join(parts)
    found = list(lines([data[i : i + chunk] for i in range(0, len(data), chunk)], 0, cap))
    at = 0
    for number, (line, offset, length, raw) in enumerate(found, 1):
        assert (line, offset) == (number, at)
        body = data[offset : offset + length].removesuffix(b"\n")
        assert raw == (body if len(body) <= cap else None)
        at += length
    assert at == len(data)


def test_only_the_newline_byte_splits() -> None:
    data = "a,b\nx\u2028y\x0b\x85z,1\n".encode()
    assert cells(data) == [["a", "b"], ["x\u2028y\x0b\x85z", "1"]]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quoted_newlines_keep_place_and_text(end: str) -> None:
    data = end.join(["t,l", f'"one{end}two ""x"", y",a', "plain,b", ""]).encode()
    found = cut(data)
    assert [item[0] for item in found] == [  # type: ignore[index]
        ["t", "l"],
        [f'one{end}two "x", y', "a"],
        ["plain", "b"],
    ]
    assert [item[1] for item in found] == [1, 2, 4]  # type: ignore[index]
    for _, _, offset, length in found[1:2]:  # type: ignore[misc]
        assert data[offset : offset + length] == f'"one{end}two ""x"", y",a{end}'.encode()


def test_an_unclosed_quote_costs_one_row() -> None:
    data = b't,l\n"never closed,a\nfine,b\n"also fine",c\nlast,d\n'
    assert cells(data) == [["t", "l"], "unclosed_quote", ["fine", "b"], ["also fine", "c"], ["last", "d"]]


def test_an_unclosed_quote_with_no_other_quote_costs_one_row() -> None:
    assert cells(b't,l\n"never,a\nfine,b\nlast,d') == [["t", "l"], "unclosed_quote", ["fine", "b"], ["last", "d"]]


def test_ragged_nul_bad_bytes_blank_and_long() -> None:
    data = b"t,l\na\nb,1,2\nc\0,1\n\xff,1\n\n" + b"x" * 1200 + b",1\nok,2\n"
    assert cells(data) == [
        ["t", "l"], "ragged_row", "ragged_row", "nul_byte", "not_utf8", "blank_line", "too_long_line", ["ok", "2"],
    ]  # fmt: skip
    faults = [x for x in cut(data) if isinstance(x, Fault)]
    assert faults[1].detail == "expected 2 fields, seen 3"
    assert "byte 0xff at byte 1 of the line, 17 of the file" in faults[3].detail
    assert faults[4].outcome == "dropped"
    assert (faults[5].offset, faults[5].length) == (data.index(b"xxx"), 1203)


def test_stray_quotes() -> None:
    assert cells(b'a,b\nhe said "hi",1\n"he "x" it",2\n') == [["a", "b"], ['he said "hi"', "1"], "stray_quote"]


def test_tabs_quote_only_where_well_formed() -> None:
    data = b'ham\t"open and never closed\nspam\tsay "hi" now\nham\t"whole"\nham\t"a" b\n'
    assert cells(data, "\t") == [
        ["ham", '"open and never closed'], ["spam", 'say "hi" now'], ["ham", "whole"], ["ham", '"a" b'],
    ]  # fmt: skip
    assert cells(b'a\tb\n"x\ty\nz"\tw\n', "\t")[1] == ['"x', "y"]
    assert cells(b'a\tb\n"x\nz"\tw\nlast\tv\n', "\t")[1:] == [["x\nz", "w"], ["last", "v"]]


def test_sniff() -> None:
    assert sniff(["a;b;c", "1,5;2,5;3"]) == ";"
    assert sniff(["label\ttext, more", "x\ty", "z\tq, r, s"]) == "\t"
    assert sniff(["a|b", "1|2"]) == "|"
    assert sniff(['"x;y",b', '"z;q;r",c']) == ","


def test_wide_encodings_read_as_utf8(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes("é好\n".encode("utf-16"))
    assert b"".join(text_chunks(path, Charset("utf-16-le", 2, True))) == "é好\n".encode()


@given(st.text(alphabet='a", \t;é\r', max_size=25), st.sampled_from([",", "\t", ";"]))
def test_the_quick_way_reads_as_the_careful_one(line: str, delimiter: str) -> None:
    at_once = _at_once(line, delimiter) if '"' in line else None
    closed = quote_state(line, delimiter, False) is False
    if at_once is not None:
        assert closed
        assert at_once == fields(line, delimiter)
    elif closed and '"' in line:
        assert "\r" in line


@given(st.text(alphabet='a",\n\r\t;é\0', max_size=60), st.sampled_from([",", "\t"]), st.integers(1, 40))
def test_every_byte_belongs_to_one_record(text: str, delimiter: str, cap: int) -> None:
    data = text.encode()
    at, line = 0, 1
    for found in cut(data, delimiter, cap):
        number, offset, length = found[1:4] if not isinstance(found, Fault) else found[2:5]  # type: ignore[index]
        assert (offset, number) == (at, line)
        at, line = at + length, line + data.count(b"\n", at, at + length)
    assert at == len(data)
