"""Named entities in the page: the figures of each type, the errors by kind, and texts with their spans marked.

Pure functions from the evidence and the quoted rows to views, as in `results`; None or nothing where the task is another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from tunewright.reporting import charts
from tunewright.reporting.answers import LABEL_COLUMNS, MOST, OPEN, LabelRow, rival
from tunewright.reporting.figures import read_interval, write_figure
from tunewright.reporting.formatting import (
    ABSENT,
    boundary,
    clean,
    count,
    counted,
    number,
    percent,
    script_language,
    shortened,
)
from tunewright.reporting.loading import Item, RunFiles
from tunewright.reporting.quotes import Flips, Mistake, Part
from tunewright.reporting.results import contender_title, tuned
from tunewright.reporting.tasks import TOKEN_CLASSIFICATION, task_of
from tunewright.reporting.values import mapping, rows, string

BEFORE, SHOWN = 60, 420
"""Characters before the first span that differs, and characters of a text that are shown at all."""

SPANS = 60
"""Spans marked at most in one text."""

ERRORS = {
    "right": ("Right", "start, end and type as in the gold spans"),
    "boundary": ("Boundary", "the right type, but it begins or ends elsewhere"),
    "type": ("Type", "it overlaps a gold span, but names another type"),
    "split_or_merged": ("Split or merged", "several spans in place of one, or one in place of several"),
    "missed": ("Missed", "a gold span that no answer touches"),
    "invented": ("Invented", "an answer that touches no gold span"),
}
Span = tuple[int, int, str]


@dataclass(frozen=True)
class ErrorRow:
    """One kind of error: how often the tuned contender makes it, its drawing, and how often the rival does."""

    title: str
    meaning: str
    found: str
    rival: str
    bar: Markup | None


@dataclass(frozen=True)
class Types:
    """The types, the most frequent first, and the errors by kind; `left_out` types are in evidence.json alone."""

    columns: Sequence[str]
    shown: Sequence[LabelRow]
    folded: Sequence[LabelRow]
    left_out: str
    against: str
    errors: Sequence[ErrorRow]


@dataclass(frozen=True)
class Piece:
    """A stretch of a text: plain, or a span with its type that is `right`, `missed`, `invented` or `differs`."""

    text: str
    type: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Marked:
    """A text with the spans of one side, named by `side`; `language` helps the browser."""

    side: str
    pieces: Sequence[Piece]
    language: str | None = None


def types(evidence: Mapping[str, Any]) -> Types | None:
    """The tuned contender's figures for each type and its errors by kind; None where the task is another."""
    if task_of(evidence) is not TOKEN_CLASSIFICATION:
        return None
    ours, other = tuned(evidence), rival(evidence)
    theirs = {string(one.get("type")): read_interval(one.get("f1")).value for one in rows(other.get("per_type"))}
    against = contender_title(evidence, other.get("name")) if theirs else ""
    found = sorted(rows(ours.get("per_type")), key=lambda one: -(number(one.get("support")) or 0.0))
    lines = [_type(one, theirs.get(string(one.get("type"))), against) for one in found[:MOST]]
    left = count(len(found) - MOST) if len(found) > MOST else ""
    return Types(list(LABEL_COLUMNS.values()), lines[:OPEN], lines[OPEN:], left, against, _errors(ours, other))


def _type(one: Mapping[str, Any], theirs: float | None, against: str) -> LabelRow:
    name = shortened(string(one.get("type"), "(none)"), 60)
    f1 = write_figure("f1", one.get("f1"))
    told = f"F1 of {name}: {f1.text} {f1.bounds or f1.reason}".strip()
    theirs_told = write_figure("f1", {"value": theirs}).text if theirs is not None else ABSENT
    if theirs is not None:
        told += f"; {against} {theirs_told}"
    interval = read_interval(one.get("f1"))
    bar = None if interval.value is None else charts.level_bar(interval, theirs, told)
    others = [write_figure(column, one.get(column)) for column in LABEL_COLUMNS]
    return LabelRow(name, count(one.get("support")), f1, others, theirs_told, bar)


def _errors(ours: Mapping[str, Any], other: Mapping[str, Any]) -> list[ErrorRow]:
    found, theirs = mapping(ours.get("errors")), mapping(other.get("errors"))
    most = max(
        (number(each.get(kind)) or 0 for each in (found, theirs) for kind in ERRORS if kind != "right"), default=0
    )
    result = []
    for kind, (title, meaning) in ERRORS.items():
        n = number(found.get(kind))
        bar = None
        if n is not None and kind != "right" and most > 0 and n >= 0:
            bar = charts.flow_bar([("dropped", int(n))], int(most), f"{title}: {count(n)}")
        result.append(ErrorRow(title, meaning, count(n), count(theirs.get(kind)), bar))
    return result if found else []


