"""Compressed files, archives with several members, patterns of files; streams that are not whole."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tunewright.core.errors import DataError
from tunewright.data import Columns, content, guess, read, read_batches

COLUMNS = Columns("text", "label")
PLAIN = b"text,label\n" + b"".join(b"text %d,%d\n" % (i * i % 9973, i % 3) for i in range(5000))


def zipped(data: bytes, *names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names or ("inner/a.csv",):
            archive.writestr(name, data)
    return made.getvalue()


def frames(data: bytes) -> bytes:
    """Two Zstandard frames, one after another, with the checksums that the program zstd writes."""
    return b"".join(zstandard.ZstdCompressor(write_checksum=True).compress(part) for part in (data[:999], data[999:]))


PRESSED: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": frames, "zip": zipped,
}  # fmt: skip
KINDS = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "zstd", "zip": "zip"}


def put(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize("ending", PRESSED)
def test_a_compressed_file_is_read_like_a_plain_one(tmp_path: Path, ending: str) -> None:
    plain = read(put(tmp_path / "a.csv", PLAIN), COLUMNS)
    path = put(tmp_path / f"b.csv.{ending}", PRESSED[ending](PLAIN))
    found = read(path, COLUMNS)
    assert [(r.text, r.label, r.source.line, r.source.offset) for r in found.rows] == [
        (r.text, r.label, r.source.line, r.source.offset) for r in plain.rows
    ]
    assert found.files[0].bytes == path.stat().st_size
    assert found.files[0].format == "csv"
    assert guess(path).label == "label"


@pytest.mark.parametrize("ending", PRESSED)
@pytest.mark.parametrize("where", [0.02, 0.5, 0.98])
def test_a_truncated_stream_yields_no_row(tmp_path: Path, ending: str, where: float) -> None:
    whole = PRESSED[ending](PLAIN)
    path = put(tmp_path / f"b.csv.{ending}", whole[: int(len(whole) * where)])
    for act in (lambda: read(path, COLUMNS), lambda: next(read_batches(path, COLUMNS, size=10)), lambda: guess(path)):
        with pytest.raises(DataError) as error:
            act()
        assert [p.found.partition(":")[0] for p in error.value.problems] == [f"truncated_{KINDS[ending]}"]
        assert (error.value.exit_code, error.value.problems[0].to_do) == (3, "copy or download the file again")


@pytest.mark.parametrize("ending", PRESSED)
def test_a_damaged_stream_yields_no_row(tmp_path: Path, ending: str) -> None:
    whole = bytearray(PRESSED[ending](PLAIN))
    whole[len(whole) // 2] ^= 0xFF
    with pytest.raises(DataError, match=f"truncated_{KINDS[ending]}"):
        read(put(tmp_path / f"b.csv.{ending}", bytes(whole)), COLUMNS)


def test_one_of_several_members(tmp_path: Path) -> None:
    path = put(tmp_path / "a.zip", zipped(b"text,label\nx,1\n", "de/a.csv", "en/b.csv", "__MACOSX/._a.csv"))
    rows = read(f"{path}#en/b.csv", COLUMNS)
    assert [(r.text, r.source.file) for r in rows.rows] == [("x", f"{path}#en/b.csv")]
    with pytest.raises(DataError) as error:
        read(path, COLUMNS)
    (problem,) = error.value.problems
    assert (problem.found, problem.allowed) == ("2 files in the archive", "de/a.csv, en/b.csv")
    assert problem.to_do == "name one: a.zip#de/a.csv"
    with pytest.raises(DataError, match=r"no 'en/c.csv' in the archive(.|\n)*did you mean 'en/b.csv'"):
        read(f"{path}#en/c.csv", COLUMNS)
    assert content(f"{path}#en/b.csv") != content(f"{path}#de/a.csv")


def test_an_encrypted_archive_says_so(tmp_path: Path) -> None:
    data = bytearray(zipped(PLAIN))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag of both headers
        data[data.index(mark) + at] |= 1
    with pytest.raises(DataError, match="encrypted, password required"):
        read(put(tmp_path / "a.zip", bytes(data)), COLUMNS)


def test_a_file_whose_name_has_the_mark_is_itself(tmp_path: Path) -> None:
    path = put(tmp_path / "a#1[x].csv", "text,label\nx,1\n")
    assert [r.text for r in read(path, COLUMNS).rows] == ["x"]


def test_without_zstandard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "a.csv.zst", frames(PLAIN))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(DataError, match=r"pip install 'tunewright\[data\]'"):
        read(path, COLUMNS)


def test_patterns(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "deep/er/c.csv", ".hidden.csv", "d.jsonl"):
        put(tmp_path / name, f"text,label\n{name},1\n" if name.endswith("csv") else '{"text": "d", "label": 1}\n')
    assert [r.text for r in read(tmp_path / "*.csv", COLUMNS).rows] == ["a.csv", "b.csv"]
    assert [r.text for r in read(f"{tmp_path}/**/[a-c].csv", COLUMNS).rows] == ["a.csv", "b.csv", "deep/er/c.csv"]
    assert [r.text for r in read([tmp_path / "?.jsonl", tmp_path / "a.csv"], COLUMNS).rows] == ["d", "a.csv"]
    with pytest.raises(DataError) as error:
        read(tmp_path / "*" / "d.jsonl", COLUMNS)
    (problem,) = error.value.problems
    assert problem.found == "no file is named like this"
    assert problem.allowed == "a.csv, b.csv, d.jsonl, deep/er/c.csv"
    assert problem.to_do == "did you mean 'd.jsonl'?"
    with pytest.raises(DataError, match="no file is named like this"):
        read(tmp_path / "no" / "such" / "*.csv", COLUMNS)


def test_a_pattern_changes_with_its_files(tmp_path: Path) -> None:
    put(tmp_path / "a.csv", "text,label\nx,1\n")
    before = content(tmp_path / "*.csv")
    put(tmp_path / "b.csv", "text,label\ny,1\n")
    assert content(tmp_path / "*.csv") != before


def test_files_of_a_pattern_that_are_named_after_splits(tmp_path: Path) -> None:
    for name in ("train", "test"):
        put(tmp_path / f"{name}.csv", f"text,label\n{name},1\n")
    assert [(r.text, r.split) for r in read(tmp_path / "*.csv", COLUMNS).rows] == [("test", "test"), ("train", "train")]
    assert [r.split for r in read(tmp_path / "tr*.csv", COLUMNS).rows] == [None]
    put(tmp_path / "other.csv", "text,label\nother,1\n")
    assert {r.split for r in read(tmp_path / "*.csv", COLUMNS).rows} == {None}
