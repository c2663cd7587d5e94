"""Numbers, times and texts as the report prints them. Refuses to guess: what is not a number is shown as a dash."""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import datetime
from typing import Any

ABSENT = "–"
MINUS = "\N{MINUS SIGN}"

_CONTROL = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {0x7F: 0x2421}
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_LONE = re.compile(r"[\ud800-\udfff]")


def number(value: Any) -> float | None:
    """A finite float, or None for everything else (booleans, texts, NaN, infinities, null)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def signed(text: str) -> str:
    """The text with a true minus sign in place of a leading hyphen."""
    return MINUS + text[1:] if text.startswith("-") else text


def percent(value: Any, digits: int = 1) -> str:
    """A share of one as a percentage with one decimal: 0.764 -> 76.4%."""
    found = number(value)
    return ABSENT if found is None else signed(f"{100 * found:.{digits}f}%")


def points(value: Any) -> str:
    """A difference of two shares in percentage points, with its sign: 0.064 -> +6.4."""
    found = number(value)
    if found is None:
        return ABSENT
    rounded = round(100 * found, 1)
    return "0.0" if rounded == 0 else signed(f"{rounded:+.1f}")


def difference(value: Any, digits: int = 3) -> str:
    """A difference of two plain numbers with its sign: -0.0641 -> −0.064."""
    found = number(value)
    if found is None:
        return ABSENT
    rounded = round(found, digits)
    return f"{0:.{digits}f}" if rounded == 0 else signed(f"{rounded:+.{digits}f}")


def level(confidence: Any) -> str:
    """The confidence of an interval: 0.95 -> 95%, 0.98333 -> 98.3%."""
    found = number(confidence)
    return ABSENT if found is None else f"{round(100 * found, 1):g}%"


def decimal(value: Any, digits: int = 3) -> str:
    """A plain number with a fixed count of decimals."""
    found = number(value)
    return ABSENT if found is None else signed(f"{found:.{digits}f}")


def compact(value: Any) -> str:
    """A number for an axis or a learning rate: 0.00002 -> 2e-5, 1500 -> 1,500, 0.25 -> 0.25."""
    found = number(value)
    if found is None:
        return ABSENT
    if found == 0:
        return "0"
    if abs(found) < 0.001 or abs(found) >= 1e6:
        mantissa, exponent = f"{found:.2e}".split("e")
        return signed(f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}")
    if abs(found) >= 1000:
        return signed(f"{found:,.0f}")
    return signed(f"{found:.4g}")


def measured(value: Any, sign: bool = False) -> str:
    """A quantity in a unit of its own, with about four digits: 0.4172 -> 0.417, 23.456 -> 23.46, 51234.5 -> 51,234."""
    found = number(value)
    if found is None:
        return ABSENT
    size = abs(found)
    if size > 0 and (size < 0.001 or size >= 1e6):
        return ("+" if sign and found > 0 else "") + compact(found)
    digits = 3 - sum(size >= bound for bound in (10, 100, 1000))
    return signed(f"{found:{'+' if sign and found else ''},.{digits}f}")


def count(value: Any) -> str:
    """A whole number with thousands separated: 12345 -> 12,345."""
    found = number(value)
    return ABSENT if found is None else signed(f"{found:,.0f}")


def counted(value: Any, one: str, many: str) -> str:
    """A count with its noun: `1 item`, `12 items`."""
    return f"{count(value)} {one if number(value) == 1 else many}"


def p_value(value: Any) -> str:
    """A probability: three decimals, and `< 0.001` below that."""
    found = number(value)
    if found is None:
        return ABSENT
    return "< 0.001" if found < 0.001 else f"{found:.3f}"


def duration(seconds: Any) -> str:
    """Seconds in the unit a reader would use: 0.0012 -> 1.2 ms, 95 -> 1 min 35 s."""
    found = number(seconds)
    if found is None:
        return ABSENT
    if found < 0.1:
        return f"{1000 * found:.2g} ms"
    if found < 60:
        return f"{found:.1f} s"
    minutes, rest = divmod(round(found), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def memory(mebibytes: Any) -> str:
    """Mebibytes, or gibibytes from 1,024 on."""
    found = number(mebibytes)
    if found is None:
        return ABSENT
    return f"{found / 1024:.1f} GiB" if found >= 1024 else f"{found:,.0f} MiB"


def size(octets: Any) -> str:
    """Bytes in kB or MB."""
    found = number(octets)
    if found is None:
        return ABSENT
    if found < 1000:
        return f"{found:.0f} bytes"
    return f"{found / 1000:,.0f} kB" if found < 1e6 else f"{found / 1e6:,.1f} MB"


def day(moment: Any) -> str:
    """An ISO time as `21 November 2026, 11:50`; what cannot be read is given back as it is."""
    try:
        read = datetime.fromisoformat(str(moment))
    except ValueError:
        return clean(str(moment))
    return f"{read.day} {_MONTHS[read.month - 1]} {read.year}, {read:%H:%M}"


def clean(text: str) -> str:
    """Text that any HTML parser takes: control characters become visible pictures, lone surrogates the sign U+FFFD."""
    return _LONE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n")).translate(_CONTROL)


def shortened(text: str, limit: int) -> str:
    """At most about `limit` characters, never cut inside one visible sign, with an ellipsis where cut."""
    if len(text) <= limit:
        return text
    return text[: boundary(text, limit)].rstrip() + "…"


def boundary(text: str, limit: int) -> int:
    """The largest good place to cut at or before `limit`: a space if one is near, else between two visible signs.

    Emoji sequences, variation selectors, skin tones, flags and combining marks are kept whole.
    """
    if limit >= len(text):
        return len(text)
    space = text.rfind(" ", limit - min(24, limit // 4), limit)
    if space > 0:
        return space
    cut = limit
    while cut > max(1, limit - 40) and _joined(text, cut):
        cut -= 1
    return cut


def _joined(text: str, cut: int) -> bool:
    after, before = text[cut], text[cut - 1]
    if before == "\N{ZERO WIDTH JOINER}" or after == "\N{ZERO WIDTH JOINER}" or unicodedata.combining(after):
        return True
    if "\ufe00" <= after <= "\ufe0f" or "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":
        return True
    indicators = 0
    while indicators < cut and "\U0001f1e6" <= text[cut - 1 - indicators] <= "\U0001f1ff":
        indicators += 1
    return indicators % 2 == 1 and "\U0001f1e6" <= after <= "\U0001f1ff"


def script_language(text: str) -> str | None:
    """`ja`, `ko` or `zh` where the characters say so, so that a browser picks the right shapes; else None."""
    if any("\u3040" <= sign <= "\u30ff" for sign in text):
        return "ja"
    if any("\uac00" <= sign <= "\ud7af" for sign in text):
        return "ko"
    return "zh" if any("\u4e00" <= sign <= "\u9fff" for sign in text) else None
