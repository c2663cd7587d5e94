"""The same figures as plain tables, for the terminal: the ladder of contenders, the labels, the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.reporting.figures import LOWER, write_metric
from tunewright.reporting.formatting import ABSENT, count
from tunewright.reporting.loading import mapping, rows, string
from tunewright.reporting.tasks import CLASSIFICATION, MULTILABEL, REGRESSION, TOKEN_CLASSIFICATION, task_of

LADDERS = {
    CLASSIFICATION.name: ("accuracy", "f1_macro", "log_loss"),
    MULTILABEL.name: ("f1_micro", "f1_macro", "subset_accuracy"),
    REGRESSION.name: ("pearson", "spearman", "mae"),
    TOKEN_CLASSIFICATION.name: ("f1", "precision", "recall"),
}
NAMES = {
    "f1_micro": "micro F1",
    "f1_macro": "macro F1",
    "log_loss": "log-loss",
    "subset_accuracy": "exact set",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "mae": "mean error",
    "rmse": "RMSE",
    "mse": "MSE",
    "r2": "R²",
    "support": "items",
    "f1": "F1",
}
MOST = 12
"""Labels or targets that a terminal shows."""


@dataclass(frozen=True)
class Table:
    """Column heads and lines of cells; the first column is text, `bold` is the tuned model's line, `left` what is not
    shown."""

    columns: Sequence[str]
    lines: Sequence[Sequence[str]]
    bold: int | None = None
    left: int = 0


def named(metric: str) -> str:
    """A metric's name at the head of a column."""
    return NAMES.get(metric, metric.replace("_", " "))


def written(name: str, metric: Any) -> str:
    """A metric's value, or a dash."""
    return write_metric(name, mapping(metric).get("value"))


def spread(name: str, metric: Any) -> str:
    """The interval of a metric, or a dash."""
    found = mapping(metric)
    if found.get("low") is None or found.get("high") is None:
        return ABSENT
    low, high = (write_metric(name, found[end]).rstrip("%") for end in ("low", "high"))
    return f"{low} to {high}"


def ladder(evidence: Mapping[str, Any]) -> Table:
    """A contender a line, the best first; the first metric has its interval beside it."""
    lead, *others = _leading(evidence)
    columns = ["", named(lead), f"{100 * evidence['confidence']:g}% interval", *map(named, others)]
    ordered = sorted(rows(evidence.get("contenders")), key=lambda one: _rung(lead, one))
    lines = []
    for one in ordered:
        metrics = mapping(one.get("metrics"))
        cells = [written(lead, metrics.get(lead)), spread(lead, metrics.get(lead))]
        lines.append([string(one.get("title")), *cells, *(written(name, metrics.get(name)) for name in others)])
    return Table(columns, lines, next((k for k, one in enumerate(ordered) if one.get("role") == "tuned"), None))


def _leading(evidence: Mapping[str, Any]) -> list[str]:
    """The metrics of the ladder; where the verdict goes by another, that one leads, except in classification."""
    task = task_of(evidence)
    names = list(LADDERS[task.name])
    deciding = string(mapping(evidence.get("verdict")).get("metric"))
    if task is CLASSIFICATION or not deciding:
        return names
    return [deciding, *(name for name in names if name != deciding)]


def _rung(name: str, one: Mapping[str, Any]) -> tuple[bool, float]:
    """The best first; what has no value last."""
    value = mapping(mapping(one.get("metrics")).get(name)).get("value")
    return value is None, (value or 0.0) * (1 if name in LOWER else -1)


def parts(evidence: Mapping[str, Any]) -> Table | None:
    """The tuned model's figures for its most frequent labels or types, or for each of several targets; else None."""
    task = task_of(evidence)
    tuned = next((one for one in rows(evidence.get("contenders")) if one.get("role") == "tuned"), {})
    labels, targets = rows(tuned.get("per_label")), rows(tuned.get("per_target"))
    if task is MULTILABEL and labels:
        labels.sort(key=lambda one: -(one.get("support") or 0))
        return _parts(labels, "label", ("support", "precision", "recall", "f1"))
    if task is TOKEN_CLASSIFICATION and rows(tuned.get("per_type")):
        found = sorted(rows(tuned.get("per_type")), key=lambda one: -(one.get("support") or 0))
        found = [{**one, "entities": one.get("support")} for one in found]
        return _parts(found, "type", ("entities", "precision", "recall", "f1"))
    if task is REGRESSION and len(targets) > 1:
        return _parts(targets, "target", ("pearson", "spearman", "mae", "rmse"))
    return None


def _parts(found: Sequence[Mapping[str, Any]], key: str, columns: Sequence[str]) -> Table:
    lines = [
        [
            string(one.get(key)),
            *(count(one.get(n)) if n in ("support", "entities") else written(n, one.get(n)) for n in columns),
        ]
        for one in found[:MOST]
    ]
    return Table([key, *map(named, columns)], lines, left=max(0, len(found) - MOST))


def reached(row: Mapping[str, Any]) -> tuple[str, str]:
    """The name and the figure of what a listed run is judged by: its `metric` and `value`, or its accuracy."""
    name = string(row.get("metric"), "accuracy")
    return named(name), written(name, {"value": row.get("value", row.get("accuracy"))})


def shown(task: str, verdict: Mapping[str, Any] | None, figures: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """One contender's leading metric: (name, value, interval); None where it has no metric."""
    deciding = "accuracy" if task == CLASSIFICATION.name else string(mapping(verdict).get("metric"))
    lead = next((name for name in (deciding, *figures) if name in figures), None)
    return None if lead is None else (named(lead), written(lead, figures[lead]), spread(lead, figures[lead]))
