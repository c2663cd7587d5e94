"""How a metric's name, its value, its interval and a difference of two of its values are printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tunewright.reporting.charts import Interval
from tunewright.reporting.formatting import ABSENT, decimal, difference, number, percent, points
from tunewright.reporting.loading import mapping, string

TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1_macro": "F1, macro",
    "f1_micro": "F1, micro",
    "f1_weighted": "F1, weighted",
    "precision_macro": "Precision, macro",
    "precision_micro": "Precision, micro",
    "precision_weighted": "Precision, weighted",
    "recall_macro": "Recall, macro",
    "recall_micro": "Recall, micro",
    "recall_weighted": "Recall, weighted",
    "mcc": "Matthews correlation",
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "log_loss": "Log loss (lower is better)",
    "brier": "Brier score (lower is better)",
    "ece": "Calibration error, ECE (lower is better)",
}
"""Metrics in the order in which they are shown; others follow under their own names."""

DECIMALS = frozenset({"mcc", "roc_auc", "pr_auc", "log_loss", "brier", "loss"})
"""Metrics that are written as plain numbers; all others are shares, written as percentages."""

LOWER = frozenset({"log_loss", "brier", "ece", "loss"})
"""Metrics of which less is better."""


@dataclass(frozen=True)
class Figure:
    """A value with its interval as printed; `reason` says why a value is absent."""

    text: str
    bounds: str = ""
    reason: str = ""


def metric_title(name: str) -> str:
    """The printed name of a metric."""
    return TITLES.get(name, name.replace("_", " "))


def write_metric(name: str, value: Any) -> str:
    """A metric's value as it is printed: a percentage, or a plain number."""
    return decimal(value) if name in DECIMALS else percent(value)


def write_change(name: str, value: Any) -> str:
    """A difference of two values of a metric: in percentage points, or in the metric's own unit."""
    return difference(value) if name in DECIMALS else points(value)


def read_interval(value: Any) -> Interval:
    """The interval in a JSON object with value, low and high."""
    found = mapping(value)
    return Interval(number(found.get("value")), number(found.get("low")), number(found.get("high")))


def write_figure(name: str, value: Any) -> Figure:
    """A metric with its interval in brackets; a metric that could not be computed shows its reason."""
    found = mapping(value)
    interval = read_interval(value)
    if interval.value is None:
        return Figure(ABSENT, reason=string(found.get("reason"), "not computed"))
    if interval.low is None or interval.high is None:
        return Figure(write_metric(name, interval.value))
    low, high = write_metric(name, interval.low), write_metric(name, interval.high)
    return Figure(write_metric(name, interval.value), f"[{low.rstrip('%')}, {high.rstrip('%')}]")


def short_title(name: str) -> str:
    """The printed name within a sentence."""
    return metric_title(name).partition(" (")[0].lower()
