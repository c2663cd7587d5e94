"""White space: runs of it, and its unusual kinds (no-break, ideographic, thin), as single plain spaces.

With `lines`, line breaks stay: all kinds of them as `\\n`, at most one empty line in a row, no spaces at a line's end, and
the indent at its beginning as it is. Fenced code stays as it is. Without `lines` a text becomes one line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tunewright.core.registry import register
from tunewright.data.steps.protocol import Edit, Phase
from tunewright.data.steps.rewriting import outside_code, rewritten, settled

_KINDS = " \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_RUN = re.compile(f"[{_KINDS}]{{2,}}|[{_KINDS[1:]}]| (?=\n)")
"""What is not a single plain space; and that too before a line's end."""
_ODD = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_BREAK = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_EMPTY_LINES = re.compile("\n{3,}")
_ANY = re.compile(f"[{_KINDS}\r\n\x0b\x0c\x85\u2028\u2029]+")

DESCRIBED = {"white_space": ("Runs and unusual kinds of white space", "made single plain spaces")}


def _space(match: re.Match[str]) -> str:
    text, start, end = match.string, match.start(), match.end()
    if text[end : end + 1] == "\n":
        return ""
    if start and text[start - 1] == "\n":
        return _ODD.sub(" ", match.group())
    return " "


def _kept_lines(text: str) -> str:
    text = _BREAK.sub("\n", text)
    return _EMPTY_LINES.sub("\n\n", _RUN.sub(_space, text))


_in_lines = settled(outside_code(_kept_lines))


def _one_line(text: str) -> str:
    return _ANY.sub(" ", text)


def _touches(text: str) -> bool:
    return "  " in text or not text.isprintable()


@register("step", "white_space")
@dataclass(frozen=True)
class WhiteSpace:
    """Makes it plain."""

    lines: bool = True

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "white_space"

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        return rewritten(texts, _touches, _in_lines if self.lines else _one_line)
