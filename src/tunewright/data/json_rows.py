"""JSON lines, and a JSON array read as a stream: one element at a time, each with its place in the file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from tunewright.data.lines import Line
from tunewright.data.rows import Fault, Item

_OUTSIDE = re.compile(rb'["{}\[\],]')
_INSIDE = re.compile(rb'["\\\n]')
_NEXT_OBJECT = re.compile(rb"\}\s*,\s*(?=\{)")
_CONSTANT = re.compile(r"-?\bInfinity\b|\bNaN\b")


class _TwiceError(ValueError):
    pass


class _ConstantError(ValueError):
    pass


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        raise _TwiceError(next(name for name, _ in pairs if name in seen or seen.add(name)))  # type: ignore[func-returns-value]
    return found


def _constant(name: str) -> NoReturn:
    raise _ConstantError(name)


_decoder = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant)
_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder(parse_constant=_constant).scan_once  # type: ignore[attr-defined]


def _flat(text: str) -> dict[str, Any] | None:
    """The object in a text, where it is plain that no key stands there twice; None where it needs a closer look.

    Without an escaped quote, an object of texts and numbers has two quotes for each key and for each text: a key that
    stands twice would leave two too many. It spares the call that `_pairs` is for every object, half of the time.
    """
    if '\\"' in text:
        return None
    try:
        value, end = _scan(text, 0)
    except (StopIteration, ValueError, RecursionError):
        return None
    if end != len(text) or value.__class__ is not dict:
        return None
    quotes = len(value)
    for cell in value.values():
        kind = cell.__class__
        if kind is str:
            quotes += 1
        elif kind is list or kind is dict:
            return None
    found: dict[str, Any] | None = value if 2 * quotes == text.count('"') else None
    return found


def parse(raw: bytes, codec: str, line: int, offset: int, length: int) -> Item | Fault:
    """One JSON object as a row, or its fault with line and column."""

    try:
        text = raw.decode(codec)
    except UnicodeDecodeError as error:
        where = f"byte {error.start + 1} of the row, {offset + error.start} of the file"
        return Fault("not_utf8", f"byte 0x{raw[error.start]:02x} at {where}", line, offset, length)
    plain = _flat(text)
    return (plain, line, offset, length) if plain is not None else _looked_into(raw, text, line, offset, length)


def _looked_into(raw: bytes, text: str, line: int, offset: int, length: int) -> Item | Fault:
    """One object that is not flat, or what is wrong with it."""

    def fault(reason: str, detail: str) -> Fault:
        return Fault(reason, detail, line, offset, length)

    if "\x00" in text:
        return fault("nul_byte", f"a NUL at byte {raw.find(0) + 1} of the row")
    try:
        value = _decoder.decode(text)
    except _TwiceError as error:
        name = json.dumps(str(error), ensure_ascii=False)
        place = _place(text, text.find(name, text.find(name) + 1), line)
        return fault("duplicate_key", f"{place}: {name[:80]} stands there twice")
    except _ConstantError as error:
        found = _CONSTANT.search(text)
        return fault("not_a_number", f"{_place(text, found.start() if found else 0, line)}: {error}")
    except json.JSONDecodeError as error:
        return fault("bad_json", f"{_place(text, error.pos, line)}: {error.msg}")
    except (RecursionError, ValueError) as error:
        return fault("bad_json", f"line {line}: {type(error).__name__}: nested too deep, or a number too long")
    if not isinstance(value, dict):
        return fault("bad_json", f"line {line}, column 1: expected an object, seen a {type(value).__name__}")
    return value, line, offset, length


def _place(text: str, at: int, line: int) -> str:
    before = text[: max(at, 0)]
    return f"line {line + before.count(chr(10))}, column {len(before) - (before.rfind(chr(10)) + 1) + 1}"


def json_lines(source: Iterable[Line], codec: str, cap: int) -> Iterator[Item | Fault]:
    """Every line as a row."""
    for number, offset, length, raw in source:
        if raw is None:
            yield Fault("too_long_line", f"{length:,} bytes; the limit is {cap:,}", number, offset, length)
        elif not raw or raw.isspace():
            yield Fault("blank_line", "", number, offset, length, "dropped")
        else:
            raw = raw.rstrip(b"\r") if raw[-1:] == b"\r" else raw
            try:
                text = raw.decode(codec)
            except UnicodeDecodeError:
                yield parse(raw, codec, number, offset, length)
                continue
            plain = _flat(text)
            yield (
                (plain, number, offset, length)
                if plain is not None
                else _looked_into(raw, text, number, offset, length)
            )


class _Element:
    """The element being read: its bytes so far (let go of once over the cap), where it begins, and its size."""

    def __init__(self, offset: int, line: int, cap: int) -> None:
        self.offset, self.line, self.cap = offset, line, cap
        self.parts: list[bytes] = []
        self.size, self.lines, self.lead = 0, 0, b""

    def add(self, piece: bytes) -> None:
        if not self.size:
            stripped = piece.lstrip()
            lead, piece = piece[: len(piece) - len(stripped)], stripped
            self.offset, self.line = self.offset + len(lead), self.line + lead.count(b"\n")
        self.size += len(piece)
        self.lines += piece.count(b"\n")
        if self.size <= self.cap:
            self.parts.append(piece)

    def finished(self, codec: str) -> Item | Fault | None:
        """The row, its fault, or None where there is nothing but white space."""
        if not self.size:
            return None
        if self.size > self.cap:
            detail = f"{self.size:,} bytes; the limit is {self.cap:,}"
            return Fault("too_long_line", detail, self.line, self.offset, self.size)
        raw = b"".join(self.parts).rstrip()
        return parse(raw, codec, self.line, self.offset, len(raw))


class _Scanner:
    """Finds the bounds of an array's elements in consecutive chunks.

    A string that runs into a newline is broken: its element is given up, and the next begins at `}, {`.
    """

    def __init__(self, start: int, cap: int) -> None:
        self.position, self.cap = start, cap
        self.depth, self.inside, self.broken, self.skip = -1, False, False, 0
        self.before = b""
        self.element = _Element(start, 1, cap)

    def feed(self, chunk: bytes) -> Iterator[_Element]:
        """Each element that ends in this chunk."""
        at, kept, self.skip = self.skip, 0, 0
        while found := (_INSIDE if self.inside else _OUTSIDE).search(chunk, at):
            at = found.end()
            if found[0] == b"\\":
                at += 1
                self.skip = max(0, at - len(chunk))
            elif self._bound(found[0]):
                cut = found.end() - 1 if found[0] == b"{" else found.end()
                yield self._cut(chunk[kept : found.start()], self.position + cut)
                kept = cut
        self.element.add(chunk[kept:])
        self.position += len(chunk)

    def _cut(self, piece: bytes, following: int) -> _Element:
        done = self.element
        done.add(piece)
        self.element = _Element(following, done.line + done.lines, self.cap)
        return done

    def _bound(self, token: bytes) -> bool:
        """Take a token in; whether an element ends before it."""
        if self.inside:
            self.inside = False
            self.broken |= token == b"\n"
            return False
        before, self.before = self.before, (self.before + token)[-2:]
        if token == b'"':
            self.inside = True
        elif self.broken:
            if before == b"}," and token == b"{":
                self.broken, self.depth = False, 1
                return True
        elif token in b"{[":
            self.depth += 1
            return self.depth == 0
        elif token == b"," or self.depth == 0:
            return self.depth == 0
        else:
            self.depth -= 1
        return False


def json_array(pieces: Iterable[bytes], codec: str, start: int, cap: int) -> Iterator[Item | Fault]:
    """Every element of an array as a row; a broken one is set aside and reading goes on at the next."""
    scanner, opened = _Scanner(start, cap), False
    for piece in pieces:
        for element in scanner.feed(piece):
            row = element.finished(codec) if opened else None
            opened = True
            if row is not None:
                yield row
    left = scanner.element.finished(codec)
    if left is not None:
        yield left
