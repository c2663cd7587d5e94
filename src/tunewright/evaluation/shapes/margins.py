"""Rewards of a preferred reply and of another: preferences and reward models.

Axes: N items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tunewright.core.outcomes import Floats, Margins
from tunewright.evaluation.compare import Plan
from tunewright.evaluation.scoring import Draws
from tunewright.evaluation.shapes import common
from tunewright.metrics import TASKS, Task

_BINS = 20
_SIDES = ("chosen", "rejected")


@dataclass(frozen=True)
class Shape:
    """The shape of one task."""

    TASK: Task

    def row(self, p: Margins, i: int) -> dict[str, Any]:
        """Both rewards; null for a side that an item has not."""
        rewards = {"chosen": float(p.chosen[i]), "rejected": float(p.rejected[i])}
        return {side: None if np.isnan(reward) else reward for side, reward in rewards.items()}

    def faults(self, row: Mapping[str, Any], labels: Sequence[str]) -> list[str]:
        """Anything but finite numbers, or neither of them."""
        given = {side: row.get(side) for side in _SIDES}
        wrong = [
            f"{side} must be a finite number or null, found {str(value)[:80]}"
            for side, value in given.items()
            if value is not None and not common.finite(value)
        ]
        return wrong or (["neither chosen nor rejected has a reward"] if set(given.values()) == {None} else [])

    def predictions(
        self, named: tuple[str, str], labels: tuple[str, ...], rows: Sequence[Mapping[str, Any]], seconds: Floats | None
    ) -> Margins:
        """The rewards that the lines hold."""
        ids = tuple(row["id"] for row in rows)
        chosen, rejected = (common.numbers(row.get(side) for row in rows) for side in _SIDES)
        return Margins(*named, labels, ids, chosen, rejected, seconds, task=self.TASK.name)

    def joined(self, a: Margins, b: Margins) -> tuple[Margins, Margins]:
        """As they are."""
        return a, b

    def details(self, p: Margins, plan: Plan, drawn: Draws) -> dict[str, Any]:
        """Mean and spread of the rewards of each side, the histogram of the margins."""
        rewards = {"chosen": _moments(p.chosen), "rejected": _moments(p.rejected)}
        return {**common.no_classes(), "rewards": rewards, "histogram": histogram(p.margin())}

    def closeup(self, p: Margins, seed: int) -> dict[str, Any]:
        """Nothing more."""
        return {}

    def overview(self, p: Margins) -> dict[str, Any]:
        """Nothing: the pairs are in the data card."""
        return {}

    def mistakes(self, p: Margins, shown: int) -> list[dict[str, Any]]:
        """The items that are not right, lowest margin first."""
        margin = p.margin()
        rows = common.surest(np.flatnonzero(margin <= 0).astype(np.int64), -margin, shown)
        return [{"id": p.ids[i], "margin": float(margin[i])} for i in rows]

    def flips(self, tuned: Margins, against: Margins, shown: int) -> dict[str, Any]:
        """Items that only one of two aligned contenders got right, the tuned model's widest margins first."""
        a, b = tuned.margin(), against.margin()
        found = common.flips((tuned, against), (a > 0, b > 0), np.abs(a), _said, shown)
        place = {item: i for i, item in enumerate(tuned.ids)}
        for one in [*found["gained"], *found["lost"]]:
            one["gold"] = _gold(tuned, place[one["id"]])
        return found

    def limits(self, p: Margins) -> list[str]:
        """What a preferred reply does not say; undecided items."""
        said = [
            "What the model writes by itself: it was only asked which of the given replies is better.",
            "The size of the rewards: every contender's have a unit of its own; only their order is compared.",
        ]
        undecided = int((p.margin() == 0).sum())
        if undecided:
            said.append(f"{undecided:,} items on which {p.contender} prefers neither reply: each counts as half right.")
        return said


SHAPES = {name: Shape(TASKS[name]) for name in ("preference", "reward")}


def histogram(margins: Floats) -> dict[str, Any]:
    """At most 22 bins of one width, 0 an edge between two of them; the last one includes its upper end."""
    low, high = min(float(margins.min(initial=0.0)), 0.0), max(float(margins.max(initial=0.0)), 0.0)
    width = (high - low) / _BINS or 1.0
    first, last = int(np.floor(low / width)), max(int(np.ceil(high / width)), 1)
    edges = width * np.arange(first, last + 1)
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
    return {"edges": edges.tolist(), "counts": np.histogram(margins, edges)[0].tolist()}


def _moments(rewards: Floats) -> dict[str, float | None]:
    known = rewards[~np.isnan(rewards)]
    return {"mean": float(known.mean()), "sd": float(known.std())} if len(known) else {"mean": None, "sd": None}


def _gold(p: Margins, i: int) -> str:
    return "rejected" if np.isnan(p.chosen[i]) else "chosen"


def _said(p: Margins, i: int) -> str:
    """The side that is preferred; a reply alone is taken or turned down."""
    gold = _gold(p, i)
    return gold if p.margin()[i] > 0 else _SIDES[1 - _SIDES.index(gold)]
