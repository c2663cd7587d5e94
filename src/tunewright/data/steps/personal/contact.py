"""E-mail addresses and telephone numbers.

Numbers with a plus and a known country code are phones by their length alone (ITU-T E.164). Others must have the form of
a country's own numbers (United States and Canada, United Kingdom, Germany, France, mainland China with 400 and 800
numbers, Taiwan, India, Japan), with separators where the digits alone could be any number. Short and bare forms, and
Hong Kong's eight digits, need a word before them that says what they are (`call`, `tel`, `电话`). Not phones: what follows
a word for orders or a currency's sign, what has a unit after it, dates, parts of longer numbers, decimals, addresses of the web.
"""

from __future__ import annotations

import re

from tunewright.data.steps.urls import might, urls

_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+\-])[A-Za-z0-9](?:[A-Za-z0-9._%+\-]{0,62}[A-Za-z0-9_+\-])?"
    r"(?:@|\s?[\[(]\s?at\s?[\])]\s?)"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?(?:\.|\s?[\[(]\s?dot\s?[\])]\s?)){1,5}"
    r"(?!(?:png|jpe?g|gif|svg|webp|js|css|html?|py)\b)[A-Za-z]{2,24}(?![A-Za-z0-9])",
    re.IGNORECASE,
)

_SURE = re.compile(
    "|".join(
        (
            # mainland China: mobile, landline, 400 and 800
            r"(?:86[ \-]?)?1(?:3\d|4[5-9]|5[0-35-9]|6[2567]|7[0-8]|8\d|9[0-35-9])(?:\d{8}|(?P<cn>[ \-])\d{4}(?P=cn)\d{4})",
            r"\(?0(?:10|2[0-57-9])\)?[ \-]?[2-8]\d{3}[ \-]?\d{4}(?:[ \-]?(?:转|轉|ext\.?)[ ]?\d{1,5})?",
            r"\(?0[3-9]\d{2}\)?[ \-][2-8]\d{2}[ ]?\d{3,4}(?:[ \-]?(?:转|轉|ext\.?)[ ]?\d{1,5})?",
            r"[48]00[ \-]\d{3}[ \-]\d{4}|[48]00[ \-]\d{7}|[48]00[ \-]\d{4}[ \-]\d{3}",
            # United States and Canada
            r"(?:1[ .\-])?(?:\([2-9]\d{2}\)[ \-]?|[2-9]\d{2}[ .\-])[2-9]\d{2}[ .\-]\d{4}(?:[ ,]*(?:x|ext\.?)[ ]?\d{1,5})?",
            r"1[ \-]?8(?:00|33|44|55|66|77|88)[ \-]?[2-9]\d{2}[ \-]?\d{4}",
            # United Kingdom: mobile, and the lengths of areas
            r"07\d{3}[ \-]?\d{3}[ \-]?\d{3}",
            r"\(?0(?:2[03489]\)?[ \-]?\d{4}[ \-]?\d{4}|1\d1\)?[ \-]?\d{3}[ \-]?\d{4}|11\d\)?[ \-]?\d{3}[ \-]?\d{4}"
            r"|1\d{3}\)?[ \-]?\d{3}[ \-]?\d{3}|[389]\d{2}[ \-]?\d{3}[ \-]?\d{4}|[389]\d{3}[ \-]?\d{3}[ \-]?\d{3})",
            r"44[ ]?(?:7\d{9}|[89][07]\d{8})",
            r"0(?:800|845|500)[ \-]?\d{3}[ \-]?\d{3,4}",
            # France
            r"0[1-9](?P<fr>[ .\-])\d{2}(?:(?P=fr)\d{2}){3}|0[67]\d{8}",
            # Germany: an area, a stroke or a hyphen, the number; mobile
            r"\(?0[2-9]\d{1,4}\)?[ ]?[/\-][ ]?\d{5,8}(?:[ \-]\d{1,6})?|\(?01[5-7]\d{1,2}\)?[ /\-]?\d{7,8}",
            r"\(0[2-9]\d{1,4}\)[ ]?\d{3,8}(?:[ \-]\d{1,5})?|0(?:30|40|69|89)[ ]\d{5,8}",
            # Taiwan and Japan
            r"09\d{2}[ \-]?\d{3}[ \-]?\d{3}|\(?0[2-8]\)?[ \-]\d{3,4}[ \-]\d{4}",
            r"0[789]0[ \-]?\d{4}[ \-]?\d{4}|0(?:[1-9]-\d{4}|[1-9]\d-\d{3}|[1-9]\d{2}-\d{2})-\d{4}|0120[ \-]\d{3}[ \-]\d{3}",
            # India
            r"(?!\d{3}00 \d{3}00)[6-9]\d{4} \d{5}",
        )
    )
)
_TOLD = re.compile(
    r"(?:(?<![a-z])(?P<short>text|txt|sms)(?![a-z])|(?<![a-z])(?:telephone|tel|phone|ph|mobile|mob|cell|call(?:ing)?|fax|whatsapp|"
    r"ring|dial|hotline|help(?:line|desk)?|contact|landline)(?![a-z])"
    r"|电话|電話|手机|手機|联系|聯絡|联络|聯繫|致电|致電|拨打|撥打|热线|熱線|传真|傳真|来电|座机|客服|咨询|諮詢|预约|預約|携帯)"
    r"[^\d\n+]{0,16}?(?P<number>\(?\d{1,5}\)?(?:[ .\-]?\d){5,12})",
    re.IGNORECASE,
)
_PLUS = re.compile(r"(?<![\w+])\+[ ]?\(?([1-9]\d{0,2})\)?((?:[ .\-/]?\(?\d{1,5}\)?){1,7})")
_LENGTHS = {
    "1": (10, 10), "7": (10, 10), "33": (9, 9), "34": (9, 9), "39": (8, 11), "44": (9, 10), "49": (6, 12), "61": (9, 9),
    "65": (8, 8), "81": (9, 10), "82": (8, 10), "86": (10, 12), "91": (10, 10), "852": (8, 8), "853": (8, 8), "886": (8, 9),
}  # fmt: skip
_ZONES = (
    1, 7, 20, 27, *range(30, 42), *range(43, 50), *range(51, 59), *range(60, 67), 81, 82, 84, 86, *range(90, 96), 98,
    *range(211, 300), *range(350, 390), *range(420, 424), *range(500, 510), *range(590, 600), *range(670, 693), 800, 808,
    850, 852, 853, 855, 856, 870, 880, 886, *range(960, 978), *range(992, 999),
)  # fmt: skip
_CODES = frozenset(map(str, _ZONES))
_ORDER = re.compile(
    r"(?:(?<![a-z])(?:order|invoice|tracking|ticket|booking|ref|reference|serial|isbn|issn|sku|item|part|case|account|acct|id|uid|qq)"
    r"(?:[ .]?(?:no|number|num|nr|id))?|订单|訂單|单号|單號|编号|編號|流水|快递|运单|工号|账号|帳號|群|№)\W{0,4}\Z",
    re.IGNORECASE,
)
_UNIT = re.compile(
    r"\s?(?:[%°元块塊圆圓円€£$¥]|(?:kg|km|cm|mm|ml|gb|mb|usd|rmb|eur|万|萬|亿|億|只|个|個|件|米|克|人|年|次|条)(?![A-Za-z]))",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"(?:19|20)\d{2}[ .\-/]?(?:0[1-9]|1[0-2])[ .\-/]?(?:0[1-9]|[12]\d|3[01])(?!\d)|(?:19|20)\d{2}[ \-](?:19|20)\d{2}\Z"
)
_SEVEN = re.compile(r"\d(?:[ .\-()/]{0,3}\d){6}")


