"""Which script a text is written in, as far as cutting it into words goes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import groupby

IDEOGRAPH = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
KANA = r"\u3040-\u30ff\u31f0-\u31ff"
HANGUL = r"\uac00-\ud7af"
UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Thai, Lao, Burmese, Khmer: no spaces between words either."""

_CJK = re.compile(rf"[{KANA}{IDEOGRAPH}{HANGUL}]")
_IDEOGRAPHS = re.compile(rf"[{IDEOGRAPH}]")
_KANA = re.compile(rf"[{KANA}]")
_WORD = re.compile(r"\w")


def cjk(texts: Sequence[str]) -> bool:
    """Whether at least a third of the letters are Chinese, Japanese or Korean."""
    return 3 * _count(_CJK, texts) >= max(_count(_WORD, texts), 1)


def chinese(texts: Sequence[str]) -> bool:
    """Whether at least a third of the letters are Chinese characters, and fewer than a tenth are Japanese kana."""
    letters = max(_count(_WORD, texts), 1)
    return 3 * _count(_IDEOGRAPHS, texts) >= letters and not japanese(texts)


def japanese(texts: Sequence[str]) -> bool:
    """Whether at least a tenth of the letters are Japanese kana."""
    return 10 * _count(_KANA, texts) >= max(_count(_WORD, texts), 1)


def _count(pattern: re.Pattern[str], texts: Sequence[str]) -> int:
    return sum(len(pattern.findall(text)) for text in texts)


@cache
def other_letters() -> str:
    """The inside of a regular expression's brackets: letters, marks and digits beyond Latin that stand in words.

    Not those of `IDEOGRAPH`, `KANA`, `HANGUL` and `UNSPACED`, which are cut into characters.
    """
    apart = re.compile(f"[{IDEOGRAPH}{KANA}{HANGUL}{UNSPACED}]")
    letters = (
        code
        for code in range(0x370, 0x1D00)
        if unicodedata.category(chr(code))[0] in "LMN" and not apart.match(chr(code))
    )
    runs = (list(run) for _, run in groupby(enumerate(letters), key=lambda pair: pair[1] - pair[0]))
    return "".join(f"\\u{run[0][1]:04x}-\\u{run[-1][1]:04x}" for run in runs)
