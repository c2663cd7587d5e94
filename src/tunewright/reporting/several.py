"""Several tasks with one backbone: a verdict a task, each task alone against together, the weights of the tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from markupsafe import Markup

from tunewright.reporting import charts, distributions
from tunewright.reporting.charts import Interval
from tunewright.reporting.figures import (
    LOWER,
    Figure,
    metric_title,
    read_interval,
    short_title,
    unit_of,
    write_change,
    write_figure,
)
from tunewright.reporting.formatting import compact, count, number, p_value, shortened
from tunewright.reporting.loading import RunFiles
from tunewright.reporting.results import SIGNS, WORDS, Verdict, contender_title, kind_of, tuned
from tunewright.reporting.svg import domain
from tunewright.reporting.tasks import MOST_PARTS, parts_of, task_of
from tunewright.reporting.values import mapping, rows, string

LINES = 40
"""Rows of transfer at most."""


@dataclass(frozen=True)
class Line:
    """One task of the overview."""

    name: str
    anchor: str
    kind: str
    verdict: str
    task: str
    metric: str
    ours: Figure
    theirs: Figure
    against: str
    effect: Figure
    p: str
    items: str


@dataclass(frozen=True)
class Change:
    """One row of transfer: a task trained alone against together with the others."""

    task: str
    metric: str
    alone: Figure
    together: Figure
    difference: Figure
    p: str
    kind: str
    verdict: str
    strip: Markup | None


@dataclass(frozen=True)
class Transfer:
    """Rows of transfer whose differences share an axis; `sides` says which way is better."""

    unit: str
    sides: tuple[str, str]
    changes: Sequence[Change]
    axis: Markup | None


def outcome(evidence: Mapping[str, Any]) -> str:
    """The verdict of one task, or nothing."""
    return string(mapping(evidence.get("verdict")).get("outcome"))


def verdict(evidence: Mapping[str, Any]) -> Verdict:
    """The head of a report on several tasks: how many of them came out better."""
    parts = parts_of(evidence)
    said = [outcome(part) for part in parts.values()]
    better, worse = said.count("better"), said.count("worse")
    rest = len(said) - better - worse
    kind = "worse" if worse else "better" if better == len(said) else "unsure"
    word = {"better": "Better", "worse": "Worse on a task", "unsure": "Mixed"}[kind]
    if not better and not worse:
        word = WORDS["can't tell"]
    whole = f"of {count(len(said))} tasks"
    headline = f"These data can’t tell on any {whole}"
    if better:
        headline = f"Better on {count(better)} {whole}" + (f", worse on {count(worse)}" if worse else "")
    elif worse:
        headline = f"Worse on {count(worse)} {whole}"
    told = string(mapping(evidence.get("verdict")).get("sentence")) or _told(parts)
    facts = [
        ("Tasks", count(len(said)), "with one backbone"),
        ("Better", count(better), "than the strongest baseline"),
        ("Worse", count(worse), "than the strongest baseline"),
        ("Can’t tell", count(rest), "or without a verdict"),
    ]
    sign = {"better": "▲", "worse": "▼", "unsure": "≈"}[kind]
    return Verdict(kind, word, sign, headline, told, facts, None)


def _told(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """Which tasks came out how, in one sentence each."""
    groups: dict[str, list[str]] = {}
    for name, part in parts.items():
        groups.setdefault(WORDS.get(outcome(part), "No verdict"), []).append(shortened(name, 40))
    return " ".join(f"{word}: {', '.join(names[:12])}." for word, names in groups.items())


def overview(evidence: Mapping[str, Any]) -> list[Line]:
    """A line a task, in the evidence's order."""
    found = []
    for k, (name, part) in enumerate(list(parts_of(evidence).items())[:LINES], 1):
        verdict, ours = mapping(part.get("verdict")), tuned(part)
        metric = string(verdict.get("metric")) or next(iter(task_of(part).ladder))
        other = next((one for one in rows(part.get("contenders")) if one.get("name") == verdict.get("against")), {})
        said = outcome(part)
        low, high = (write_change(metric, verdict.get(key)) for key in ("low", "high"))
        bounds = f"[{low}, {high}]" if number(verdict.get("low")) is not None else ""
        theirs = write_figure(metric, mapping(other.get("metrics")).get(metric)) if other else Figure("–")
        found.append(
            Line(
                shortened(name, 40),
                f"task-{k}" if k <= MOST_PARTS else "",
                kind_of(said),
                f"{SIGNS.get(said, '○')} {WORDS.get(said, 'No verdict')}",
                task_of(part).name.replace("_", " "),
                metric_title(metric).partition(" (")[0],
                write_figure(metric, mapping(ours.get("metrics")).get(metric)),
                theirs,
                contender_title(part, verdict.get("against")) if other else "",
                Figure(write_change(metric, verdict.get("effect")), bounds),
                p_value(verdict.get("p_holm")),
                count(part.get("items")),
            )
        )
    return found


