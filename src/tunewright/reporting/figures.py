"""How a metric's name, its value, its interval and a difference of two of its values are printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tunewright.reporting.charts import Interval
from tunewright.reporting.formatting import ABSENT, decimal, difference, measured, number, percent, points
from tunewright.reporting.values import mapping, string

TITLES = {
    "bits_per_byte": "Bits per byte (lower is better)",
    "perplexity": "Perplexity (lower is better)",
    "accuracy": "Accuracy",
    "margin": "Margin of the rewards",
    "balanced_accuracy": "Balanced accuracy",
    "f1": "F1, entities",
    "precision": "Precision, entities",
    "recall": "Recall, entities",
    "f1_macro": "F1, macro",
    "f1_micro": "F1, micro",
    "f1_weighted": "F1, weighted",
    "f1_samples": "F1, per item",
    "subset_accuracy": "Exact-set accuracy",
    "precision_macro": "Precision, macro",
    "precision_micro": "Precision, micro",
    "precision_weighted": "Precision, weighted",
    "recall_macro": "Recall, macro",
    "recall_micro": "Recall, micro",
    "recall_weighted": "Recall, weighted",
    "hamming_loss": "Hamming loss (lower is better)",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "r2": "R² (share of the variance explained)",
    "mae": "Mean absolute error (lower is better)",
    "rmse": "Root mean squared error (lower is better)",
    "mse": "Mean squared error (lower is better)",
    "mcc": "Matthews correlation",
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "log_loss": "Log loss (lower is better)",
    "brier": "Brier score (lower is better)",
    "ece": "Calibration error, ECE (lower is better)",
    "loss": "Loss, nats a token (lower is better)",
    "chrf": "chrF",
    "bleu": "BLEU",
    "rougeL": "ROUGE-L",
    "rougeLsum": "ROUGE-Lsum",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "exact_match": "Exact match",
    "length_ratio": "Length ratio (output to gold)",
}
"""Metrics in the order in which they are shown; others follow under their own names."""

WITHIN = {
    "f1": "entity F1",
    "precision": "entity precision",
    "recall": "entity recall",
    "f1_micro": "micro F1",
    "f1_macro": "macro F1",
    "f1_samples": "F1 per item",
    "hamming_loss": "Hamming loss",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "r2": "R²",
    "chrf": "chrF",
    "bleu": "BLEU",
    "rougeL": "ROUGE-L",
    "rougeLsum": "ROUGE-Lsum",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
}
"""Names within a sentence that are not the title in small letters."""

SCALED = frozenset({"mae", "rmse", "mse", "perplexity", "margin"})
"""Metrics in a unit of their own (the target's, its square, tokens, rewards), whatever its size."""

HUNDREDTHS = frozenset({"bleu", "chrf"})
"""Metrics that run from 0 to 100 by custom."""

DECIMALS = (
    frozenset(
        {
            "bits_per_byte",
            "length_ratio",
            "mcc",
            "roc_auc",
            "pr_auc",
            "log_loss",
            "brier",
            "loss",
            "pearson",
            "spearman",
            "r2",
        }
    )
    | SCALED
    | HUNDREDTHS
)
"""Metrics that are written as plain numbers; all others are shares, written as percentages."""

LOWER = frozenset({"log_loss", "brier", "ece", "loss", "hamming_loss", "bits_per_byte"}) | SCALED - {"margin"}
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
    if name in SCALED:
        return measured(value)
    if name in HUNDREDTHS:
        return decimal(value, 1)
    return decimal(value) if name in DECIMALS else percent(value)


def write_change(name: str, value: Any) -> str:
    """A difference of two values of a metric: in percentage points, or in the metric's own unit."""
    if name in SCALED:
        return measured(value, sign=True)
    if name in HUNDREDTHS:
        return difference(value, 1)
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
    return WITHIN.get(name) or metric_title(name).partition(" (")[0].lower()


def unit_of(name: str) -> str:
    """What two metrics must share to stand on one axis: shares do, plain numbers are each their own."""
    return "correlation" if name in ("pearson", "spearman") else name if name in DECIMALS else "share"
