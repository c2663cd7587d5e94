"""Folders that are whole or absent: written beside their place and renamed, with a stamp for every file."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunewright.core.errors import StorageError
from tunewright.core.files import sha256, storing

_HASHED = 1 << 30
"""Larger files are known by their size alone."""


@contextmanager
def written(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder`, which takes its place when the block ends well and is removed when it does not.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with beside(folder) as part:
        with storing(folder), plain_errors():
            yield part
            flushed(part)
            exchange(part, folder)


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder`, removed with all that is in it when the block ends.

    Raises:
        StorageError: it cannot be made.
    """
    with storing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        settle(folder)
        part = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.part"
        part.mkdir()
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def stamps(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and hash of every file below `folder`, by its path from there."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): _stamp(p) for p in files}


def faults(folder: Path, known: dict[str, dict[str, Any]]) -> list[str]:
    """What is wrong with the files of `folder` whose stamps are `known`."""
    return [f"{name} {fault}" for name, stamp in known.items() if (fault := _fault(folder / name, stamp))]


def _stamp(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    return {"bytes": size, "sha256": sha256(path) if size <= _HASHED else None}


def _fault(path: Path, stamp: dict[str, Any]) -> str:
    """What is wrong with a file, or an empty string."""
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size != stamp["bytes"]:
        return f"has {size} bytes; {stamp['bytes']} were written"
    if stamp["sha256"] and sha256(path) != stamp["sha256"]:
        return "has changed since it was written"
    return ""


def flushed(folder: Path) -> None:
    """Sees that everything in `folder` is on the disk."""
    for path in [*sorted(p for p in folder.rglob("*") if p.is_file()), folder]:
        _flush(path)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF):  # a folder cannot be flushed everywhere
            raise
    finally:
        os.close(handle)


def before(folder: Path) -> Path:
    """Where the folder that is replaced waits for the instant of the exchange."""
    return folder.parent / f".{folder.name}.before"


def settle(folder: Path) -> None:
    """Clears up after a writer that was killed: the old folder is put back if the new one had not taken its place."""
    old = before(folder)
    if old.is_dir() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    for part in folder.parent.glob(f".{folder.name}.*.part"):
        shutil.rmtree(part, ignore_errors=True)


def exchange(part: Path, folder: Path) -> None:
    """Puts `part` in the place of `folder`. POSIX renames no folder over a full one: for an instant there is none."""
    old = before(folder)
    if folder.exists():
        folder.rename(old)
    try:
        part.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    _flush(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def plain_errors() -> Iterator[None]:
    """safetensors and tokenizers report the operating system's errors in words of their own."""
    try:
        yield
    except (OSError, StorageError):
        raise
    except Exception as error:
        text = str(error)
        if "os error 28" in text or "No space left" in text:
            raise OSError(errno.ENOSPC, "No space left on device") from error
        if "os error 122" in text:
            raise OSError(errno.EDQUOT, "Disk quota exceeded") from error
        if "os error" in text:
            raise OSError(errno.EIO, text[:200]) from error
        raise
