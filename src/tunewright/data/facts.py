"""What the values of a column look like: what a guess is made from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.data.rows import UnfitError, as_text
from tunewright.data.targets import joined
from tunewright.data.targets.numbers import NUMBER

_LONGEST_JOINED = 400
_FLAGS = (frozenset({"0", "1"}), frozenset({"0.0", "1.0"}), frozenset({"true", "false"}))


@dataclass(frozen=True)
class Facts:
    """`filled` is the number of values without the empty ones; `numbers` the share of them that are numbers.

    `several` says whether cells hold several names: as `lists`, or with a `separator`; `names` is how many different
    ones there are, `most` how many a cell has at most. `flags` are the two values of a column of 0 and 1.
    """

    name: str
    place: int
    rows: int
    filled: int
    distinct: int
    length: float
    words: float
    numbers: float
    fractions: bool
    lists: bool
    separator: str | None
    several: bool
    names: int
    most: int
    flags: frozenset[str] | None


def cell(row: Any, name: str, place: int) -> str | None:
    """A cell as text, a list as JSON; None where it is neither."""
    value = row.get(name) if isinstance(row, dict) else row[place]
    try:
        if isinstance(value, (list, tuple)):
            return json.dumps([as_text(item, name) for item in value], ensure_ascii=False)
        return as_text(value, name)
    except UnfitError:
        return None


def facts_of(name: str, place: int, values: Sequence[str | None]) -> Facts:
    """The facts of the column `name` at this place."""
    filled = [value for value in values if value and value.strip()]
    counts = Counter(filled)
    n = max(len(filled), 1)
    numbers = [value for value in filled if NUMBER.fullmatch(value.strip())]
    length = sum(map(len, filled)) / n
    sets = _sets(counts, n) if length < _LONGEST_JOINED and len(numbers) < 0.99 * n else None
    known = {value.strip().lower() for value in counts}
    return Facts(
        name=name,
        place=place,
        rows=len(values),
        filled=len(filled),
        distinct=len(counts),
        length=length,
        words=sum(len(value.split()) for value in filled) / n,
        numbers=len(numbers) / n,
        fractions=any("." in value and float(value) % 1 for value in numbers),
        lists=sets is not None and sets.lists,
        separator=sets.separator if sets else None,
        several=sets is not None,
        names=len({name for names in sets.names for name in names}) if sets else len(counts),
        most=max(map(len, sets.names), default=0) if sets else 1,
        flags=next((flags for flags in _FLAGS if known == flags), None),
    )


@dataclass(frozen=True)
class _Sets:
    lists: bool
    separator: str | None
    names: list[list[str]]


def _sets(counts: Counter[str], n: int) -> _Sets | None:
    """The sets of names in a column's cells; None where its cells do not look like sets."""
    lists = {value: joined.listed(value) for value in counts if joined.bracketed(value)}
    names = [found for found in lists.values() if found is not None]
    if sum(counts[value] for value, found in lists.items() if found is not None) > 0.9 * n:
        return _Sets(True, None, names)
    separator = joined.separator_of(counts)
    if separator is None:
        return None
    sets = {value: joined.split(value, separator) for value in counts}
    together = {name for names in sets.values() if len(names) > 1 for name in names}
    alone = {names[0] for names in sets.values() if len(names) == 1}
    rows = sum(counts[value] for value, names in sets.items() if len(names) > 1)
    # Names that never stand alone are parts of one name ("Smith, John"); pairs of numbers may be decimal commas.
    if rows <= 0.01 * n or 2 * len(together & alone) < len(together):
        return None
    if all(name.isdecimal() for name in together) and max(map(len, sets.values())) < 3:
        return None
    return _Sets(False, separator, list(sets.values()))
