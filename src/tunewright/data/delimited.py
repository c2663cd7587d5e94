"""CSV and TSV: quote-aware records over physical lines, so that each row's place in the file is exact.

Where a quote is never closed the csv module swallows the rows that follow; here the line that opened it is set
aside and reading goes on at the next line. Tab-separated text is quoted only where a quoted field is well formed.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from tunewright.data.lines import Line
from tunewright.data.rows import Fault, Item

DELIMITERS = (",", "\t", ";", "|")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def sniff(sample: Sequence[str]) -> str:
    """The delimiter that the first line has and the next lines repeat most evenly; a comma where there is none."""
    bare = [_QUOTED.sub("", line) for line in sample if line.strip()]
    if not bare:
        return ","
    scores = {}
    for delimiter in DELIMITERS:
        width = bare[0].count(delimiter)
        if width:
            scores[delimiter] = (sum(line.count(delimiter) == width for line in bare) / len(bare), width)
    return max(scores, key=lambda delimiter: scores[delimiter]) if scores else ","


def quote_state(line: str, delimiter: str, inside: bool) -> bool | None:
    """Whether a quoted field is open at the end of the line, given whether one was at its start.

    None: a quote inside a quoted field is followed by neither another quote, a delimiter nor the line's end.
    """
    at, end = 0, len(line)
    while True:
        if inside:
            quote = line.find('"', at)
            if quote < 0:
                return True
            if line.startswith('"', quote + 1):
                at = quote + 2
                continue
            if quote + 1 == end:
                return False
            if not line.startswith(delimiter, quote + 1):
                return None
            inside, at = False, quote + 2
        if line.startswith('"', at):
            inside, at = True, at + 1
            continue
        next_one = line.find(delimiter, at)
        if next_one < 0:
            return False
        at = next_one + 1


def fields(record: str, delimiter: str) -> list[str]:
    """The cells of a record whose quotes are well formed."""
    cells, at, end = [], 0, len(record)
    while True:
        if record.startswith('"', at):
            quote = record.find('"', at + 1)
            while record.startswith('"', quote + 1):
                quote = record.find('"', quote + 2)
            cells.append(record[at + 1 : quote].replace('""', '"'))
            at = quote + 1
        else:
            stop = record.find(delimiter, at)
            stop = end if stop < 0 else stop
            cells.append(record[at:stop])
            at = stop
        if at >= end:
            return cells
        at += 1


def literal(record: str, delimiter: str) -> list[str]:
    """The cells of a line read without quoting, save those that are well-formed quoted fields by themselves."""
    cells = record.split(delimiter)
    return [
        fields(cell, delimiter)[0] if cell.startswith('"') and quote_state(cell, delimiter, False) is False else cell
        for cell in cells
    ]


class _Lines:
    """Lines with a way back, and how they are written: what was looked ahead at can be returned."""

    def __init__(self, source: Iterable[Line], codec: str, delimiter: str, cap: int) -> None:
        self._source, self._back = iter(source), deque[Line]()
        self.codec, self.delimiter, self.cap = codec, delimiter, cap

    def __iter__(self) -> Iterator[Line]:
        source, back = self._source, self._back
        while True:
            while back:
                yield back.popleft()
            for line in source:
                yield line
                if back:
                    break
            else:
                if not back:
                    return

    def next(self) -> Line | None:
        return self._back.popleft() if self._back else next(self._source, None)

    def put_back(self, taken: Sequence[Line]) -> None:
        self._back.extendleft(reversed(taken))


def records(source: Iterable[Line], codec: str, delimiter: str, cap: int) -> Iterator[Item | Fault]:
    """Every record as its cells, or the fault that keeps it from being read. The first one sets the width.

    Args:
        source: physical lines.
        codec: the encoding of their bytes.
        delimiter: one character.
        cap: the longest quoted record in bytes.
    """
    ahead, width = _Lines(source, codec, delimiter, cap), 0
    for line in ahead:
        number, offset, length, raw = line
        if raw is None:
            yield Fault("too_long_line", f"{length:,} bytes; the limit is {cap:,}", number, offset, length)
            continue
        text, flaw = _decoded(raw, codec, offset)
        if '"' not in text:
            cells = text.split(delimiter)
            if len(cells) == 1 and (not text or text.isspace()):
                yield flaw or Fault("blank_line", "", number, offset, length, "dropped")
                continue
        elif flaw is None and (one := _at_once(text, delimiter)) is not None:
            cells = one
        else:
            got = _quoted(text, line, ahead, width)
            if isinstance(got, Fault):
                yield Fault(flaw.reason, flaw.detail, number, offset, length) if flaw else got
                continue
            cells, length, inner = got
            flaw = flaw or inner
        if flaw is not None:
            yield Fault(flaw.reason, flaw.detail, number, offset, length)
        elif width and len(cells) != width:
            yield Fault("ragged_row", f"expected {width} fields, seen {len(cells)}", number, offset, length)
        else:
            width = width or len(cells)
            yield cells, number, offset, length


def _at_once(text: str, delimiter: str) -> list[str] | None:
    """The cells of a line whose quotes all close on it, by the csv module in C; None where it is not sure of them."""
    if "\r" in text:
        return None
    try:
        return next(csv.reader((text,), delimiter=delimiter, strict=True))
    except (csv.Error, TypeError, ValueError):  # a quote is open or stray, or a cell is over its limit
        return None


def _decoded(raw: bytes, codec: str, offset: int) -> tuple[str, Fault | None]:
    """The line without its carriage return, and what is wrong with its bytes; undecodable ones are escaped."""
    if raw[-1:] == b"\r":
        raw = raw[:-1]
    try:
        text = raw.decode(codec)
        if "\x00" not in text:
            return text, None
    except UnicodeDecodeError as error:
        detail = (
            f"byte 0x{raw[error.start]:02x} at byte {error.start + 1} of the line, {offset + error.start} of the file"
        )
        return raw.decode("ascii", "surrogateescape"), Fault("not_utf8", detail, 0, offset, 0)
    return text, Fault("nul_byte", f"a NUL at byte {raw.find(0) + 1} of the line", 0, offset, 0)


def _quoted(text: str, line: Line, ahead: _Lines, width: int) -> tuple[list[str], int, Fault | None] | Fault:
    """The cells of a record that holds a quote, its length in bytes, and a flaw of its later lines."""
    number, offset, length, _ = line
    delimiter = ahead.delimiter
    strict = delimiter != "\t"
    state = quote_state(text, delimiter, False)
    if state is False:
        return fields(text, delimiter), length, None
    if state is None:
        if strict:
            return Fault("stray_quote", "a quote inside a quoted field is not doubled", number, offset, length)
        return literal(text, delimiter), length, None
    joined = _gather(text, line, ahead)
    if joined is not None:
        record, taken, flaw = joined
        cells = fields(record, delimiter)
        rest = record.split("\n")[1:] if text.count(delimiter) + 1 == width else record.split("\n")[1:-1]
        whole_rows = any(each.count(delimiter) + 1 == width for each in rest)
        if (not width or len(cells) == width) and (strict or not whole_rows):
            return cells, length + sum(each[2] for each in taken), flaw
        ahead.put_back(taken)
    if strict:
        return Fault("unclosed_quote", "a quoted field is never closed; reading goes on at the next line",
                     number, offset, length)  # fmt: skip
    return literal(text, delimiter), length, None


def _gather(text: str, line: Line, ahead: _Lines) -> tuple[str, list[Line], Fault | None] | None:
    """The record joined with the lines up to the one that closes its quote, or None with the lines put back."""
    taken: list[Line] = []
    raw = line[3] or b""
    parts, size, flaw = [text, "\r\n" if raw.endswith(b"\r") else "\n"], line[2], None
    state: bool | None = True
    while state:
        following = ahead.next()
        if following is not None:
            taken.append(following)
            size += following[2]
        if following is None or following[3] is None or size > ahead.cap:
            state = None
            break
        more, fault = _decoded(following[3], ahead.codec, following[1])
        flaw = flaw or fault
        parts += [more, "\r\n" if following[3].endswith(b"\r") else "\n"]
        state = quote_state(more, ahead.delimiter, True)
    if state is None:
        ahead.put_back(taken)
        return None
    return "".join(parts[:-1]), taken, flaw
