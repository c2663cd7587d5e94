"""The items that a reader should see with their own eyes: confident mistakes, and what changed against the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.reporting.conversations import summary
from tunewright.reporting.excerpts import Quote, quote
from tunewright.reporting.formatting import compact, count, percent
from tunewright.reporting.loading import Item, RunFiles
from tunewright.reporting.results import contender_title
from tunewright.reporting.tasks import CONVERSATIONS, MULTILABEL, REGRESSION, task_of
from tunewright.reporting.values import mapping, rows, string, strings

MISTAKES, FLIPS, SHOWN = 30, 20, 12
"""How many are quoted at most, and how many mistakes stand there without unfolding."""

NAMES, TARGETS = 12, 8
"""Labels and targets named at most under one text."""


@dataclass(frozen=True)
class Part:
    """A word and what it says of an item, such as `missed` and the labels; `wrong` where it is a fault."""

    word: str
    texts: Sequence[str]
    wrong: bool = False
    tail: str = ""


@dataclass(frozen=True)
class Mistake:
    """One item with what was right and what was said, by whom.

    `second` is the second text of a pair. `parts`, where there are any, stand in place of gold and output, `marked` in
    place of the text: it with the spans of either side (`entities.Marked`).
    """

    quote: Quote
    gold: str
    output: str
    before: str
    confidence: str
    place: str
    id: str
    second: Quote | None = None
    parts: Sequence[Part] = ()
    marked: Sequence[Any] = ()


@dataclass(frozen=True)
class Flips:
    """Items that flipped against one baseline, with how many there are in all."""

    against: str
    gained: Sequence[Mistake]
    lost: Sequence[Mistake]
    gained_total: str
    lost_total: str


def mistakes(files: RunFiles) -> list[Mistake]:
    """The tuned model's worst errors, as the evidence orders them."""
    task, names = task_of(files.evidence), strings(files.evidence.get("labels"))
    found = []
    for row in rows(files.evidence.get("mistakes"))[:MISTAKES]:
        parts = _sets(row) if task is MULTILABEL else _numbers(row, names) if task is REGRESSION else ()
        found.append(_mistake(files.items, row, parts))
    return found


def _sets(row: Mapping[str, Any]) -> list[Part]:
    """What was right, missed and added; an empty side is named, as no label is an answer too."""
    gold, output = strings(row.get("gold")), strings(row.get("output"))
    sides = [
        Part("gold", ["no label"] if not gold else []),
        Part("answer", ["no label"] if not output else []),
        Part("right", _few([name for name in gold if name in output])),
        Part("missed", _few([name for name in gold if name not in output]), wrong=True),
        Part("added", _few([name for name in output if name not in gold]), wrong=True),
    ]
    return [part for part in sides if part.texts]


def _few(names: Sequence[str]) -> list[str]:
    shown = [quote(name, 60, 60).head for name in names[:NAMES]]
    return [*shown, f"{count(len(names) - NAMES)} more"] if len(names) > NAMES else shown


def _numbers(row: Mapping[str, Any], names: Sequence[str]) -> list[Part]:
    """Gold, answer and error of one target; of several, gold and answer of each and the mean error in their spreads."""
    gold, output = (value if isinstance(value, list) else [] for value in (row.get("gold"), row.get("output")))
    pairs = [(compact(ours), compact(said)) for ours, said in zip(gold, output, strict=False)]
    error = compact(row.get("error"))
    if len(pairs) == 1:
        return [Part("gold", [pairs[0][0]]), Part("answer", [pairs[0][1]]), Part("off by", [error], wrong=True)]
    parts = [
        Part(f"{quote(name, 40, 40).head}: gold {ours}, answer", [said])
        for name, (ours, said) in zip(names, pairs[:TARGETS], strict=False)
    ]
    return [*parts, Part("off by", [error], wrong=True, tail="spreads on average")]


def flips(files: RunFiles) -> Flips | None:
    """Items gained and lost against the baseline; None where the evidence has none."""
    found = mapping(files.evidence.get("flips"))
    if not found:
        return None
    gained, lost = rows(found.get("gained")), rows(found.get("lost"))
    chat = task_of(files.evidence).name in CONVERSATIONS
    return Flips(
        contender_title(files.evidence, found.get("against")),
        [_mistake(files.items, row, chat=chat) for row in gained[:FLIPS]],
        [_mistake(files.items, row, chat=chat) for row in lost[:FLIPS]],
        count(found.get("gained_total", len(gained))),
        count(found.get("lost_total", len(lost))),
    )


def _mistake(
    items: Mapping[str, Item], row: Mapping[str, Any], parts: Sequence[Part] = (), chat: bool = False
) -> Mistake:
    identity = string(row.get("id"))
    item = items.get(identity)
    shown = quote(summary(item.text) if chat else item.text) if item else Quote("", "", "0", False, None, False)
    return Mistake(
        quote=shown,
        gold=_said(row.get("gold"), "(no label)"),
        output=_said(row.get("output", row.get("to")), "(none)"),
        before=_said(row["from"], "") if "from" in row else "",
        confidence=percent(row.get("confidence")) if "confidence" in row else "",
        place=quote(item.place, 120, 120).head if item and item.place else "",
        id=identity[:40],
        second=quote(item.pair) if item and item.pair is not None else None,
        parts=parts,
    )


def _said(value: Any, absent: str) -> str:
    """An answer in a few words: a label, or the labels of a set."""
    if isinstance(value, list):
        return ", ".join(_few(strings(value))) or "no label"
    return quote(string(value, absent), 60, 60).head