def mistakes(files: RunFiles, found: Sequence[Mistake]) -> list[Mistake]:
    """The same mistakes, those of named entities as marked texts: the gold spans, then those of the answer."""
    if task_of(files.evidence) is not TOKEN_CLASSIFICATION:
        return list(found)
    return [
        _with(files.items, one, row, (("gold", row.get("gold"), row.get("output")), ("answer", row.get("output"), row.get("gold"))))
        for one, row in zip(found, rows(files.evidence.get("mistakes")), strict=False)
    ]  # fmt: skip


def flips(files: RunFiles, found: Flips | None) -> Flips | None:
    """The same flips, those of named entities as marked texts: what was right, and what was wrong."""
    if found is None or task_of(files.evidence) is not TOKEN_CLASSIFICATION:
        return found
    told = mapping(files.evidence.get("flips"))
    gained = [
        _with(files.items, one, row, (("before", row.get("from"), row.get("gold")), ("now right", row.get("to"), row.get("gold"))))
        for one, row in zip(found.gained, rows(told.get("gained")), strict=False)
    ]  # fmt: skip
    lost = [
        _with(files.items, one, row, (("right before", row.get("from"), row.get("gold")), ("now", row.get("to"), row.get("gold"))))
        for one, row in zip(found.lost, rows(told.get("lost")), strict=False)
    ]  # fmt: skip
    return replace(found, gained=gained, lost=lost)


def _with(
    items: Mapping[str, Item], one: Mistake, row: Mapping[str, Any], sides: Sequence[tuple[str, Any, Any]]
) -> Mistake:
    item = items.get(string(row.get("id")))
    wrong = number(row.get("wrong"))
    parts = (
        [Part(counted(wrong, "span differs", "spans differ"), (), wrong=True)] if wrong is not None else [Part("", ())]
    )
    if item is None:
        return replace(one, parts=parts)
    text = item.raw or item.text
    read = [(name, _spans(said, len(text)), _spans(held, len(text))) for name, said, held in sides]
    differing = [s[0] for _, said, held in read for s in set(said) ^ set(held)]
    window = _window(text, min(differing, default=0))
    language = script_language(text)
    marked = [
        Marked(name, _pieces(text, window, said, held, gold=name == "gold"), language) for name, said, held in read
    ]
    return replace(one, marked=marked, parts=parts)


def _spans(value: Any, length: int) -> list[Span]:
    """The spans of a JSON list that lie in the text and do not overlap."""
    found: list[Span] = []
    for one in value if isinstance(value, list) else []:
        whole = isinstance(one, list) and len(one) == 3 and all(type(x) is int for x in one[:2])
        if whole and max(0, found[-1][1] if found else 0) <= one[0] < one[1] <= length:
            found.append((one[0], one[1], string(one[2], "(none)")))
    return found[:SPANS]


def _window(text: str, first: int) -> tuple[int, int]:
    """What of a text is shown: all of it where it is short, else the surroundings of the first span that differs."""
    if len(text) <= SHOWN + 40:
        return 0, len(text)
    start = 0 if first <= BEFORE else boundary(text, first - BEFORE)
    end = min(len(text), start + SHOWN)
    return start, start + boundary(text[start:], SHOWN) if end < len(text) else end


def _pieces(text: str, window: tuple[int, int], spans: Sequence[Span], held: Sequence[Span], gold: bool) -> list[Piece]:
    """The stretches of a text in the window; spans that differ from those they are held against say how."""
    at, end = window
    pieces = [Piece("…")] if at > 0 else []
    for span in spans:
        if span[1] <= window[0] or span[0] >= end:
            continue
        start, stop = max(span[0], at), min(span[1], end)
        if start > at:
            pieces.append(Piece(clean(text[at:start])))
        pieces.append(Piece(clean(text[start:stop]), shortened(span[2], 40), _kind(span, held, gold)))
        at = stop
    if at < end:
        pieces.append(Piece(clean(text[at:end])))
    return [*pieces, Piece("…")] if end < len(text) else pieces


def _kind(span: Span, held: Sequence[Span], gold: bool) -> str:
    if span in held:
        return "right"
    if any(other[0] < span[1] and span[0] < other[1] for other in held):
        return "differs"
    return "missed" if gold else "invented"


def scheme(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How many spans a row of the data has, and how they were written; empty where the card holds none."""
    found = mapping(card.get("spans_per_item"))
    if not found:
        return []
    mean, whole = number(found.get("mean")), number(card.get("rows"))
    none = number(found.get("none"))
    share = f" ({percent(none / whole)})" if none is not None and whole else ""
    return [
        ("Spans an item, mean", ABSENT if mean is None else f"{mean:.2f}"),
        ("most", count(found.get("max"))),
        ("items with none", count(none) + share),
        ("written as", shortened(string(card.get("scheme"), "not recorded"), 40)),
    ]
