"""Text decoded with the wrong encoding, once or twice: `cafÃ©` for `café`, `â€™` for `’`.

ftfy repairs the encoding alone: quotes, full-width characters, ligatures and line breaks stay as they are written. What
would put in a control character or U+FFFD that was not there is left as it is: what stood there is lost.
Cost: next to nothing for ASCII, half a microsecond for a Chinese text; 30 and more where something is repaired.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from tunewright.core.registry import register
from tunewright.data.steps.protocol import Edit, Phase

_LOST = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd]")
LOST_TWICE = "\u00ef\u00bf\u00bd"
"""U+FFFD decoded twice. ftfy would turn it into a control character; what stood there cannot be had back."""
_TELLING = (
    "c1", "bad", "law", "currency", "numeric", "kaomoji", "box",
    "upper_accented", "lower_accented", "upper_common", "lower_common",
)  # fmt: skip
"""ftfy's categories of which every pattern of its heuristic needs a character: one look for them spares Chinese the rest."""

DESCRIBED = {"mojibake": ("Text decoded in the wrong encoding", "repaired")}


@cache
def suspicious() -> Callable[[str], object]:
    """What says whether a text holds a character without which nothing is mojibake."""
    from ftfy.badness import MOJIBAKE_CATEGORIES

    return re.compile(f"[{''.join(MOJIBAKE_CATEGORIES[name] for name in _TELLING)}]").search


@cache
def repairer() -> Callable[[str], str]:
    """A function that repairs mojibake and leaves every other text as it is. Imports ftfy."""
    from ftfy import TextFixerConfig, fix_encoding
    from ftfy.badness import is_bad

    config = TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_encoding=True,
        restore_byte_a0=True,
        replace_lossy_sequences=False,
        decode_inconsistent_utf8=True,
        fix_c1_controls=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_surrogates=False,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )

    suspect = suspicious()

    def part(text: str) -> str:
        if not suspect(text) or not is_bad(text):
            return text
        mended = fix_encoding(text, config)
        made = set(_LOST.findall(mended)) - set(_LOST.findall(text))
        return text if made else mended

    def repair(text: str) -> str:
        if text.isascii():
            return text
        return LOST_TWICE.join(map(part, text.split(LOST_TWICE))) if LOST_TWICE in text else part(text)

    return repair


@register("step", "mojibake")
@dataclass(frozen=True)
class Mojibake:
    """Repairs it."""

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "mojibake"

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        repair = repairer()
        edits: list[Edit | None] = [None] * len(texts)
        for i, text in enumerate(texts):
            if not text.isascii() and (mended := repair(text)) != text:
                edits[i] = Edit(mended)
        return edits
