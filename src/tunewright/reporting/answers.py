"""What only some tasks have: the figures of each label, the figures of each target, gold values against answers.

Pure functions from the evidence to views, as in `results`; None where the task has no such thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tunewright.reporting import charts, distributions
from tunewright.reporting.figures import Figure, metric_title, read_interval, write_figure
from tunewright.reporting.formatting import ABSENT, compact, count, number, shortened
from tunewright.reporting.results import contender_title, contenders, tuned
from tunewright.reporting.svg import domain
from tunewright.reporting.tasks import MULTILABEL, REGRESSION, task_of
from tunewright.reporting.values import mapping, rows, string, strings

OPEN, MOST = 40, 200
"""How many labels or targets stand in the page at once, and at all."""

POINTS = 400
"""How many points a scatter plot holds at most."""

LABEL_COLUMNS = {"precision": "Precision", "recall": "Recall"}
TARGET_COLUMNS = ("pearson", "spearman", "r2", "mae", "rmse")


@dataclass(frozen=True)
class LabelRow:
    """One label: its F1 and its drawing, the other figures, and the F1 of the contender that the verdict compares with."""

    label: str
    support: str
    f1: Figure
    figures: Sequence[Figure]
    rival: str
    bar: Markup | None


@dataclass(frozen=True)
class Labels:
    """The labels, the most frequent first; `left_out` of them are in evidence.json alone."""

    columns: Sequence[str]
    shown: Sequence[LabelRow]
    folded: Sequence[LabelRow]
    left_out: str
    against: str


@dataclass(frozen=True)
class TargetRow:
    """One target as one contender predicted it."""

    target: str
    gold: str
    contender: str
    is_tuned: bool
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Scatter:
    """Gold values against one contender's answers."""

    title: str
    chart: Markup
    is_tuned: bool


@dataclass(frozen=True)
class Targets:
    """The targets' figures, and the scatter plots with the sentence under them."""

    columns: Sequence[str]
    lines: Sequence[tuple[TargetRow, ...]]
    left_out: str
    scatters: Sequence[Scatter]
    told: str


def rival(evidence: Mapping[str, Any]) -> Mapping[str, Any]:
    """The contender that the verdict compares with; empty where there is none."""
    name = string(mapping(evidence.get("verdict")).get("against"))
    ours = tuned(evidence)
    found = (one for one in contenders(evidence) if one is not ours and string(one.get("name")) == name)
    return next(found, {})


def labels(evidence: Mapping[str, Any]) -> Labels | None:
    """The tuned contender's figures for each label; None where the task is another."""
    if task_of(evidence) is not MULTILABEL:
        return None
    other = rival(evidence)
    theirs = {string(one.get("label")): read_interval(one.get("f1")).value for one in rows(other.get("per_label"))}
    against = contender_title(evidence, other.get("name")) if theirs else ""
    found = rows(tuned(evidence).get("per_label"))
    found.sort(key=lambda one: -(number(one.get("support")) or 0.0))
    lines = [_label(one, theirs.get(string(one.get("label"))), against) for one in found[:MOST]]
    left = count(len(found) - MOST) if len(found) > MOST else ""
    return Labels(list(LABEL_COLUMNS.values()), lines[:OPEN], lines[OPEN:], left, against)


def _label(one: Mapping[str, Any], theirs: float | None, against: str) -> LabelRow:
    name = shortened(string(one.get("label"), "(none)"), 60)
    f1 = write_figure("f1", one.get("f1"))
    told = f"F1 of {name}: {f1.text} {f1.bounds or f1.reason}".strip()
    theirs_told = write_figure("f1", {"value": theirs}).text if theirs is not None else ABSENT
    if theirs is not None:
        told += f"; {against} {theirs_told}"
    interval = read_interval(one.get("f1"))
    bar = None if interval.value is None else charts.level_bar(interval, theirs, told)
    others = [write_figure(column, one.get(column)) for column in LABEL_COLUMNS]
    return LabelRow(name, count(one.get("support")), f1, others, theirs_told, bar)


def targets(evidence: Mapping[str, Any]) -> Targets | None:
    """The figures of each target and the scatter plots; None where the task is another."""
    if task_of(evidence) is not REGRESSION:
        return None
    ours, other = tuned(evidence), rival(evidence)
    names = [string(one.get("target"), "(unnamed)") for one in rows(ours.get("per_target"))]
    lines = [_target(evidence, name, (ours, other)) for name in names[:MOST]]
    return Targets(
        columns=[metric_title(name) for name in TARGET_COLUMNS],
        lines=[line for line in lines if line],
        left_out=count(len(names) - MOST) if len(names) > MOST else "",
        scatters=_scatters(evidence),
        told=_scatter_told(evidence),
    )


def _target(evidence: Mapping[str, Any], name: str, sides: Sequence[Mapping[str, Any]]) -> tuple[TargetRow, ...]:
    result: list[TargetRow] = []
    for one in sides:
        named = (row for row in rows(one.get("per_target")) if string(row.get("target"), "(unnamed)") == name)
        found = next(named, None)
        if found is not None:
            figures = [write_figure(column, found.get(column)) for column in TARGET_COLUMNS]
            title = contender_title(evidence, one.get("name"))
            result.append(TargetRow(shortened(name, 60), _gold(evidence, name), title, not result, figures))
    return tuple(result)


def _gold(evidence: Mapping[str, Any], name: str) -> str:
    """The gold values of a target in a few words: their mean and their spread."""
    facts = mapping(evidence.get("targets"))
    names, means, spreads = strings(facts.get("names")), facts.get("mean"), facts.get("spread")
    if name not in names or not isinstance(means, list) or not isinstance(spreads, list):
        return ""
    at = names.index(name)
    if at >= min(len(means), len(spreads)):
        return ""
    return f"gold values {compact(means[at])} on average, spread {compact(spreads[at])}"


def _scatters(evidence: Mapping[str, Any]) -> list[Scatter]:
    ours = tuned(evidence)
    clouds = [(one, _points(one.get("points"))) for one in contenders(evidence)]
    clouds = [(one, points) for one, points in clouds if points][:2]
    if not clouds:
        return []
    axis = domain([part for _, points in clouds for point in points for part in point], margin=0.03)
    result = []
    for one, points in clouds:
        title = contender_title(evidence, one.get("name"))
        told = f"{count(len(points))} items; on the diagonal the answer equals the gold value."
        chart = distributions.scatter(points, axis, one is ours, f"Gold values against answers of {title}", told)
        result.append(Scatter(title, chart, one is ours))
    return result


def _points(value: Any) -> list[tuple[float, float]]:
    pairs = value if isinstance(value, list) else []
    read = [tuple(map(number, pair)) for pair in pairs[:POINTS] if isinstance(pair, list) and len(pair) == 2]
    return [(x, y) for x, y in read if x is not None and y is not None]


def _scatter_told(evidence: Mapping[str, Any]) -> str:
    """What a point is, and which of the items and targets are drawn."""
    drawn = max((len(_points(one.get("points"))) for one in contenders(evidence)), default=0)
    whole = number(evidence.get("items"))
    names = strings(evidence.get("labels")) or strings(mapping(evidence.get("targets")).get("names"))
    part = f"{count(drawn)} of the {count(whole)} are drawn" if whole is not None and drawn < whole else "all are drawn"
    which = f", by the target {shortened(names[0], 60)}, the first of {count(len(names))}" if len(names) > 1 else ""
    return (
        f"Each point is an item; {part}{which}. On the diagonal the answer equals the gold value, above it the answer "
        f"is too high, below it too low."
    )
