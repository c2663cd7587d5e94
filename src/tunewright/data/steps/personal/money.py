"""Numbers of bank cards (Luhn, ISO/IEC 7812-1, issuers' ranges) and bank accounts (IBAN, ISO 13616, mod 97).

Luhn's digit alone is right for one number of ten: a card must also begin like one of a network that has cards of its
length, be written in one piece or in groups, and not stand after a word for orders.
"""

from __future__ import annotations

import re

from tunewright.data.steps.urls import might, urls

_CARD = re.compile(
    r"(?<![A-Za-z0-9_.+\-])(?<!\d[,/])"
    r"(?:\d{13,19}|\d{4}([ \-])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|\d{4}([ \-])\d{6}\2\d{4,5})(?![A-Za-z0-9_])(?![.\-]\d)"
)
_NO_CARD = re.compile(
    r"(?:(?<![a-z])(?:order|tracking|invoice|isbn|ean|imei|serial|timestamp|id)(?:[ .]?(?:no|number|id))?"
    r"|订单|訂單|单号|單號|快递|运单|编号|流水|条码)\W{0,4}\Z",
    re.IGNORECASE,
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])([A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?)(?![A-Za-z0-9])")
_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28, "CH": 21,
    "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FO": 18, "FR": 27,
    "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27,
    "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25,
    "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28,
    "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip


def bank_cards(text: str) -> list[tuple[int, int]]:
    """Where numbers of bank cards stand."""
    found = []
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if (
            issued(digits)
            and luhn(digits)
            and len(set(digits)) > 1
            and not _NO_CARD.search(text[max(match.start() - 20, 0) : match.start()])
        ):
            found.append(match.span())
    if found and might(text):
        web = urls(text)
        found = [span for span in found if not any(start < span[1] and span[0] < end for start, end in web)]
    return found


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others."""
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (doubled + sum(map(int, digits[-1::-2]))) % 10 == 0


def issued(digits: str) -> bool:
    """Whether a network has cards that begin so and are as long."""
    n, two, four, six = len(digits), int(digits[:2]), int(digits[:4]), int(digits[:6])
    return (
        (digits[0] == "4" and n in (13, 16, 19))  # Visa
        or (n == 16 and (51 <= two <= 55 or 2221 <= four <= 2720 or 2200 <= four <= 2204))  # Mastercard, Mir
        or (n == 15 and two in (34, 37))  # American Express
        or (16 <= n <= 19 and (two == 62 or 8100 <= four <= 8171))  # UnionPay
        or (
            16 <= n <= 19 and (four == 6011 or 644 <= four // 10 <= 649 or two == 65 or 622126 <= six <= 622925)
        )  # Discover
        or (16 <= n <= 19 and 3528 <= four <= 3589)  # JCB
        or (14 <= n <= 19 and (300 <= four // 10 <= 305 or two in (36, 38, 39)))  # Diners
        or (n == 16 and (two in (60, 82) or four // 10 in (508, 353, 356)))  # RuPay
        or (16 <= n <= 19 and (two == 50 or 56 <= two <= 58))  # Maestro
    )


def ibans(text: str) -> list[tuple[int, int]]:
    """Where numbers of bank accounts stand."""
    found = []
    for match in _IBAN.finditer(text):
        length = _LENGTHS.get(match[1][:2])
        end, count = match.start(), 0
        while length and count < length and end < match.end():  # words in capitals may follow
            count += text[end] != " "
            end += 1
        if (count == length and text[end : end + 1] in ("", " ")) or (count == length and end == match.end()):
            bare = text[match.start() : end].replace(" ", "")
            if int("".join(str(int(c, 36)) for c in bare[4:] + bare[:4])) % 97 == 1:
                found.append((match.start(), end))
    return found
