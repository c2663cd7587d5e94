"""What several shapes share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tunewright.core.outcomes import Bools, Floats, Ints, Judged

FEW = 10
"""Fewer test items of a class than this: its figures are rough."""


def finite(value: object) -> bool:
    """Whether a value from JSON is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def not_a_count(row: Mapping[str, Any], name: str) -> str:
    """What is wrong with a count in a line, or nothing."""
    value = row.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return ""
    return f"{name} must be a whole number of at least 0, found {str(value)[:80]}"


def numbers(given: Iterable[float | None]) -> Floats:
    """(N,) with NaN where there is none."""
    return np.array([np.nan if value is None else value for value in given], np.float64)


def no_classes() -> dict[str, Any]:
    """What evidence says of classes where there are none."""
    return {"per_class": [], "confusion": [], "calibration": {"bins": []}}


def flips(
    pair: tuple[Judged, Judged],
    right: tuple[Bools, Bools],
    sure: Floats,
    said: Callable[[Any, int], object],
    shown: int,
) -> dict[str, Any]:
    """Items that only one of two aligned contenders got right, the first one's surest first.

    Args:
        pair: the tuned model's predictions and the other's.
        right: (N,) each: whether it is right.
        sure: (N,) how sure the tuned model is.
        said: an item's output as it is written.
        shown: how many of each kind at most.
    """
    a, b = pair

    def top(where: Bools) -> list[dict[str, Any]]:
        return [
            {"id": a.ids[i], "gold": a.gold_of(int(i)), "from": said(b, int(i)), "to": said(a, int(i))}
            for i in surest(np.flatnonzero(where), sure, shown)
        ]

    gained, lost = right[0] & ~right[1], right[1] & ~right[0]
    return {
        "against": b.contender,
        "gained": top(gained),
        "lost": top(lost),
        "gained_total": int(gained.sum()),
        "lost_total": int(lost.sum()),
    }


def surest(rows: Ints, sure: Floats, shown: int) -> Ints:
    """The rows with the highest `sure` first, ties in item order."""
    return np.asarray(rows[np.argsort(-sure[rows], kind="stable")][:shown], np.int64)


def rare(labels: Sequence[str], support: Floats | Ints, kind: str) -> list[str]:
    """The sentence about labels with few items, or nothing."""
    few = [label for label, n in zip(labels, support, strict=True) if n < FEW]
    if not few:
        return []
    names = ", ".join(few[:8]) + (f" and {len(few) - 8} more" if len(few) > 8 else "")
    return [f"{kind} with fewer than {FEW} test items, whose figures are rough: {names}."]
