"""Splits by time: the latest rows are the test split, those before them validation, so that the past learns the future.

Rows of one time are never parted, nor are units: a unit's time is that of its latest row. Times are ISO dates or instants,
or numbers such as seconds; one column holds one kind. Not a keyed hash: rows that are later than all others move the border.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from tunewright.core.errors import DataError, Problem, counted, listed
from tunewright.data.journal import Draft
from tunewright.data.options import Shares

_SHOWN = 3


def instant(cell: str) -> float:
    """Seconds since 1970 of a date or instant, or the number itself; an instant without a zone counts as UTC.

    Raises:
        ValueError: it is neither.
    """
    text = cell.strip()
    try:
        number = float(text)
    except ValueError:
        when = datetime.fromisoformat(text.replace("/", "-"))
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is no time")
    return number


def by_time(rows: Sequence[tuple[Draft, str]], shares: Shares) -> dict[str, str]:
    """The split of each unit.

    Raises:
        DataError: rows without a time, or whose time is none.
    """
    latest: dict[str, float] = {}
    sizes: Counter[str] = Counter()
    bad: list[Draft] = []
    for draft, unit in rows:
        try:
            when = instant(draft.time or "")
        except ValueError:
            bad.append(draft)
            continue
        latest[unit] = max(when, latest.get(unit, when))
        sizes[unit] += 1
    if bad:
        shown = [f"{draft.time!r} (line {draft.source.line})" for draft in bad[:_SHOWN]]
        raise DataError(
            Problem(where="data.time", found=f"no time in {counted(len(bad), 'row')}: {listed(shown)}",
                    allowed="an ISO date such as 2026-11-30, an instant, or a number, in every row",
                    to_do="mend these rows, or choose another data.split.by")
        )  # fmt: skip
    total = sizes.total()
    at: Counter[float] = Counter()
    for unit, n in sizes.items():
        at[latest[unit]] += n
    border: dict[float, str] = {}
    held = 0
    for when in sorted(at, reverse=True):
        held += at[when]
        # a time goes to the split in which most of its rows lie
        middle = (held - at[when] / 2) / total
        border[when] = (
            "test" if middle < shares.test else "validation" if middle < shares.test + shares.validation else "train"
        )
    return {unit: border[when] for unit, when in latest.items()}