def transfer(evidence: Mapping[str, Any]) -> list[Transfer]:
    """Rows of transfer, those of one unit and direction together."""
    groups: dict[tuple[str, bool], list[Mapping[str, Any]]] = {}
    for one in rows(evidence.get("transfer"))[:LINES]:
        name = string(one.get("metric"))
        groups.setdefault((unit_of(name), name in LOWER), []).append(one)
    return [_group(found, lower) for (_, lower), found in groups.items()]


def _group(found: Sequence[Mapping[str, Any]], lower: bool) -> Transfer:
    intervals = [read_interval(one.get("difference")) for one in found]
    known = [value for interval in intervals for value in interval.known]
    axis = domain([0.0, *known]) if known else None
    first = string(found[0].get("metric"))
    unit = unit_of(first)
    named = {"share": "percentage points", "correlation": "correlation"}.get(unit, short_title(first))
    sides = ("together is better", "alone is better") if lower else ("alone is better", "together is better")
    changes = [_change(one, interval, axis) for one, interval in zip(found, intervals, strict=True)]
    write = partial(_tick, 100.0 if unit == "share" else 1.0)
    return Transfer(f"Difference in {named}", sides, changes, charts.strip_axis(axis, write) if axis else None)


def _tick(scale: float, value: float) -> str:
    """A difference at an axis, with its sign."""
    return ("+" if value > 0 else "") + compact(round(scale * value, 9))


def _change(one: Mapping[str, Any], interval: Interval, axis: tuple[float, float] | None) -> Change:
    metric, said = string(one.get("metric")), string(one.get("verdict"))
    task = shortened(string(one.get("task"), "(unnamed)"), 40)
    low, high = (write_change(metric, end) for end in (interval.low, interval.high))
    figure = Figure(write_change(metric, interval.value), f"[{low}, {high}]" if interval.low is not None else "")
    word = WORDS.get(said, shortened(said, 40) or "No verdict")
    told = f"{task}, {metric_title(metric)}: {figure.text} {figure.bounds}; {word}"
    return Change(
        task,
        metric_title(metric).partition(" (")[0],
        write_figure(metric, one.get("alone")),
        write_figure(metric, one.get("together")),
        figure,
        p_value(one.get("p")),
        kind_of(said),
        f"{SIGNS.get(said, '○')} {word}",
        distributions.change(interval, axis, kind_of(said), told) if axis else None,
    )


def weights(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The weight of each task in the loss, as the evidence gives it: rows, or weights by task."""
    found = evidence.get("weights")
    if isinstance(found, dict):
        pairs = list(found.items())
    else:
        pairs = [(one.get("task", one.get("name")), one.get("weight", one.get("value"))) for one in rows(found)]
    return [(shortened(string(name, "(unnamed)"), 40), compact(value)) for name, value in pairs[:LINES]]


def shown(files: RunFiles) -> list[tuple[str, RunFiles]]:
    """Anchor and files of each task that is shown with all its sections."""
    return [(f"task-{k}", part) for k, part in enumerate(list(files.parts.values())[:MOST_PARTS], 1)]
