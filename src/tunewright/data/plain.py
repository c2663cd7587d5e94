"""Plain texts: a file as documents, a file as one document, two files whose lines belong together.

A file is cut where its writer cut it, if that gives documents of sensible size: at blank lines, or at the ends of lines.
Else it is a book, and becomes contiguous sections of about `SECTION` characters, cut at blank lines or else at the ends
of lines or sentences. Nothing but white space at the cuts is left out, and a file that grows keeps its earlier sections.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from statistics import median

from tunewright.core.errors import DataError, Problem
from tunewright.data.charset import Charset, decide, text_chunks
from tunewright.data.lines import Line, lines
from tunewright.data.rows import MIB, Fault, Form, Item, Table

SECTION = 2000
SENSIBLE = 1000
"""Characters of the median piece from which on pieces are documents of their own."""

LONGEST = 64 * MIB
"""Bytes of the longest line or document that is held in memory."""

_LEAST = 10
_SAMPLE = 4 * MIB
_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+|(?<=[。！？])")
COLUMN = "text"


def open_text(path: Path, form: Form, whole: bool = False) -> Table:
    """A file of plain text as documents, in the column "text".

    Raises:
        DataError: missing, or truncated.
    """
    charset = decide(path, form.encoding)
    notes = (charset.note,) if charset.note else ()
    cap = max(form.max_line, LONGEST)
    if whole:
        return Table((COLUMN,), _one(path, charset, cap), "text", encoding=charset.codec, notes=notes)
    how = _cuts(_read(path, charset, cap), _codec(charset))
    said = {
        "blocks": "documents are what stands between blank lines",
        "lines": "every line is a document",
        "book": f"read as one book: contiguous sections of about {SECTION:,} characters, cut at blank lines",
        "verse": f"read as one book: contiguous sections of about {SECTION:,} characters, cut at the ends of lines",
    }[how]
    source = _decoded(_read(path, charset, cap), _codec(charset), cap)
    if how == "lines":
        items = _lines(source)
    else:
        items = _blocks(
            source, *{"blocks": (None, 0), "book": (SECTION, 2 * SECTION), "verse": (SECTION, SECTION)}[how]
        )
    return Table((COLUMN,), items, "text", encoding=charset.codec, notes=(*notes, said))


def open_parallel(first: Path, second: Path, names: tuple[str, str], form: Form) -> Table:
    """Two files of which line i of the one belongs to line i of the other, as a table of two columns.

    Raises:
        DataError: missing; when the rows are read: one has more lines than the other.
    """
    both = [decide(path, form.encoding) for path in (first, second)]
    notes = tuple(charset.note for charset in both if charset.note)
    notes = (*notes, f"line by line with {second.name}")
    return Table(names, _side_by_side((first, second), both, form), "text", encoding=both[0].codec, notes=notes)


def _codec(charset: Charset) -> str:
    return "utf-8" if charset.wide else charset.codec


def _read(path: Path, charset: Charset, cap: int) -> Iterator[Line]:
    return lines(text_chunks(path, charset), 0 if charset.wide else charset.skip, cap)


def _decode(line: Line, codec: str, cap: int) -> str | Fault:
    """A line as text without its carriage return, or what is wrong with it."""
    number, offset, length, raw = line
    if raw is None:
        return Fault("too_long_line", f"{length:,} bytes; the limit is {cap:,}", number, offset, length)
    if b"\x00" in raw:
        return Fault("nul_byte", f"a NUL at byte {raw.index(0) + 1} of the line", number, offset, length)
    try:
        return raw.removesuffix(b"\r").decode(codec)
    except UnicodeDecodeError as error:
        where = f"byte {error.start + 1} of the line, {offset + error.start} of the file"
        return Fault("not_utf8", f"byte 0x{raw[error.start]:02x} at {where}", number, offset, length)


Decoded = tuple[str, int, int, int] | Fault


def _decoded(source: Iterable[Line], codec: str, cap: int) -> Iterator[Decoded]:
    for line in source:
        text = _decode(line, codec, cap)
        yield text if isinstance(text, Fault) else (text, *line[:3])


def _cuts(source: Iterable[Line], codec: str) -> str:
    """What the first lines are: `blocks` between blank lines, `lines`, a `book`, or a book without blank lines (`verse`)."""
    blocks, rows, read, open_block = list[int](), list[int](), 0, 0
    for _, _, length, raw in source:
        size = len((raw or b"").decode(codec, "replace").strip())
        if size:
            rows.append(size)
            open_block += size
        elif open_block:
            blocks.append(open_block)
            open_block = 0
        read += length
        if read > _SAMPLE:
            break
    if open_block:
        blocks.append(open_block)
    for name, sizes in (("blocks", blocks), ("lines", rows)):
        if len(sizes) >= _LEAST and median(sizes) >= SENSIBLE:
            return name
    return "book" if len(blocks) > 1 else "verse"


def _lines(source: Iterable[Decoded]) -> Iterator[Item | Fault]:
    for line in source:
        if isinstance(line, Fault):
            yield line
        elif line[0].strip():
            yield [line[0]], line[1], line[2], line[3]


class _Section:
    """Lines that are gathered into one document."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.size, self.line, self.offset, self.end = 0, 0, 0, 0

    def add(self, text: str, line: int, offset: int, length: int) -> None:
        if not self.size:
            self.parts, self.line, self.offset = [], line, offset
        self.parts.append(text)
        self.size += len(text.strip())
        self.end = offset + length

    def taken(self) -> Iterator[Item]:
        """The document, if there is anything in it; empties the section."""
        if self.size:
            yield ["\n".join(self.parts).strip("\n")], self.line, self.offset, self.end - self.offset
        self.parts, self.size = [], 0


