"""Texts in other scripts than those that are to be learnt, by their shares of letters.

A letter of a script that is written in words counts a fifth of a Chinese character, as in `tunewright.data.language`. Digits,
punctuation and emoji belong to no script; a text without a letter stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tunewright.core.errors import closest, listed
from tunewright.core.registry import register
from tunewright.data.language import LETTERS, SCRIPTS, units
from tunewright.data.steps.protocol import Edit, Phase

DESCRIBED = {"script": ("Texts in another script", "left out")}


@register("step", "script")
@dataclass(frozen=True)
class InScript:
    """Refuses texts of which less than `share` is in scripts of `allowed` (Latin, Han, Kana, Cyrillic, ...)."""

    allowed: tuple[str, ...]
    share: float = 0.5

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "script"
    shorthand: ClassVar[str] = "allowed"
    whole: ClassVar[bool] = True

    def __post_init__(self) -> None:
        known = SCRIPTS[:LETTERS]
        wrong = [name for name in self.allowed if name not in known]
        if wrong or not self.allowed or not 0 < self.share <= 1:
            hint = closest(wrong[0], known) if wrong else ""
            raise ValueError(
                f"{wrong or self.allowed}: scripts are {listed(known, 40)}; `share` above 0 to 1. {hint}".strip()
            )

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        found = units(texts)
        places = [SCRIPTS.index(name) for name in self.allowed]
        totals = found.sum(1)
        own = found[:, places].sum(1)
        edits: list[Edit | None] = [None] * len(texts)
        for i in ((totals > 0) & (own < self.share * totals)).nonzero()[0].tolist():
            leading = SCRIPTS[int(found[i].argmax())]
            edits[i] = Edit(
                texts[i], f"{own[i] / totals[i]:.0%} in {listed(self.allowed)}, most in {leading}", refused="script"
            )
        return edits
