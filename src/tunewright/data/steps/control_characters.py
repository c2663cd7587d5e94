"""Characters that nobody sees: controls, terminal colours, zero-width characters, byte-order marks inside, bidi marks.

What does something stays: joiners between emoji and beside letters of scripts that join (Arabic and its kin, those of
India and South-East Asia, Mongolian), marks of direction in texts that hold letters written from right to left, tags
of flag emoji, variation selectors. Overrides of direction never stay: they make a text look other than it is (Boucher
and Anderson 2023, "Trojan Source"). Tabs and line breaks are left to `white_space`; U+FFFD is left where it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tunewright.core.registry import register
from tunewright.data.steps.protocol import Edit, Phase
from tunewright.data.steps.rewriting import rewritten

_SEEN = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]"  # a terminal's colours and movements
    "|[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e007f]"
)
_JOINERS = "\u200c\u200d"
_MARKS = "\u061c\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069"
_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
_JOINING = re.compile(
    "[\u0600-\u07ff\u0840-\u08ff\u0900-\u0dff\u0e80-\u109f\u1780-\u18af\u1a20-\u1aaf\ufb50-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc]"
)
_PICTURE = re.compile("[\u00a9\u00ae\u203c-\u3299\ufe0f\U0001f000-\U0001faff]")
_TAG = re.compile("[\U000e0020-\U000e007f]+")

DESCRIBED = {"control_characters": ("Characters that cannot be seen and do nothing", "removed")}


def _bare(text: str) -> str:
    directed = _RIGHT_TO_LEFT.search(text) is not None

    def stays(match: re.Match[str]) -> str:
        mark = match.group()
        before, after = text[: match.start()][-1:], text[match.end() : match.end() + 1]
        if mark in _JOINERS:
            joins = _JOINING.match(before) or _JOINING.match(after)
            if joins or (mark == "\u200d" and _PICTURE.match(before) and _PICTURE.match(after)):
                return mark
        elif mark in _MARKS:
            return mark if directed else ""
        return ""

    if "\U0001f3f4" not in text:
        return _SEEN.sub(stays, text)
    return _FLAG.sub(lambda m: m.group() if m.group(1) else stays(m), text)


_FLAG = re.compile(f"(\U0001f3f4{_TAG.pattern[:-1]}{{1,6}}\U000e007f)|{_SEEN.pattern}")


@register("step", "control_characters")
@dataclass(frozen=True)
class ControlCharacters:
    """Removes them."""

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "control_characters"

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        return rewritten(texts, _unprintable, _bare)


def _unprintable(text: str) -> bool:
    return not text.isprintable() and _SEEN.search(text) is not None
