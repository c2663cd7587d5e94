"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from tunewright.core.errors import StorageError
from tunewright.core.files import available, beside, read_lines, sha256, storing, write_json, write_lines, write_text


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "file.json"
    write_text(path, "old\n")
    return path


def alone(path: Path) -> bool:
    return [p.name for p in path.parent.iterdir()] == [path.name]


def test_text_is_written_as_it_is(old: Path) -> None:
    write_text(old, "naïve 文\r\nnew\n")
    assert old.read_bytes() == "naïve 文\r\nnew\n".encode()
    assert alone(old)


def test_the_rights_are_those_of_any_new_file(old: Path) -> None:
    plain = old.with_name("plain")
    plain.touch()
    assert old.stat().st_mode == plain.stat().st_mode


def test_an_exception_inside_leaves_the_old_file(old: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        with beside(old) as temporary:
            temporary.write_text("half of it")
            raise ZeroDivisionError
    assert old.read_text() == "old\n" and alone(old)


def test_an_exception_inside_leaves_no_new_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        with beside(tmp_path / "new") as temporary:
            temporary.write_text("half of it")
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), {"a": [float("inf")]}, {1, 2}])
def test_what_is_no_json_is_refused_before_anything_is_lost(old: Path, value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        write_json(old, value)
    with pytest.raises((ValueError, TypeError)):
        write_lines(old, [{"fine": 1}, value])
    assert old.read_text() == "old\n" and alone(old)


def failing_rows() -> Any:
    yield {"a": 1}
    raise RuntimeError("the source ends in an error")


def test_rows_that_end_in_an_error_leave_the_old_file(old: Path) -> None:
    with pytest.raises(RuntimeError):
        write_lines(old, failing_rows())
    assert old.read_text() == "old\n" and alone(old)


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "the disk is full"), (errno.EROFS, "it cannot be written")],
)
def test_the_operating_system_is_translated(old: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str) -> None:
    def fail(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StorageError, match=words) as error:
            write_json(old, {"new": 1})
    assert str(old) in str(error.value) and error.value.problems[0].to_do
    assert old.read_text() == "old\n" and alone(old)


def test_a_folder_that_is_a_file_is_explained(old: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        write_text(old / "below.json", "x")


def test_what_is_no_business_of_storage_passes_through(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), storing(tmp_path):
        raise ValueError("mine")


def test_lines_come_back_without_an_unfinished_last_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert read_lines(path) == []
    rows = [{"a": "ü\u2028\n"}, [1, None], "x"]
    write_lines(path, rows)
    assert read_lines(path) == rows
    assert "ü" in path.read_text(encoding="utf-8")
    with path.open("ab") as file:
        file.write('{"a": "ü'.encode()[:-1])
    assert read_lines(path) == rows
    path.write_bytes(b"{")
    assert read_lines(path) == []


def test_sha256_is_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\0" * 100_000)
    assert sha256(path) == hashlib.sha256(b"\0" * 100_000).hexdigest()
    assert available() > 0
