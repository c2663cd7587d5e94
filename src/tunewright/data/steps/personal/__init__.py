"""Where personal data stand in a text, in one file a kind of thing. None of it knows what is done about them.

    contact     e-mail addresses, telephone numbers
    identity    identity numbers of China, Hong Kong, Taiwan and the United States
    money       bank cards, IBANs
    network     addresses of IP 4 and 6
    keys        keys, tokens and passwords

A finder is given a text in which full-width forms are plain (`plain`, same length) and says where. Every kind is a trade of
what is missed for what is taken for one wrongly; here a number that has a check digit must have the right one, and a
number that has none must look like one and stand where one may.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tunewright.data.steps.personal.contact import emails, phones
from tunewright.data.steps.personal.identity import id_numbers
from tunewright.data.steps.personal.keys import keys
from tunewright.data.steps.personal.money import bank_cards, ibans
from tunewright.data.steps.personal.network import addresses
from tunewright.data.steps.personal.plain import plain

Kind = Literal["key", "iban", "bank_card", "id_number", "email", "ip", "phone"]
Spans = list[tuple[int, int]]

FINDERS: dict[Kind, Callable[[str], Spans]] = {
    "key": keys,
    "iban": ibans,
    "bank_card": bank_cards,
    "id_number": id_numbers,
    "email": emails,
    "ip": addresses,
    "phone": phones,
}
"""By what is sure first: where two find the same, the earlier is right."""

NUMBERS: frozenset[Kind] = frozenset(("iban", "bank_card", "id_number", "phone"))
"""Of these each has six digits and more, near one another."""

__all__ = ["FINDERS", "NUMBERS", "Kind", "Spans", "plain"]
