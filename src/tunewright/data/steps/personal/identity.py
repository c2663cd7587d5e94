"""Identity numbers, by their check digits.

Mainland China (GB 11643-1999): a province, a date of birth that may be, ISO 7064 MOD 11-2; the fifteen digits used before
only after a word that names them. Hong Kong and Taiwan by their own sums. United States: three, two and four digits with
hyphens, in ranges that are given out.
"""

from __future__ import annotations

import re
from datetime import date

_CN = re.compile(r"(?<![0-9A-Za-z])([1-9]\d{5})[ \-]?((?:18|19|20)\d{6})[ \-]?(\d{3}[0-9Xx])(?![0-9A-Za-z])")
_CN_OLD = re.compile(r"(?:身份证|身份證|身分證|证件号|證件號)[^0-9\n]{0,10}([1-9]\d{5}(\d{6})\d{3})(?![0-9A-Za-z])")
_HK = re.compile(r"(?<![0-9A-Za-z])([A-Z]{1,2})(\d{6})\(([0-9A])\)")
_TW = re.compile(r"(?<![0-9A-Za-z])([A-Z])([1289]\d{8})(?![0-9A-Za-z])")
_US = re.compile(r"(?<![\w\-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w\-])")
_PROVINCES = frozenset(
    (*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82, 83)
)
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_TW_LETTERS = {letter: 10 + place for place, letter in enumerate("ABCDEFGHJKLMNPQRSTUVXYWZIO")}


def id_numbers(text: str) -> list[tuple[int, int]]:
    """Where they stand."""
    found = [m.span() for m in _CN.finditer(text) if chinese(m[1] + m[2] + m[3])]
    found += [m.span(1) for m in _CN_OLD.finditer(text) if _province(m[1]) and _born("19" + m[2])]
    found += [m.span() for m in _HK.finditer(text) if _hong_kong(m[1], m[2], m[3])]
    found += [m.span() for m in _TW.finditer(text) if _taiwan(m[1], m[2])]
    found += [m.span() for m in _US.finditer(text)]
    return sorted(found)


def chinese(number: str) -> bool:
    """Whether eighteen characters are an identity number of mainland China."""
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, number[:17], strict=True))
    return _province(number) and _born(number[6:14]) and "10X98765432"[total % 11] == number[17].upper()


def _province(number: str) -> bool:
    return int(number[:2]) in _PROVINCES


def _born(digits: str) -> bool:
    """Whether eight digits are a day on which somebody who lives may have been born."""
    try:
        day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return False
    return date(1880, 1, 1) <= day <= date.today()


def _hong_kong(letters: str, digits: str, check: str) -> bool:
    values = [36 if len(letters) == 1 else ord(letters[0]) - 55, ord(letters[-1]) - 55, *map(int, digits)]
    total = sum(value * weight for value, weight in zip(values, range(9, 1, -1), strict=True))
    return (total + (10 if check == "A" else int(check))) % 11 == 0


def _taiwan(letter: str, digits: str) -> bool:
    tens, ones = divmod(_TW_LETTERS[letter], 10)
    values = [tens, ones, *map(int, digits)]
    return (
        sum(value * weight for value, weight in zip(values, (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1), strict=True)) % 10 == 0
    )
