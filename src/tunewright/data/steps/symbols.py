"""Texts that are mostly symbols, digits and punctuation: tables, code, lines of emoji.

After Rae et al. 2021 ("Gopher", appendix A1), who count hash signs and ellipses a word and words without a letter; here shares
of characters that are not white space, so that it holds for Chinese. Reviews shout (`！！！！！！！`), so the shares are high; short
texts are often a face and nothing else: those under `least` characters stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tunewright.core.registry import register
from tunewright.data.language import SCRIPTS, scripts
from tunewright.data.steps.protocol import Edit, Phase

_DIGIT, _SPACE, _PUNCTUATION, _SYMBOL, _OTHER = (
    SCRIPTS.index(name) for name in ("digit", "space", "punctuation", "symbol", "other")
)

DESCRIBED = {"symbols": ("Texts that are mostly symbols, digits and punctuation", "left out")}


@register("step", "symbols")
@dataclass(frozen=True, kw_only=True)
class Symbols:
    """Refuses texts over one of the shares: of symbols (emoji among them) and punctuation, of digits, of all that are no letters."""

    symbols: float = 0.6
    digits: float = 0.5
    together: float = 0.7
    least: int = 20

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "symbols"
    whole: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not _shares(self.symbols, self.digits, self.together) or self.least < 1:
            raise ValueError("shares above 0 and up to 1, `least` from 1")

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        found = scripts(texts)
        seen = found.sum(1) - found[:, _SPACE]
        marks, digits = found[:, [_PUNCTUATION, _SYMBOL, _OTHER]].sum(1), found[:, _DIGIT]
        kinds = (
            ("symbols and punctuation", marks, self.symbols),
            ("digits", digits, self.digits),
            ("no letters", marks + digits, self.together),
        )
        edits: list[Edit | None] = [None] * len(texts)
        for name, count, most in kinds:
            for i in ((seen >= self.least) & (count > most * seen)).nonzero()[0].tolist():
                if edits[i] is None:
                    edits[i] = Edit(texts[i], f"{count[i] / seen[i]:.0%} {name}, at most {most:.0%}", refused="symbols")
        return edits


def _shares(*values: float) -> bool:
    """Whether all are above 0 and up to 1."""
    return all(0 < value <= 1 for value in values)
