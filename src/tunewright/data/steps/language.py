"""Texts in another language than those that are to be learnt.

By `tunewright.data.language`: by script where that decides, by the commonest words of English, by py3langid for the rest where it
is installed. A text of which nothing sure can be said stays, short ones above all, unless `unsure` is `drop`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from tunewright.core.registry import register
from tunewright.data.language import guesser, languages
from tunewright.data.steps.protocol import Edit, Phase

_CODE = re.compile(r"[a-z]{2,3}\Z")

DESCRIBED = {
    "language": ("Texts in another language", "left out"),
    "language_unsure": ("Texts whose language cannot be told", "left out, as the recipe says"),
}


@register("step", "language")
@dataclass(frozen=True)
class InLanguage:
    """Refuses what is surely in none of `allowed` (ISO 639-1); `sure` is the least share of the text and probability together."""

    allowed: tuple[str, ...]
    sure: float = 0.6
    unsure: Literal["keep", "drop"] = "keep"

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "language"
    shorthand: ClassVar[str] = "allowed"
    whole: ClassVar[bool] = True

    def __post_init__(self) -> None:
        wrong = [code for code in self.allowed if not _CODE.match(code)]
        if wrong or not self.allowed or not 0 <= self.sure <= 1:
            raise ValueError(f"{wrong or self.allowed}: codes of two letters such as en, zh, de; `sure` from 0 to 1")

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        found = languages(texts, guesser())
        edits: list[Edit | None] = []
        for text, one in zip(texts, found, strict=True):
            if one.code in self.allowed:
                edits.append(None)
            elif one.code != "und" and one.sure >= self.sure:
                edits.append(Edit(text, f"{one.code}, {one.sure:.0%} sure", refused="language"))
            elif self.unsure == "drop":
                edits.append(Edit(text, f"{one.code}, {one.sure:.0%} sure", refused="language_unsure"))
            else:
                edits.append(None)
        return edits
