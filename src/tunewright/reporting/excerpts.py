"""A text of the data as it is quoted: what stands there at once, what unfolds, and how long it is in all."""

from __future__ import annotations

from dataclasses import dataclass

from tunewright.reporting.formatting import boundary, count, script_language

VISIBLE, KEPT = 220, 2000
"""Characters shown at once, and quoted at all: thirty hostile texts must not make the file grow beyond its limit."""

LINES = 10
"""Lines shown at once, of a text that has line breaks of its own."""


@dataclass(frozen=True)
class Quote:
    """A text cut into what is shown and what unfolds; `language` helps the browser with Chinese, Japanese, Korean."""

    head: str
    tail: str
    length: str
    cut: bool
    language: str | None
    found: bool


def quote(text: str, visible: int = VISIBLE, kept: int = KEPT, empty: str = "(empty text)") -> Quote:
    """Split a text for reading; never inside one visible sign."""
    whole = text.strip() or empty
    language = script_language(whole)
    visible = visible * 2 // 3 if language else visible  # their characters are wide
    end = boundary(whole, kept)
    edge = boundary(whole[:end], visible) if len(whole) > visible + 40 else end
    breaks = [k for k, sign in enumerate(whole[:edge]) if sign == "\n"]
    if len(breaks) > LINES:
        edge = breaks[LINES - 1]
    return Quote(whole[:edge], whole[edge:end], count(len(whole)), end < len(whole), language, True)