def emails(text: str) -> list[tuple[int, int]]:
    """Where e-mail addresses stand, written with `(at)` and `[dot]` too."""
    if "@" not in text and "at)" not in text and "at]" not in text:
        return []
    return [match.span() for match in _EMAIL.finditer(text)]


def phones(text: str) -> list[tuple[int, int]]:
    """Where telephone numbers stand."""
    if not _SEVEN.search(text):
        return []
    found = [match.span() for match in _PLUS.finditer(text) if _international(match[1] + match[2])]
    found += [match.span("number") for match in _TOLD.finditer(text) if _likely(text, match)]
    found += [match.span() for match in _SURE.finditer(text) if _stands_alone(text, *match.span())]
    web = urls(text) if might(text) else []
    found = [span for span in found if not any(start < span[1] and span[0] < end for start, end in web)]
    return _apart(found)


def _international(digits: str) -> bool:
    """Whether digits after a plus begin with a country's code and are as many as its numbers have."""
    bare = re.sub(r"\D", "", digits)
    for length in (1, 2, 3):
        code = bare[:length]
        if code in _CODES:
            rest = bare[length:].removeprefix("0") if code in ("44", "49") else bare[length:]
            least, most = _LENGTHS.get(code, (7, 12))
            return least <= len(rest) <= most
    return False


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether a number of a country's form is no part of something else, nor called something else."""
    before, after = text[max(start - 24, 0) : start], text[end : end + 6]
    if before and (before[-1].isascii() and (before[-1].isalnum() or before[-1] in "_$£€¥#")):
        return False
    if before[-1:] in tuple(".,-/+:=") and before[-2:-1].isdigit():
        return False
    digits = sum(map(str.isdigit, text[start:end]))
    if digits < 8 or not _ends(after, loosely=digits == 11 and text[start] == "0"):
        return False
    if after[:1] in tuple(".,-:") and after[1:2].isdigit():
        return False
    return not (_UNIT.match(after) or _ORDER.search(before) or "¥" in before[-2:] or _DATE.match(text[start:end]))


def _likely(text: str, match: re.Match[str]) -> bool:
    """Whether digits after a word for telephones are one: not a date, not money, not a part of something longer."""
    number, (start, end) = match["number"], match.span("number")
    digits = sum(map(str.isdigit, number))
    before, after = text[max(start - 16, 0) : start], text[end : end + 6]
    if (
        not (10 if match["short"] else 7) <= digits <= 15
        or _UNIT.match(after)
        or _DATE.match(number)
        or _ORDER.search(before)
    ):
        return False
    return _ends(after, loosely=True) and not (after[:1] in tuple(".,:") and after[1:2].isdigit())


def _ends(after: str, loosely: bool) -> bool:
    """Whether a number is over where this follows; loosely: a letter may stick to it (`08452810075over18s`)."""
    first = after[:1]
    wrong = first.isdigit() or first in ("_", "=") or (first.isalpha() and not loosely)
    return not first.isascii() or not wrong


def _apart(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order, without those that begin inside another."""
    left: list[tuple[int, int]] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not left or start >= left[-1][1]:
            left.append((start, end))
    return left
