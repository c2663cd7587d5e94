"""What the data side found out beside the ledger: gates, languages, and whatever its steps said, as facts and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunewright.reporting.formatting import compact, count, number, percent, shortened
from tunewright.reporting.values import mapping, rows, string

STATES = {"green": ("✓", "good"), "amber": ("!", "unsure"), "red": ("✗", "bad")}
ROWS, COLUMNS, DEEP = 30, 10, 3
"""How many rows and columns of a table, and how many levels of what a step said, are shown at most."""


@dataclass(frozen=True)
class Finding:
    """What one step said, or a part of it: facts in a row, tables of (heads, lines), and parts of its own."""

    title: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    tables: list[tuple[str, list[str], list[list[tuple[str, bool]]]]] = field(default_factory=list)


@dataclass(frozen=True)
class Findings:
    """`gates`: mark, class, title, found, limit. `languages`: name, rows, share. `steps`: what each said."""

    gates: list[tuple[str, ...]]
    languages: list[tuple[str, str, str]]
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
        (string(one.get("language")), count(one.get("rows")), percent(one.get("share")))
        for one in rows(card.get("languages"))[:12]
    ]
    return Findings(gates, languages, [_finding(name, value) for name, value in mapping(card.get("found")).items()])


def _title(name: Any) -> str:
    return shortened(string(name).replace("_", " "), 60)


def _finding(name: str, value: Any) -> Finding:
    made = Finding(_title(name).capitalize())
    _take(made, "", value, 0)
    return made


def _take(made: Finding, title: str, value: Any, depth: int) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, (dict, list)):
                if inner and depth < DEEP:
                    _take(made, _joined(title, _title(name)), inner, depth + 1)
            else:
                made.facts.append((_joined(title, _title(name)), _cell(inner)))
    elif isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        heads = list(dict.fromkeys(key for row in value for key in row))[:COLUMNS]
        lines = [[(_cell(row.get(head)), number(row.get(head)) is not None) for head in heads] for row in value[:ROWS]]
        made.tables.append((title, [_title(head) for head in heads], lines))
    elif isinstance(value, list):
        made.facts.append((title or "values", shortened(", ".join(_cell(one) for one in value[:20]), 200)))
    else:
        made.facts.append((title or "value", _cell(value)))


def _joined(title: str, name: str) -> str:
    return f"{title}, {name}" if title else name


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return compact(value)
    if isinstance(value, int):
        return count(value)
    if isinstance(value, list) and value and all(number(one) is not None for one in value):
        return (
            " to ".join(compact(one) for one in value)
            if len(value) == 2
            else ", ".join(compact(one) for one in value[:8])
        )
    return shortened(string(value), 120)
