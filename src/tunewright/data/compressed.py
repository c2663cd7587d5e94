"""Compressed files as streams of bytes: gzip, bzip2, xz, Zstandard, and one member of a zip archive.

What a file is, its first bytes say, never its name. A stream that ends early or is damaged is refused as a whole: what
came before the damage is not handed on as if it were the file. Encrypted archives are refused.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from tunewright.core.errors import DataError, Problem, closest, listed

ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".zip")
PART = "#"
"""What stands between an archive or a workbook and what is read of it: `a.zip#b.csv`."""

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}
_BROKEN = (zlib.error, lzma.LZMAError, zipfile.BadZipFile, struct.error, ValueError, RuntimeError)
"""What is raised for streams that are damaged; of RuntimeError are encryption and methods that Python cannot undo."""

_ENDED = ("ended before", "truncated", "incomplete")


def stem(name: str) -> str:
    """A file's name in lower case without the ending of its compression: `A.csv.gz` is `a.csv`."""
    name = name.lower()
    return next((name.removesuffix(ending) for ending in ENDINGS if name.endswith(ending)), name)


def parted(path: Path) -> tuple[Path, str]:
    """The file that a path means, and what is to be read of it: `a.zip#b.csv` is a.zip and b.csv, where a.zip is there."""
    text = str(path)
    if PART not in text or os.path.exists(path):  # noqa: PTH110  (Path.exists raises on a name that is too long)
        return path, ""
    for mark in re.finditer(PART, text):
        if os.path.isfile(text[: mark.start()]):  # noqa: PTH113
            return Path(text[: mark.start()]), text[mark.end() :]
    return path, ""


def chunks(path: Path, size: int = 1 << 20) -> Iterator[bytes]:
    """The bytes of a file, or of a member of a zip archive, as they were before they were compressed.

    Raises:
        DataError: the file is missing or unreadable; its compressed stream ends early, is damaged or encrypted.
    """
    file, part = parted(path)
    kind = "file"
    try:
        with file.open("rb") as raw:
            magic = raw.read(6)
            raw.seek(0)
            kind = next((name for start, name in _MAGIC.items() if magic.startswith(start)), "file")
            with _opened(kind, raw, file, part) as stream:
                while chunk := stream.read(size):
                    yield chunk
    except EOFError:
        raise _damaged(path, kind, "the compressed stream ends early") from None
    except _BROKEN as error:
        raise _damaged(path, kind, _said(error)) from None
    except OSError as error:  # bzip2 and gzip say with it what is wrong with their streams, too
        if kind != "file" and error.errno is None:
            raise _damaged(path, kind, _said(error)) from None
        raise DataError(
            Problem(where=str(path), found=error.strerror or str(error), to_do="check the path and its permissions")
        ) from None


def zip_members(path: Path) -> list[str]:
    """The files in a zip archive, without what macOS adds; none where it is no zip archive.

    Raises:
        DataError: it is one that is not whole, or cannot be read.
    """
    try:
        with path.open("rb") as raw:
            if not raw.read(4).startswith(b"PK\x03\x04"):
                return []
            with zipfile.ZipFile(raw) as archive:
                names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except _BROKEN as error:
        raise _damaged(path, "zip", _said(error)) from None
    except OSError as error:
        raise DataError(Problem(where=str(path), found=error.strerror or str(error), to_do="check the file")) from None
    return sorted(
        name for name in names if not name.startswith("__MACOSX/") and not name.split("/")[-1].startswith(".")
    )


def member_of(path: Path, part: str = "") -> str:
    """The member of a zip archive that is meant: `part`, or the only one.

    Raises:
        DataError: there is no such member, or there are several and none is named.
    """
    names = zip_members(path)
    if part in names or (not part and len(names) == 1):
        return part or names[0]
    found = f"no {part!r} in the archive" if part else f"{len(names)} files in the archive"
    raise DataError(
        Problem(where=str(path), found=found, allowed=listed(names) or "an archive with a file in it",
                to_do=closest(part, names) or f"name one: {path.name}{PART}{names[0] if names else 'data.csv'}")
    )  # fmt: skip


@contextmanager
def _opened(kind: str, raw: IO[bytes], path: Path, part: str) -> Iterator[Any]:
    with ExitStack() as stack:
        if kind == "gzip":
            yield stack.enter_context(gzip.GzipFile(fileobj=raw))
        elif kind == "bzip2":
            yield stack.enter_context(bz2.BZ2File(raw))
        elif kind == "xz":
            yield stack.enter_context(lzma.LZMAFile(raw))
        elif kind == "zstd":
            yield _Zstandard(raw, path)
        elif kind == "zip":
            archive = stack.enter_context(zipfile.ZipFile(raw))
            yield stack.enter_context(archive.open(member_of(path, part)))
        else:
            yield raw


class _Zstandard:
    """Frames one after another; zstandard's own reader says nothing of a stream that ends inside a frame."""

    def __init__(self, raw: IO[bytes], path: Path) -> None:
        try:
            import zstandard
        except ImportError:
            raise DataError(
                Problem(where=str(path), found="zstandard, which reads .zst files, is not installed",
                        to_do="pip install 'tunewright[data]', or unpack the file")
            ) from None  # fmt: skip
        self._new, self._error = zstandard.ZstdDecompressor().decompressobj, zstandard.ZstdError
        self._raw, self._frame, self._left = raw, self._new(), b""

    def read(self, size: int) -> bytes:
        """The next bytes, about as many or few times as many; none at the end. Little is taken in, as it may swell."""
        while True:
            pressed = self._left or self._raw.read(max(1, size // 64))
            if not pressed:
                if not self._frame.eof:
                    raise EOFError
                return b""
            if self._frame.eof:
                self._frame = self._new()
            try:
                plain: bytes = self._frame.decompress(pressed)
            except self._error as error:
                raise zlib.error(str(error)) from None
            self._left = self._frame.unused_data if self._frame.eof else b""
            if plain:
                return plain


def _said(error: Exception) -> str:
    text = str(error).strip().rstrip(".")
    if any(word in text.lower() for word in _ENDED):
        return f"the compressed stream ends early ({text})"
    return f"the compressed stream is damaged ({text})" if "password" not in text else text


def _damaged(path: Path, kind: str, found: str) -> DataError:
    return DataError(
        Problem(where=str(path), found=f"truncated_{kind}: {found}", allowed=f"a whole {kind} file",
                to_do="copy or download the file again")
    )  # fmt: skip
