"""Full-width and half-width forms: `ＡＢＣ１２３` as `ABC123`, half-width katakana as full ones.

Full-width punctuation is Chinese punctuation (`，！？：；（）`) and stays, unless `punctuation: half` is asked for, which also
takes the full-width signs of currencies. What has no half-width form (`。、《》`) stays always.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal
from unicodedata import normalize

from tunewright.core.registry import register
from tunewright.data.steps.protocol import Edit, Phase
from tunewright.data.steps.rewriting import rewritten

_OFFSET = 0xFEE0
_SIGNS = {0xFFE0: "¢", 0xFFE1: "£", 0xFFE2: "¬", 0xFFE5: "¥", 0xFFE6: "₩"}
_KATAKANA = re.compile("[\uff61-\uff9f]+")
_LETTER = re.compile("[\uff66-\uff9d]")

DESCRIBED = {"width": ("Letters and digits of full width, katakana of half width", "made ordinary ones")}


@cache
def _table(letters: bool, digits: bool, punctuation: bool) -> Mapping[int, str]:
    table = dict(_SIGNS) if punctuation else {}
    for code in range(0xFF01, 0xFF5F):
        plain = chr(code - _OFFSET)
        if letters if plain.isalpha() else digits if plain.isdigit() else punctuation:
            table[code] = plain
    return table


def _full(run: re.Match[str]) -> str:
    """Katakana of full width; a run of marks alone is a face such as `(ﾟДﾟ)`."""
    return normalize("NFKC", run.group()) if _LETTER.search(run.group()) else run.group()


@cache
def _touches(letters: bool, digits: bool, katakana: bool, punctuation: bool) -> Callable[[str], object]:
    """What says whether a text holds a character that is to change."""
    codes = [*_table(letters, digits, punctuation), *(range(0xFF61, 0xFFA0) if katakana else ())]
    return re.compile(f"[{''.join(map(chr, codes))}]").search if codes else lambda _: None


@register("step", "width")
@dataclass(frozen=True)
class Width:
    """Makes them ordinary."""

    letters: bool = True
    digits: bool = True
    katakana: bool = True
    punctuation: Literal["keep", "half"] = "keep"

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "width"

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        half = self.punctuation == "half"
        table, touches = (
            _table(self.letters, self.digits, half),
            _touches(self.letters, self.digits, self.katakana, half),
        )

        def ordinary(text: str) -> str:
            text = text.translate(table)
            return _KATAKANA.sub(_full, text) if self.katakana else text

        return rewritten(texts, lambda text: not text.isascii() and touches(text), ordinary)
