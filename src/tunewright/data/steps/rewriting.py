"""What steps that rewrite texts have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from tunewright.data.steps.protocol import Edit

_CODE = re.compile(r"(```[\s\S]*?(?:```|\Z)|(?<![\w`])`[^`\n]+`(?![\w`]))")


def rewritten(
    texts: Sequence[str], touches: Callable[[str], object], rewrite: Callable[[str], str]
) -> list[Edit | None]:
    """An edit for each text of which `touches` says something and that `rewrite` changes."""
    edits: list[Edit | None] = [None] * len(texts)
    for i, text in enumerate(texts):
        if touches(text) and (new := rewrite(text)) != text:
            edits[i] = Edit(new)
    return edits


def settled(rewrite: Callable[[str], str]) -> Callable[[str], str]:
    """The same again and again until it changes nothing, so that doing it twice is doing it once.

    What it takes away may bring together what it would take away again; only the first time is usual.
    """

    def until(text: str) -> str:
        for _ in range(len(text) + 1):
            new = rewrite(text)
            if new == text:
                return new
            text = new
        return text

    return until


def outside_code(rewrite: Callable[[str], str]) -> Callable[[str], str]:
    """The same for what stands outside of fenced code (three backticks) and code in a line (one on either side)."""

    def outside(text: str) -> str:
        if "`" not in text:
            return rewrite(text)
        parts = _CODE.split(text)
        parts[::2] = [rewrite(part) for part in parts[::2]]
        return "".join(parts)

    return outside


def replaced(text: str, found: Iterable[tuple[int, int, str]]) -> str:
    """The text with other words for these stretches of it, which are in order and apart.

    Where nothing stands for one, one of the two spaces around it goes too, and at an end of the text both.
    """
    parts, place = list[str](), 0
    last = ""
    for start, end, new in found:
        kept = text[place:start]
        parts.append(kept)
        last = (kept or last)[-1:]
        place = end
        if new:
            parts.append(new)
            last = new[-1]
        elif last in ("", " ") and text[end : end + 1] == " ":
            place += 1
        elif last == " " and end == len(text):
            parts[-1] = parts[-1][:-1]
    return "".join(parts) + text[place:]