def _blocks(source: Iterable[Decoded], least: int | None, most: int) -> Iterator[Item | Fault]:
    """What stands between blank lines, or sections of it where `least` is given: of at least as many characters where a
    blank line comes in time, else cut at the end of a line after `most`."""
    section = _Section()
    for each in source:
        if isinstance(each, Fault):
            yield each
            continue
        text, line, offset, length = each
        if not text.strip() and section.size >= (least or 1):
            yield from section.taken()
        elif least is None or len(text) <= 2 * least:
            section.add(text, line, offset, length)
            if least is not None and section.size >= most:
                yield from section.taken()
        else:
            yield from section.taken()
            yield from _pieces(text, line, offset, least)
    yield from section.taken()


def _pieces(text: str, line: int, offset: int, least: int) -> Iterator[Item]:
    """A long line in pieces that end with a sentence, or else with a word."""
    at = 0
    while at < len(text):
        near = _END.search(text, at + least, at + 2 * least)
        stop = near.end() if near else text.rfind(" ", at + least, at + 2 * least) + 1 or at + 2 * least
        piece = text[at : stop if len(text) - stop >= least // 2 else len(text)]
        size = len(piece.encode("utf-8", "surrogatepass"))
        if piece.strip():
            yield [piece], line, offset, size
        at, offset = at + len(piece), offset + size


def _one(path: Path, charset: Charset, cap: int) -> Iterator[Item | Fault]:
    """The whole file as one document."""
    parts, size = [], 0
    for chunk in text_chunks(path, charset):
        size += len(chunk)
        if size <= cap:
            parts.append(chunk)
    start = 0 if charset.wide else charset.skip
    if size > cap:
        yield Fault("too_long_line", f"{size:,} bytes; the limit is {cap:,}", 1, start, size)
        return
    text = _decode((1, start, size, b"".join(parts)), _codec(charset), cap)
    yield text if isinstance(text, Fault) else ([text.strip("\n")], 1, start, size)


def _side_by_side(paths: tuple[Path, Path], both: list[Charset], form: Form) -> Iterator[Item | Fault]:
    codecs = [_codec(charset) for charset in both]
    read = [_read(path, charset, form.max_line) for path, charset in zip(paths, both, strict=True)]
    for n, (one, two) in enumerate(zip_longest(*read), 1):
        if one is None or two is None:
            more = n + sum(1 for _ in read[one is None])
            counts = (n - 1, more) if one is None else (more, n - 1)
            raise DataError(
                Problem(where=str(paths[0]), found=f"{counts[0]:,} lines, but {paths[1].name} has {counts[1]:,}",
                        allowed="parallel files with as many lines", to_do="a line is missing somewhere: align them again")
            )  # fmt: skip
        texts = [_decode(line, codec, form.max_line) for line, codec in zip((one, two), codecs, strict=True)]
        fault = next((text for text in texts if isinstance(text, Fault)), None)
        if fault is not None:
            yield fault
        elif any(isinstance(text, str) and text.strip() for text in texts):
            yield texts, one[0], one[1], one[2]
        else:
            yield Fault("blank_line", "", one[0], one[1], one[2], "dropped")
