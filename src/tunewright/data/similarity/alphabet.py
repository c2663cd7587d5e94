"""What each code point is to a comparison of texts: its folded form, and whether it stands in a word or by itself.

Three kinds: `GAP` (punctuation, white space, controls, skin tones, variation selectors: never compared), `SPACED` (letters,
marks and digits of scripts that put spaces between words) and `ALONE` (ideographs, kana, Hangul, Thai and the like, and
symbols such as emoji: each is a unit). Folding is case folding where it gives one character, and full width to half
width; texts are composed (NFC) first.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunewright.core.scripts import HANGUL, IDEOGRAPH, KANA, UNSPACED

GAP, SPACED, ALONE = 0, 1, 2
_TABLE = 0x20000
"""Code points from here on are ideographs, tags or unassigned: no table is needed."""


class Alphabet(NamedTuple):
    """Tables by code point below `_TABLE`."""

    folded: NDArray[np.uint32]
    kind: NDArray[np.uint8]


@cache
def alphabet() -> Alphabet:
    """The tables; made once, in about 60 ms."""
    alone = re.compile(f"[{IDEOGRAPH}{KANA}{HANGUL}{UNSPACED}]")
    folded = np.arange(_TABLE, dtype=np.uint32)
    kind = np.zeros(_TABLE, dtype=np.uint8)
    for code in range(_TABLE):
        character = chr(code)
        group = unicodedata.category(character)
        if 0xFF01 <= code <= 0xFF5E:
            character = chr(code - 0xFEE0)
        if alone.match(character):
            kind[code] = ALONE if group[0] in "LMN" else GAP
        elif group[0] in "LMN" and not 0xFE00 <= code <= 0xFE0F:
            kind[code] = SPACED
        elif group == "So":
            kind[code] = ALONE
        for form in (character.casefold(), character.lower()):
            if len(form) == 1:
                folded[code] = ord(form)
                break
    return Alphabet(folded, kind)


class Codes(NamedTuple):
    """Folded code points of several texts, one after the other: `ends (N,)` is where each text ends."""

    codes: NDArray[np.uint32]
    kinds: NDArray[np.uint8]
    ends: NDArray[np.int64]


def codes_of(texts: Sequence[str]) -> Codes:
    """The folded code points of texts, and of which kind they are."""
    joined = "".join(texts)
    if not joined.isascii() and not unicodedata.is_normalized("NFC", joined):
        texts = [unicodedata.normalize("NFC", text) for text in texts]
        joined = "".join(texts)
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint32, copy=False)
    table = alphabet()
    if len(codes) and codes.max() >= _TABLE:
        low = np.minimum(codes, _TABLE - 1)
        far = codes >= _TABLE
        kinds = np.where(far, np.where(codes < 0x40000, ALONE, GAP), table.kind[low]).astype(np.uint8)
        return Codes(np.where(far, codes, table.folded[low]), kinds, ends)
    return Codes(table.folded[codes], table.kind[codes], ends)
