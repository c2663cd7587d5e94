"""Preferences and rewards: how far the chosen reply lies above the rejected one, and where it does not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tunewright.reporting import distributions
from tunewright.reporting.amounts import bars
from tunewright.reporting.answers import rival
from tunewright.reporting.conversations import PROMPT, REPLY, replies
from tunewright.reporting.figures import Figure, write_figure
from tunewright.reporting.formatting import count, measured
from tunewright.reporting.loading import RunFiles
from tunewright.reporting.replies import Exchange, Reply, exchange
from tunewright.reporting.results import contender_title, contenders, tuned
from tunewright.reporting.tasks import PREFERENCES, task_of
from tunewright.reporting.values import mapping, rows

LOWEST = 30
"""Pairs quoted at most."""


@dataclass(frozen=True)
class Spread:
    """One contender's margins, drawn."""

    title: str
    chart: Markup
    told: str


@dataclass(frozen=True)
class RewardRow:
    """One contender's rewards: mean and standard deviation of both sides, margin."""

    title: str
    is_tuned: bool
    chosen: tuple[str, str]
    rejected: tuple[str, str]
    margin: Figure


@dataclass(frozen=True)
class Margins:
    """Margins drawn for the tuned contender and the one that the verdict compares with; rewards of all."""

    spreads: Sequence[Spread]
    rewards: Sequence[RewardRow]


def margins(evidence: Mapping[str, Any]) -> Margins | None:
    """None where the task is another."""
    if task_of(evidence).name not in PREFERENCES:
        return None
    ours, other = tuned(evidence), rival(evidence)
    drawn = [found for found in (_spread(evidence, one) for one in (ours, other)) if found is not None]
    return Margins(drawn, [row for row in (_rewards(evidence, one) for one in contenders(evidence)) if row is not None])


def _spread(evidence: Mapping[str, Any], one: Mapping[str, Any]) -> Spread | None:
    found = bars(one.get("histogram"))
    if found is None:
        return None
    edges, counts = found
    title = contender_title(evidence, one.get("name"))
    below = sum(n for n, right in zip(counts, edges[1:], strict=True) if right <= 0)
    above = sum(n for n, left in zip(counts, edges, strict=False) if left >= 0)
    told = f"{count(above)} items lie in bars above zero, {count(below)} in bars below"
    rest = sum(counts) - above - below
    told += f", {count(rest)} in the bar around it." if rest else "."
    chart = distributions.margins(edges, counts, one is tuned(evidence), f"Margins of {title}", told)
    return Spread(title, chart, told)


def _rewards(evidence: Mapping[str, Any], one: Mapping[str, Any]) -> RewardRow | None:
    found = mapping(one.get("rewards"))
    if not found:
        return None
    sides = []
    for side in ("chosen", "rejected"):
        facts = mapping(found.get(side))
        sides.append((measured(facts.get("mean")), measured(facts.get("sd"))))
    margin = write_figure("margin", mapping(one.get("metrics")).get("margin"))
    return RewardRow(contender_title(evidence, one.get("name")), one is tuned(evidence), sides[0], sides[1], margin)


def lowest_pairs(files: RunFiles, parts: int = 1) -> list[Exchange]:
    """The items with the lowest margins, both replies side by side; the answers are the run folder's own."""
    if task_of(files.evidence).name not in PREFERENCES:
        return []
    found = []
    for row in rows(files.evidence.get("mistakes"))[: max(4, LOWEST // parts)]:
        item = files.items.get(str(row.get("id")))
        answers = _sides(item.label) if item and item.label else []
        facts = [("margin", measured(row.get("margin"), sign=True))]
        found.append(exchange(files, row, answers, facts=facts, kept=PROMPT // 2))
    return found


def _sides(label: str) -> list[Reply]:
    """Chosen and rejected, or the one reply with its thumb."""
    try:
        found = mapping(json.loads(label))
    except (ValueError, RecursionError):
        return []
    if "reply" in found:
        good = found.get("good") is True
        title, kind = ("Thumb up", "chosen") if good else ("Thumb down", "rejected")
        return [Reply(title, kind, replies(found["reply"], REPLY // 2))]
    sides = (("Chosen", "chosen"), ("Rejected", "rejected"))
    return [Reply(title, key, replies(found[key], REPLY // 2)) for title, key in sides if key in found]
