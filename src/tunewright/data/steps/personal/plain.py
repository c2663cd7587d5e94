"""A text as finders read it, character by character the same length: full-width digits, letters and marks as plain ones."""

from __future__ import annotations

import re

_WIDE = re.compile("[\u00a0\u2010-\u2015\u2212\u3000\uff01-\uff5e]")
_TABLE = {
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
    **dict.fromkeys((0x00A0, 0x3000), " "),
    **dict.fromkeys((*range(0x2010, 0x2016), 0x2212), "-"),
}


def plain(text: str) -> str:
    """The text with these replaced."""
    return text if text.isascii() or not _WIDE.search(text) else text.translate(_TABLE)
