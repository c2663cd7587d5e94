"""Column files (CoNLL): one token a line with its tag in the last column, a blank line between sentences.

A row is a sentence: its tokens and its tags, its first line and its bytes. Columns are parted by tabs, or by spaces.
A line that holds a tag alone is that of a space. Where nearly every token of the first sentences is one character, the
text is written one character a line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice

from tunewright.data.lines import Line
from tunewright.data.rows import Fault, Item, Table
from tunewright.data.tag_schemes import TAG

COLUMNS = ("tokens", "tags")
_DOCUMENT = "-DOCSTART-"
_LOOKED_AT = 200
_NEARLY_ALL = 0.98

Cells = Callable[[str], list[str]]


def looks_tagged(sample: Sequence[str]) -> bool:
    """Whether these first lines of a file are those of tokens with tags."""
    told = [line for line in sample[:-1] or sample if line.strip() and not _aside(line)]
    cells = cells_of(told)
    rows = [cells(line) for line in told]
    tags = [row[-1] for row in rows if TAG.fullmatch(row[-1]) and (len(row) > 1 or row[0] == "O")]
    typed = any(len(tag) > 1 for tag in tags)
    apart = any(not line.strip() for line in sample)
    tokens = [row[0] for row in rows if len(row) > 1]
    alone = sum(not token.strip() or len(token.split()) == 1 for token in tokens)
    return (
        len(tags) > 1 and len(tags) >= _NEARLY_ALL * len(told) and alone >= _NEARLY_ALL * len(tokens) > 0
        and (typed or apart)
    )  # fmt: skip


def cells_of(lines: Iterable[str]) -> Cells:
    """What cuts a line into its columns: at tabs where every line has one, else at runs of spaces and tabs."""
    if all("\t" in line for line in lines):
        return lambda line: line.rstrip("\r").split("\t")
    return lambda line: re.split("[ \t]+", line.rstrip(" \t\r"))


def _aside(line: str) -> bool:
    """A line beside the sentences: the mark of a document, or a comment such as `# id 3`."""
    if line.startswith(_DOCUMENT):
        return True
    return line.startswith("#") and not TAG.fullmatch(line.rsplit(maxsplit=1)[-1])


def open_tagged(
    source: Iterator[Line], codec: str, cap: int, places: Sequence[int] = ()
) -> tuple[Table, tuple[str, ...]]:
    """The table in a column file, and what was found out about it.

    Args:
        source: physical lines.
        codec: the encoding of their bytes.
        cap: the longest sentence in bytes.
        places: the columns of the token and of the tag, from 0, where they are not the first and the last.
    """
    items = _sentences(source, codec, cap, places)
    first = list(islice(items, _LOOKED_AT))
    tokens = [token for item in first if not isinstance(item, Fault) for token in item[0][0]]
    single = bool(tokens) and sum(len(token) <= 1 for token in tokens) >= _NEARLY_ALL * len(tokens)
    note = "one character a line: joined without spaces" if single else "one word a line: joined with spaces"
    return Table(COLUMNS, chain(first, items), "conll", header=False, encoding=codec, joined=single), (note,)


def _sentences(source: Iterator[Line], codec: str, cap: int, places: Sequence[int]) -> Iterator[Item | Fault]:
    """Every sentence with its place, or its fault."""
    held = list(islice(source, 1000))
    told = [(raw or b"").decode(codec, "replace") for _, _, _, raw in held]
    cells = cells_of(line for line in told if line.strip() and not _aside(line))
    group: list[Line] = []
    for line in chain(held, source):
        if line[3] is not None and not line[3].strip():
            if group:
                yield from _sentence(group, cells, codec, cap, places)
            group = []
        else:
            group.append(line)
    if group:
        yield from _sentence(group, cells, codec, cap, places)


def _sentence(
    group: Sequence[Line], cells: Cells, codec: str, cap: int, places: Sequence[int]
) -> Iterator[Item | Fault]:
    number, offset, _, _ = group[0]
    length = sum(line[2] for line in group)

    def fault(reason: str, detail: str, outcome: str = "quarantined") -> Fault:
        return Fault(reason, detail, number, offset, length, outcome)

    if length > cap or any(raw is None for _, _, _, raw in group):
        yield fault("too_long_line", f"a sentence of {length:,} bytes; the limit is {cap:,}")
        return
    try:
        lines = [(line[0], (line[3] or b"").decode(codec)) for line in group]
    except UnicodeDecodeError as error:
        yield fault("not_utf8", f"byte 0x{error.object[error.start]:02x}")
        return
    lines = [(at, line) for at, line in lines if not _aside(line)]
    if not lines:
        yield fault("no_sentence", "the mark of a document, or a comment", "dropped")
    elif any("\x00" in line for _, line in lines):
        yield fault("nul_byte", "a NUL in the sentence")
    else:
        yield from _read(lines, cells, places, fault, (number, offset, length))


def _read(
    lines: Sequence[tuple[int, str]],
    cells: Cells,
    places: Sequence[int],
    fault: Callable[..., Fault],
    where: tuple[int, int, int],
) -> Iterator[Item | Fault]:
    tokens, tags = list[str](), list[str]()
    first, last = places if len(places) == 2 else (0, -1)
    for at, line in lines:
        row = cells(line)
        if len(row) == 1 and not places and TAG.fullmatch(row[0]):
            row = [" ", row[0]]
        if len(row) < 2 or max(first, last) >= len(row):
            yield fault("missing_tag", f"line {at}: {line.strip()[:60]!r} has no tag")
            return
        tokens.append(row[first] or " ")
        tags.append(row[last].strip())
    yield ([tokens, tags], *where)
