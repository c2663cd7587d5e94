"""Personal data and secrets in texts: masked, flagged, or a reason for the row to leave.

| kind | mask | what makes it one |
|---|---|---|
| email | `<email>` | its form |
| phone | `<phone>` | a country's form, or a word before it (`personal/contact.py`) |
| id_number | `<id_number>` | check digit; China: region and date as well |
| bank_card | `<bank_card>` | Luhn, issuers' ranges and lengths |
| iban | `<iban>` | mod 97, country and length |
| ip | `<ip>` | versions 4 and 6, not versions of software |
| key | `<key>` | issuers' marks, or a disordered value after a name |

Full-width digits are read as digits. The ledger says which kinds stood where, never what they were. Names and postal addresses of
people are not found: that needs a model, and misses as well. What this finds is not all there is (`docs/log.md` has figures).
Cost: below a microsecond for a text without a digit and without an at sign, about 10 for one with a digit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from tunewright.core.registry import register
from tunewright.data.steps.personal import FINDERS, NUMBERS, Kind, plain
from tunewright.data.steps.protocol import Edit, Phase
from tunewright.data.steps.rewriting import replaced

_DIGIT = re.compile("[0-9\uff10-\uff19]")
_NEAR = re.compile(r"\d(?:[^A-Za-z0-9\n]{0,3}\d){5}")
_SHOWN = 20

DESCRIBED = {
    "personal_data": ("Personal data and secrets", "masked"),
    "personal_data_flagged": ("Personal data and secrets", "kept, and the row was flagged"),
    "personal_data_found": ("Personal data and secrets", "the row was left out"),
}


def _might(text: str) -> bool:
    return (
        _DIGIT.search(text) is not None
        or "@" in text
        or "＠" in text
        or "at)" in text
        or "at]" in text
        or "-----BEGIN" in text
    )


@register("step", "personal_data")
@dataclass(frozen=True)
class PersonalData:
    """Treats what it finds by the policy.

    `flag` gives the row a flag for each kind (`personal_email`) and leaves the text; `drop` lets the row go.
    """

    policy: Literal["mask", "flag", "drop"] = "mask"
    kinds: tuple[Kind, ...] = ("email", "phone", "id_number", "bank_card", "iban", "ip", "key")

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "personal_data"
    shorthand: ClassVar[str] = "policy"

    def __post_init__(self) -> None:
        if not self.kinds:
            raise ValueError("no kinds: name some, or leave the step out")

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        return [self._edit(text) if _might(text) else None for text in texts]

    def masked(self, text: str) -> str:
        """The text with a mask for everything of these kinds."""
        for _ in range(len(text) + 1):
            found = self.found(text) if _might(text) else []
            if not found:
                return text
            text = replaced(text, [(start, end, f"<{kind}>") for start, end, kind in found])
        return text

    def found(self, text: str) -> list[tuple[int, int, Kind]]:
        """Beginning, end and kind of everything, in order and apart."""
        read, taken = plain(text), list[tuple[int, int, Kind]]()
        near = _NEAR.search(read) is not None
        for kind, find in FINDERS.items():
            if kind in self.kinds and (near or kind not in NUMBERS):
                for start, end in find(read):
                    if all(end <= a or b <= start for a, b, _ in taken):
                        taken.append((start, end, kind))
        return sorted(taken)

    def _edit(self, text: str) -> Edit | None:
        found = self.found(text)
        if not found:
            return None
        detail = _told(found)
        if self.policy == "flag":
            return Edit(text, detail, tuple(dict.fromkeys(f"personal_{kind}" for _, _, kind in found)))
        return Edit(self.masked(text), detail, refused="personal_data_found" if self.policy == "drop" else "")


def _told(found: Sequence[tuple[int, int, Kind]]) -> str:
    """How many of each kind, and where: characters of the text before."""
    counts = Counter(kind for _, _, kind in found)
    many = ", ".join(f"{n} {kind}" for kind, n in counts.items())
    places = ", ".join(f"{start} to {end}" for start, end, _ in found[:_SHOWN])
    return f"{many} at {places}{', ...' if len(found) > _SHOWN else ''}"
