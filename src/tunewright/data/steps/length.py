"""Texts that are too short or too long to learn from, in characters or in words.

Chinese, Japanese and Korean have a word a character here. All texts of a row count together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tunewright.core.registry import register
from tunewright.data.language import words
from tunewright.data.steps.protocol import Edit, Phase

DESCRIBED = {
    "too_short": ("Texts shorter than the recipe asks for", "left out"),
    "too_long": ("Texts longer than the recipe allows", "left out"),
}


@register("step", "length")
@dataclass(frozen=True, kw_only=True)
class Length:
    """Refuses what is under or over; None is no limit."""

    least_characters: int = 0
    most_characters: int | None = None
    least_words: int = 0
    most_words: int | None = None

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "too_short"
    whole: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for least, most in ((self.least_characters, self.most_characters), (self.least_words, self.most_words)):
            if least < 0 or (most is not None and most < max(least, 1)):
                raise ValueError(f"from {least} to {most}: from 0, and no less than that")
        if not (self.least_characters or self.least_words or self.most_characters or self.most_words):
            raise ValueError("no limit: least_characters, most_characters, least_words or most_words")

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        counted = self.least_words > 0 or self.most_words is not None
        return [self._judged(text, counted) for text in texts]

    def _judged(self, text: str, counted: bool) -> Edit | None:
        limits = [(len(text), self.least_characters, self.most_characters, "characters")]
        if counted:
            limits.append((len(words(text)), self.least_words, self.most_words, "words"))
        for n, least, most, unit in limits:
            if n < least:
                return Edit(text, f"{n:,} {unit}, at least {least:,}", refused="too_short")
            if most is not None and n > most:
                return Edit(text, f"{n:,} {unit}, at most {most:,}", refused="too_long")
        return None
