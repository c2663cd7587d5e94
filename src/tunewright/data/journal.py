"""Rows on their way through the stages, and the book that is kept about them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tunewright.core.records import Annotation, Event, Ledger, Record, Source

_EXAMPLES = 3
_EXCERPT = 160


@dataclass(slots=True)
class Draft:
    """A row being prepared. `key` is the hash of its folded content, `id` is given once the text is clean.

    The fields after them are those of a Record, which says what they are; `item` is what an annotator's label is of.
    """

    text: str
    label: str | None
    pair: str | None
    source: Source
    split: str | None
    key: str = ""
    id: str = ""
    flags: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    soft: tuple[tuple[str, float], ...] = ()
    weight: float = 1.0
    cluster: str | None = None
    group: str | None = None
    time: str | None = None
    difficulty: tuple[tuple[str, float], ...] = ()
    item: str | None = None

    def record(self) -> Record:
        """The row as training and evaluation know it."""
        return Record(
            self.id, self.text, self.label, self.source, self.pair, self.split, self.flags, self.parents,
            self.annotations, self.soft, self.weight, self.cluster, self.group, self.time, self.difficulty,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Example:
    """A row shown for a defect."""

    source: Source
    text: str
    detail: str

    def as_json(self) -> dict[str, Any]:
        """The example as plain values."""
        return {"file": self.source.file, "line": self.source.line, "text": self.text, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row set aside with its reason; `record` is None where it could not be read."""

    source: Source
    reason: str
    detail: str
    record: Record | None = None

    def as_json(self) -> dict[str, Any]:
        """The row as plain values: those of a record, with the reason."""
        source = {
            "file": self.source.file, "line": self.source.line, "offset": self.source.offset, "length": self.source.length,
        }  # fmt: skip
        empty = {"id": None, "text": None, "label": None, "source": source}
        row = self.record.as_json() if self.record else empty
        return {**row, "reason": self.reason, "detail": self.detail}


@dataclass
class Journal:
    """Events of the open stage, the ledger of the closed ones, and a few examples of each defect.

    `shown` makes of a record's text what people read. `beside` are rows that pass the open stage by: while steps see train
    alone, those of the other splits.
    """

    ledger: Ledger = field(default_factory=Ledger)
    open: list[Event] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    shown: Callable[[str], str] = str
    examples: dict[str, list[Example]] = field(default_factory=dict)
    beside: int = 0

    def note(self, stage: str, outcome: str, reason: str, draft: Draft, detail: str = "") -> None:
        """Enter what a stage did to a row."""
        self.enter(stage, outcome, reason, draft, detail, draft.text)
        if outcome == "quarantined":
            self.quarantined.append(Quarantined(draft.source, reason, detail, draft.record()))

    def enter(self, stage: str, outcome: str, reason: str, draft: Draft, detail: str, text: str) -> None:
        """The same for a row of which this text is to be shown, not its own; it is never quarantined."""
        self.open.append(Event(stage, outcome, reason, draft.source, draft.id or None, detail))
        self.show(reason, draft.source, text, detail)

    def show(self, code: str, source: Source, text: str = "", detail: str = "") -> None:
        """Count a defect, and keep the first rows that show it."""
        self.counts[code] += 1
        shown = self.examples.setdefault(code, [])
        if len(shown) < _EXAMPLES:
            shown.append(Example(source, excerpt(self.shown(text)) if text else "", detail))

    def close(self, name: str, entered: int, left: int, added: int = 0) -> None:
        """Close the stage: its sums must balance."""
        self.ledger.close(name, entered=entered + self.beside, left=left + self.beside, events=self.open, added=added)
        self.open = []


def excerpt(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text[: 2 * _EXCERPT].split())
    return line if len(line) <= _EXCERPT else line[: _EXCERPT - 1] + "…"


def composed(text: str) -> str:
    """The text in Unicode's composed form (NFC)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """The text as it is compared: NFC, without case, white space runs as one space."""
    return composed(" ".join(composed(text).casefold().split()))
