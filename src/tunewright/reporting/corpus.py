"""What the data card says of texts that are no classes and no numbers: conversations, sources, documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.reporting.formatting import compact, count, number, shortened
from tunewright.reporting.values import mapping, string

FORMS = {
    "openai": "OpenAI messages",
    "sharegpt": "ShareGPT conversations",
    "alpaca": "Alpaca instructions",
    "columns": "columns of prompt and reply",
    "hh_rlhf": "hh-rlhf transcripts",
}


@dataclass(frozen=True)
class Corpus:
    """Facts in a row, and tables: (title, column heads, lines whose first cell is a name)."""

    facts: Sequence[tuple[str, str]]
    tables: Sequence[tuple[str, Sequence[str], Sequence[tuple[str, Sequence[str]]]]]


def corpus(card: Mapping[str, Any]) -> Corpus:
    """What the card has of these; empty where it has nothing."""
    facts: list[tuple[str, str]] = []
    form = string(card.get("conversation"))
    if form:
        forms = form.split(", ")
        facts.append(("Form found" if len(forms) == 1 else "Forms found", ", ".join(_form(one) for one in forms[:6])))
    turns = mapping(card.get("turns"))
    if turns:
        facts += [("Turns, mean", compact(turns.get("mean"))), ("Turns, most", count(turns.get("max")))]
    for key, title in (("systems", "With a system prompt"), ("tools", "With tools")):
        if number(card.get(key)) is not None:
            facts.append((title, count(card.get(key))))
    thumbs = mapping(card.get("thumbs"))
    facts += [(f"Thumbs {name}", count(thumbs.get(name))) for name in ("up", "down") if name in thumbs]
    if number(card.get("ratio")) is not None:
        facts.append(("Target to source, characters", compact(card.get("ratio"))))
    tables = [found for found in (_characters(card.get("characters")), _splits(card)) if found is not None]
    return Corpus(facts, tables)


def _form(name: str) -> str:
    return FORMS.get(name, shortened(name.replace("_", " "), 40))


Table = tuple[str, Sequence[str], Sequence[tuple[str, Sequence[str]]]]


def _characters(value: Any) -> Table | None:
    """Characters of each side: mean, median, most."""
    lines = []
    for name, found in list(mapping(value).items())[:12]:
        if isinstance(found, dict) and {"mean", "median", "max"} & found.keys():
            cells = [compact(found.get("mean")), compact(found.get("median")), count(found.get("max"))]
            lines.append((shortened(string(name).capitalize().replace("_", " "), 40), cells))
    return ("Length in characters", ("Mean", "Median", "Longest"), lines) if lines else None


SPLITS = ("train", "validation", "test")


def _splits(card: Mapping[str, Any]) -> Table | None:
    """Documents, characters and bytes of each split."""
    lines = []
    for split in SPLITS:
        part = mapping(mapping(card.get("sizes")).get(split))
        found = [part.get(key) for key in ("documents", "characters", "bytes")]
        if any(number(value) is not None for value in found):
            lines.append((split.capitalize(), [count(value) for value in found]))
    return ("Documents", ("Documents", "Characters", "Bytes"), lines) if lines else None
