"""What the data side found out beside the ledger: gates, languages, and whatever its steps said, as facts and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunewright.core.outline import outline
from tunewright.reporting.formatting import compact, count, number, percent, shortened
from tunewright.reporting.values import mapping, rows, string

STATES = {"green": ("✓", "good"), "amber": ("!", "unsure"), "red": ("✗", "bad")}
ROWS, COLUMNS = 30, 10
"""How many rows and columns of a table are shown at most."""


@dataclass(frozen=True)
class Finding:
    """What one step said: facts in a row, and tables of (title, heads, lines)."""

    title: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    tables: list[tuple[str, list[str], list[list[tuple[str, bool]]]]] = field(default_factory=list)


@dataclass(frozen=True)
class Findings:
    """`gates`: mark, class, title, found, limit. `languages`: name, script, share, its interval. `steps`: what each said."""

    gates: list[tuple[str, ...]]
    languages: list[tuple[str, str, str, str]]
    steps: list[Finding]


def findings(card: Mapping[str, Any]) -> Findings:
    """What the card has of these; empty where it has nothing."""
    gates = [
        (
            *STATES.get(string(one.get("state")), ("?", "")),
            *(string(one.get(name)) for name in ("title", "said", "allowed")),
        )
        for one in rows(card.get("gates"))
    ]
    languages = [
        (string(one.get("language")), string(one.get("script")), percent(one.get("share")),
         f"{percent(one.get('low'))} to {percent(one.get('high'))}" if number(one.get("low")) is not None else "")
        for one in rows(card.get("languages"))[:12]
    ]  # fmt: skip
    leaks = {"leaks between splits": card["leaks"]} if mapping(card.get("leaks")) else {}
    found = {**leaks, **mapping(card.get("found"))}
    return Findings(gates, languages, [_finding(name, value) for name, value in found.items()])


def _title(name: Any) -> str:
    return shortened(string(name).replace("_", " "), 60)


def _finding(name: str, value: Any) -> Finding:
    found = outline(value)
    return Finding(
        _title(name).capitalize(),
        [(_title(title), _cell(fact)) for title, fact in found.facts if fact not in (None, "", [], ())],
        [
            (
                _title(title),
                [_title(head) for head in heads[:COLUMNS]],
                [_line(line[:COLUMNS]) for line in lines[:ROWS]],
            )
            for title, heads, lines in found.tables
        ],
    )


def _line(cells: list[Any]) -> list[tuple[str, bool]]:
    """Each cell with whether it is a number, which stands to the right."""
    return [(_cell(cell), number(cell) is not None) for cell in cells]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return compact(value)
    if isinstance(value, int):
        return count(value)
    if isinstance(value, (list, tuple)):
        return shortened((" to " if _interval(value) else ", ").join(_cell(one) for one in value[:20]), 200)
    return shortened(string(value), 120)


def _interval(value: Sequence[Any]) -> bool:
    return len(value) == 2 and all(isinstance(one, float) for one in value)
