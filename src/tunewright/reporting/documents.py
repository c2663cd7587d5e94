"""Language modelling: what each contender counted, and the documents that were hardest to foresee."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunewright.reporting.excerpts import Quote, quote
from tunewright.reporting.figures import write_metric
from tunewright.reporting.formatting import count, number, percent, shortened
from tunewright.reporting.loading import RunFiles
from tunewright.reporting.results import contender_title, contenders, tuned
from tunewright.reporting.tasks import LANGUAGE_MODELING, task_of
from tunewright.reporting.values import rows, string

HARDEST, OPEN, VISIBLE, KEPT = 30, 8, 300, 1600
"""Documents at most, those that stand there without unfolding; characters shown at once, and quoted at all."""


@dataclass(frozen=True)
class Document:
    """One document: an excerpt, its bits per byte, and where it stands."""

    id: str
    quote: Quote | None
    bits: str
    place: str


@dataclass(frozen=True)
class Documents:
    """The hardest documents, and a line a contender: title, whether tuned, tokens, bytes, bytes a token."""

    hardest: Sequence[Document]
    open: int
    counts: Sequence[tuple[str, bool, Sequence[str]]]


def documents(files: RunFiles, parts: int = 1) -> Documents | None:
    """None where the task is another. `parts`: tasks that share the page."""
    evidence = files.evidence
    if task_of(evidence) is not LANGUAGE_MODELING:
        return None
    found = []
    for row in rows(evidence.get("mistakes"))[: max(4, HARDEST // parts)]:
        identity = string(row.get("id"))
        item = files.items.get(identity)
        text = quote(item.text, VISIBLE, KEPT) if item else None
        bits = write_metric("bits_per_byte", row.get("bits_per_byte"))
        found.append(Document(identity[:40], text, bits, shortened(item.place, 120) if item else ""))
    counts = []
    for one in contenders(evidence):
        tokens, octets = number(one.get("tokens")), number(one.get("bytes"))
        if tokens is not None or octets is not None:
            each = f"{octets / tokens:.2f}" if tokens and octets else percent(None)
            title = contender_title(evidence, one.get("name"))
            counts.append((title, one is tuned(evidence), [count(tokens), count(octets), each]))
    return Documents(found, OPEN, counts)
