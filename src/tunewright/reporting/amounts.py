"""Numbers in the data: how the values of a target are spread, and how many labels an item has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from tunewright.reporting import distributions
from tunewright.reporting.formatting import compact, count, number, shortened
from tunewright.reporting.values import mapping, rows, string

TARGETS, BARS = 24, 200
"""How many targets are drawn, and how many bars a histogram has, at most."""


@dataclass(frozen=True)
class Amount:
    """One target of a regression: its figures, and its histogram where the card has one."""

    name: str
    facts: Sequence[tuple[str, str]]
    chart: Markup | None


def amounts(value: Any) -> list[Amount]:
    """The targets of a data card, as many as are drawn."""
    return [_amount(one) for one in rows(value)[:TARGETS]]


def _amount(one: Mapping[str, Any]) -> Amount:
    name = shortened(string(one.get("name"), "(unnamed)"), 60)
    facts = [
        ("lowest", compact(one.get("low"))),
        ("median", compact(one.get("median"))),
        ("mean", compact(one.get("mean"))),
        ("highest", compact(one.get("high"))),
        ("standard deviation", compact(one.get("sd"))),
    ]
    return Amount(name, facts, _histogram(name, one.get("histogram")))


def bars(value: Any) -> tuple[list[float], list[int]] | None:
    """Edges and counts of a histogram; None where the edges do not rise or do not fit the counts."""
    found = mapping(value)
    edges, counts = ([number(x) for x in _list(found.get(key))] for key in ("edges", "counts"))
    steps = [x for x in edges if x is not None]
    heights = [int(x) for x in counts if x is not None and x >= 0]
    whole = len(steps) == len(edges) == len(heights) + 1 == len(counts) + 1
    if not whole or not 0 < len(heights) <= BARS or any(b <= a for a, b in pairwise(steps)):
        return None
    return steps, heights


def _histogram(name: str, value: Any) -> Markup | None:
    found = bars(value)
    if found is None:
        return None
    steps, heights = found
    at = max(range(len(heights)), key=lambda k: heights[k])
    told = (
        f"{count(sum(heights))} rows in {count(len(heights))} stretches; the fullest, from {compact(steps[at])} to "
        f"{compact(steps[at + 1])}, has {count(heights[at])} rows."
    )
    return distributions.histogram(steps, heights, f"Values of {name}", told)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def per_item(value: Any) -> list[tuple[str, str]]:
    """How many labels an item has; empty where the card does not say."""
    found = mapping(value)
    if not found:
        return []
    return [
        ("Labels an item, mean", compact(found.get("mean"))),
        ("median", compact(found.get("median"))),
        ("most", count(found.get("max"))),
        ("items with none", count(found.get("none"))),
    ]
