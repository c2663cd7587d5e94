"""The bytes of a file and how they spell text: byte-order mark, then UTF-8, then a guess that must hold throughout.

A guess (gb18030, big5, latin-1) is taken only where the whole file decodes and reads like it, and it is
said in a note. Otherwise the file counts as UTF-8 and only its bad rows are set aside. U+FFFD is never made.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tunewright.core.errors import DataError, Problem
from tunewright.data.compressed import chunks
from tunewright.data.rows import MIB

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_COMMON_SHARE = 0.8
_DAMAGED_SHARE = 0.6
_WORDS_OF_ONE_LETTER = frozenset("àÀáÁéÉèÈêíÍóÓôúÚåÅæÆøØöÖ")
_LATIN_PUNCTUATION = frozenset("\xa0¡£©«®°·»¿´§")


@dataclass(frozen=True, slots=True)
class Charset:
    """`codec` spells the text after `skip` bytes; a `wide` one (UTF-16, UTF-32) is read as its UTF-8 form."""

    codec: str
    skip: int = 0
    wide: bool = False
    note: str = ""


def decide(path: Path, wanted: str | None = None) -> Charset:
    """How the file spells its text. Costs one pass over the file, two to four where it is not UTF-8.

    Raises:
        DataError: an encoding that Python does not know.
    """
    head = next(chunks(path), b"")[:4]
    for mark, codec in _MARKS:
        if head.startswith(mark) and wanted in (None, codec, "utf-8", "utf-8-sig", codec[:6]):
            wide = codec != "utf-8"
            note = f"read as {codec}; byte offsets count its UTF-8 form" if wide else ""
            return Charset(codec, len(mark), wide, note)
    if wanted is not None:
        return _known(wanted)
    if _decodes(path, "utf-8"):
        return Charset("utf-8")
    return _guess(path)


def text_chunks(path: Path, charset: Charset) -> Iterator[bytes]:
    """The bytes after the byte-order mark, in an encoding in which a newline is the byte 10."""
    skip = charset.skip
    decoder = codecs.getincrementaldecoder(charset.codec)() if charset.wide else None
    try:
        for chunk in chunks(path):
            chunk, skip = chunk[skip:], max(0, skip - len(chunk))
            yield decoder.decode(chunk).encode() if decoder else chunk
        if decoder:
            yield decoder.decode(b"", True).encode()
    except UnicodeError as error:
        raise DataError(
            Problem(where=str(path), found=f"not_utf8: the file is not whole {charset.codec} ({error})",
                    to_do="save the file as UTF-8")
        ) from None  # fmt: skip


def _known(name: str) -> Charset:
    try:
        info = codecs.lookup(name)
        "a".encode(name)
    except (LookupError, ValueError):
        raise DataError(
            Problem(where="encoding", found=f"there is no text encoding {name!r}",
                    allowed="utf-8, gb18030, big5, latin-1, cp1252, utf-16, ...")
        ) from None  # fmt: skip
    wide = info.name.startswith(("utf-16", "utf-32"))
    return Charset(info.name, 0, wide, f"read as {info.name}, as the recipe says")


def _decodes(path: Path, codec: str) -> bool:
    decoder = codecs.getincrementaldecoder(codec)()
    try:
        for chunk in chunks(path):
            decoder.decode(chunk)
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return False
    return True


def _guess(path: Path) -> Charset:
    sample = b"".join(_high_lines(path))
    share = _utf8_share(sample)
    if share > _DAMAGED_SHARE:
        return Charset("utf-8", note="some rows are not UTF-8: they are set aside, the others are read")
    scored = {codec: _chinese(sample, codec) for codec in ("gb18030", "big5")}
    codec = max(scored, key=lambda name: scored[name])
    if scored[codec] >= _COMMON_SHARE and _decodes(path, codec):
        return Charset(codec, note=f"the file is not UTF-8; all of it reads as {codec}, so it was read as that")
    if not share and _latin(sample):
        return Charset("latin-1", note="the file is not UTF-8; all of it reads as latin-1, so it was read as that")
    return Charset("utf-8", note="some rows are not UTF-8: they are set aside, the others are read")


def _utf8_share(sample: bytes) -> float:
    """The share of the high bytes that stand in whole UTF-8 characters: near 1 in damaged UTF-8, low elsewhere."""
    whole = sum(len(char.encode()) for char in sample.decode("utf-8", "ignore") if char > "\x7f")
    return whole / max(1, sum(byte > 127 for byte in sample))


def _high_lines(path: Path, limit: int = 4 * MIB) -> Iterator[bytes]:
    """The lines that hold a byte above 127: the only ones that tell encodings apart."""
    kept, carry = 0, b""
    for chunk in chunks(path):
        *whole, carry = (carry + chunk).split(b"\n")
        for line in whole:
            if not line.isascii() and kept < limit:
                kept += len(line)
                yield line + b"\n"
        if len(carry) > MIB:
            carry = b""
    if not carry.isascii():
        yield carry


def _chinese(sample: bytes, codec: str) -> float:
    """The share of the non-ASCII characters that are everyday ones of that code: level one, and punctuation."""
    try:
        letters = [char for char in sample.decode(codec) if char > "\x7f"]
    except UnicodeDecodeError:
        return 0.0
    first, last = (0xB0, 0xD7) if codec == "gb18030" else (0xA4, 0xC6)
    common = 0
    for char in letters:
        code = char.encode(codec)
        low = code[1] >= 0xA1 if codec == "gb18030" else True
        common += len(code) == 2 and low and (first <= code[0] <= last or 0xA1 <= code[0] <= 0xA3)
    return common / len(letters) if len(letters) > 1 else 0.0


def _latin(sample: bytes) -> bool:
    """Whether high bytes are Latin letters inside words or everyday signs, with hardly an exception."""
    text = sample.decode("latin-1")
    high = [i for i, char in enumerate(text) if char > "\x7f"]
    fits = 0
    for i in high:
        char = text[i]
        near = text[max(0, i - 1) : i] + text[i + 1 : i + 2]
        letter = char.isalpha() and char not in "ªº" and any(other.isascii() and other.isalpha() for other in near)
        if "\x80" <= char <= "\x9f":
            return False
        fits += letter or char in _LATIN_PUNCTUATION or char in _WORDS_OF_ONE_LETTER
    return bool(high) and fits >= 0.95 * len(high)
