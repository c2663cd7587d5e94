"""What the figures of every benchmark share: medians, ratios within a round, gates. Standard library alone."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Shape = dict[str, Any]
Figures = dict[str, Any]

LOSS_LIMITS = {"float32": 1e-5, "bfloat16": 1e-2}
GRADIENT_LIMIT = 0.02
CURVE_LIMIT = 0.05


def medians(per_round: Sequence[Figures]) -> Figures:
    """The median of each figure over rounds; None where one has none."""
    found: Figures = {"rounds": len(per_round)}
    for name in per_round[0]:
        values = [figures[name] for figures in per_round]
        found[name] = None if None in values else statistics.median(values)
    return found


def ratio(tops: Sequence[float], bottoms: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest of the quotients, round by round."""
    each = [top / bottom for top, bottom in zip(tops, bottoms, strict=True)]
    return {"median": statistics.median(each), "least": min(each), "greatest": max(each), "rounds": len(each)}


def best_of(group: Sequence[str], table: dict[str, Figures], figure: str) -> str | None:
    """The member with the highest median of a figure."""
    known = [name for name in group if name in table and table[name][figure] is not None]
    return max(known, key=lambda name: table[name][figure], default=None)


@dataclass
class Ratios:
    """Ours against peers, round by round: `each` holds the figures by contender and round."""

    each: dict[str, dict[int, Figures]]
    found: list[Figures] = field(default_factory=list)

    def add(
        self,
        what: str,
        group: str,
        peer: str | None,
        pick: Callable[[str, Figures], float | None],
        needed: float | None = None,
        upward: bool = True,
        ours: str = "ours",
    ) -> None:
        """Adds the ratio of what `pick(name, figures)` takes, where both sides have it.

        Args:
            what: the figure in words.
            group: what the peer stands for.
            peer: its name; nothing is added where it is None.
            pick: takes the figure.
            needed: the bar, if there is one; `upward` says whether more is better.
            upward: see `needed`.
            ours: the name of our contender.
        """
        if peer is None or ours not in self.each or peer not in self.each:
            return
        shared = [n for n in self.each[ours] if n in self.each[peer]]
        pairs = [(pick(ours, self.each[ours][n]), pick(peer, self.each[peer][n])) for n in shared]
        tops, bottoms = [a for a, _ in pairs if a is not None], [b for _, b in pairs if b is not None]
        if not pairs or len(tops) < len(pairs) or len(bottoms) < len(pairs):
            return
        value = ratio(tops, bottoms)
        met = None if needed is None else (value["median"] >= needed if upward else value["median"] <= needed)
        self.found.append({"what": what, "group": group, "peer": peer, **value, "needed": needed, "met": met})


@dataclass
class Gates:
    """What must hold before any speed counts. One that does not count is shown with its note."""

    found: list[Figures] = field(default_factory=list)

    def add(self, name: str, what: str, value: float, limit: float, note: str = "", counts: bool = True) -> None:
        """Adds a gate: it is passed where `value` is at most `limit`."""
        self.found.append(
            {"contender": name, "gate": what, "value": value, "limit": limit, "note": note, "counts": counts,
             "passed": value <= limit}
        )  # fmt: skip
