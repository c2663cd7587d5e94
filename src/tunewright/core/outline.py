"""Plain values as people read them: facts in a row, and tables.

    {"rows": 3, "yields": {"swap": {"kept": 2}, "typos": {"kept": 1}}}

is one fact (rows: 3) and a table of yields with a line for each of swap and typos. Nothing is formatted here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DEEP = 4
"""How many levels are looked into; what lies deeper is left out."""


@dataclass(frozen=True)
class Outline:
    """`title` is the way to this part, "" for the whole; `tables` are (title, heads, lines), the first head "" for names."""

    facts: list[tuple[str, Any]] = field(default_factory=list)
    tables: list[tuple[str, list[str], list[list[Any]]]] = field(default_factory=list)


def outline(value: Any) -> Outline:
    """The outline of a JSON value."""
    made = Outline()
    _take(made, "", value, 0)
    return made


def is_plain(value: Any) -> bool:
    """Whether a value stands in one cell: it is no mapping, and a list only of a few plain values."""
    if isinstance(value, Mapping):
        return False
    if isinstance(value, (list, tuple)):
        return len(value) <= 4 and not any(isinstance(one, (Mapping, list, tuple)) for one in value)
    return True


def _take(made: Outline, title: str, value: Any, depth: int) -> None:
    if isinstance(value, Mapping):
        if title and _is_table(value):
            made.tables.append((title, *_lines(list(value.values()), list(value))))
            return
        for name, inner in value.items():
            place = f"{title}, {_words(name)}" if title else _words(name)
            if is_plain(inner):
                made.facts.append((place, inner))
            elif inner and depth < DEEP:
                _take(made, place, inner, depth + 1)
    elif isinstance(value, (list, tuple)) and value and all(isinstance(row, Mapping) for row in value):
        made.tables.append((title, *_lines(value, None)))
    elif not isinstance(value, (list, tuple)) or value:
        made.facts.append((title or "value", value))


def _words(name: Any) -> str:
    return str(name).replace("_", " ")


def _is_table(value: Mapping[Any, Any]) -> bool:
    """Several things of which the same is said: mappings that share a name of a plain value."""
    rows = list(value.values())
    if len(rows) < 2 or not all(isinstance(row, Mapping) and row for row in rows):
        return False
    shared = set(rows[0]).intersection(*rows[1:])
    return any(all(is_plain(row[name]) for row in rows) for name in shared)


def _lines(rows: Sequence[Mapping[str, Any]], names: Sequence[Any] | None) -> tuple[list[str], list[list[Any]]]:
    """Heads and lines; what is nested once becomes columns of its own."""
    flat = [dict(_flat(row)) for row in rows]
    heads = list(dict.fromkeys(name for row in flat for name in row))
    lines = [[row.get(head) for head in heads] for row in flat]
    if names is None:
        return heads, lines
    return ["", *heads], [[_words(name), *line] for name, line in zip(names, lines, strict=True)]


def _flat(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if is_plain(value):
            yield _words(name), value
        elif isinstance(value, Mapping):
            yield from ((f"{_words(name)}, {_words(k)}", v) for k, v in value.items() if is_plain(v))
