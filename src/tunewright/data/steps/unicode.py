"""Unicode normal forms (UAX 15): one way of writing what may be written in several.

NFC composes: `e` with a combining accent becomes `é`. What is seen stays the same. NFKC also replaces compatibility
characters: ligatures, circled numbers, superscripts, and full-width punctuation, which belongs to Chinese text; it is
for corpora that are searched, not for texts whose look matters. `width` does less of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal
from unicodedata import is_normalized, normalize

from tunewright.core.registry import register
from tunewright.data.steps.protocol import Edit, Phase

DESCRIBED = {"unicode_form": ("Characters not in the chosen Unicode form", "normalised")}


@register("step", "unicode")
@dataclass(frozen=True)
class Unicode:
    """Brings texts into the form."""

    form: Literal["NFC", "NFKC"] = "NFC"

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "unicode_form"
    shorthand: ClassVar[str] = "form"

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        form = self.form
        return [None if text.isascii() or is_normalized(form, text) else Edit(normalize(form, text)) for text in texts]
