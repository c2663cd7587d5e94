"""The items that a reader should see with their own eyes: confident mistakes, and what changed against the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.reporting.formatting import boundary, count, percent, script_language
from tunewright.reporting.loading import Item, RunFiles, mapping, rows, string
from tunewright.reporting.results import contender_title

MISTAKES, FLIPS, SHOWN = 30, 20, 12
"""How many are quoted at most, and how many mistakes stand there without unfolding."""

VISIBLE, KEPT = 220, 2000
"""Characters shown at once, and quoted at all: thirty hostile texts must not make the file grow beyond its limit."""


@dataclass(frozen=True)
class Quote:
    """A text cut into what is shown and what unfolds; `language` helps the browser with Chinese, Japanese, Korean."""

    head: str
    tail: str
    length: str
    cut: bool
    language: str | None
    found: bool


@dataclass(frozen=True)
class Mistake:
    """One item with what was right and what was said, by whom."""

    quote: Quote
    gold: str
    output: str
    before: str
    confidence: str
    place: str
    id: str


@dataclass(frozen=True)
class Flips:
    """Items that flipped against one baseline, with how many there are in all."""

    against: str
    gained: Sequence[Mistake]
    lost: Sequence[Mistake]
    gained_total: str
    lost_total: str


def quote(text: str, visible: int = VISIBLE, kept: int = KEPT) -> Quote:
    """Split a text for reading; never inside one visible sign."""
    whole = text.strip() or "(empty text)"
    language = script_language(whole)
    end = boundary(whole, kept)
    edge = boundary(whole[:end], visible) if len(whole) > visible + 40 else end
    return Quote(whole[:edge], whole[edge:end], count(len(whole)), end < len(whole), language, True)


def mistakes(files: RunFiles) -> list[Mistake]:
    """The tuned model's most confident errors, as the evidence orders them."""
    return [_mistake(files.items, row) for row in rows(files.evidence.get("mistakes"))[:MISTAKES]]


def flips(files: RunFiles) -> Flips | None:
    """Items gained and lost against the baseline; None where the evidence has none."""
    found = mapping(files.evidence.get("flips"))
    if not found:
        return None
    gained, lost = rows(found.get("gained")), rows(found.get("lost"))
    return Flips(
        contender_title(files.evidence, found.get("against")),
        [_mistake(files.items, row) for row in gained[:FLIPS]],
        [_mistake(files.items, row) for row in lost[:FLIPS]],
        count(found.get("gained_total", len(gained))),
        count(found.get("lost_total", len(lost))),
    )


def _mistake(items: Mapping[str, Item], row: Mapping[str, Any]) -> Mistake:
    identity = string(row.get("id"))
    item = items.get(identity)
    shown = quote(item.text) if item else Quote("", "", "0", False, None, False)
    return Mistake(
        quote=shown,
        gold=quote(string(row.get("gold"), "(no label)"), 60, 60).head,
        output=quote(string(row.get("output", row.get("to")), "(none)"), 60, 60).head,
        before=quote(string(row["from"]), 60, 60).head if "from" in row else "",
        confidence=percent(row.get("confidence")) if "confidence" in row else "",
        place=quote(item.place, 120, 120).head if item and item.place else "",
        id=identity[:40],
    )
