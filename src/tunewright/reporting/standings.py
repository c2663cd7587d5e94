"""The same figures as plain tables, for the terminal: the ladder of contenders, the labels, the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewright.reporting.answers import rival
from tunewright.reporting.conversations import summary
from tunewright.reporting.corpus import corpus
from tunewright.reporting.figures import LOWER, write_change, write_metric
from tunewright.reporting.formatting import ABSENT, count, shortened
from tunewright.reporting.loading import quoted
from tunewright.reporting.replies import untuned
from tunewright.reporting.results import contender_title, tuned
from tunewright.reporting.tasks import (
    CHAT,
    CLASSIFICATION,
    LANGUAGE_MODELING,
    MULTILABEL,
    PREFERENCE,
    REGRESSION,
    REPLIES,
    REWARD,
    SEQ2SEQ,
    TOKEN_CLASSIFICATION,
    parts_of,
    task_of,
)
from tunewright.reporting.values import mapping, rows, string

LADDERS = {
    CLASSIFICATION.name: ("accuracy", "f1_macro", "log_loss"),
    MULTILABEL.name: ("f1_micro", "f1_macro", "subset_accuracy"),
    REGRESSION.name: ("pearson", "spearman", "mae"),
    TOKEN_CLASSIFICATION.name: ("f1", "precision", "recall"),
    CHAT.name: ("loss", "rougeL", "bleu", "chrf"),
    SEQ2SEQ.name: ("chrf", "bleu", "rougeL", "loss"),
    LANGUAGE_MODELING.name: ("bits_per_byte", "perplexity"),
    PREFERENCE.name: ("accuracy", "margin"),
    REWARD.name: ("accuracy", "margin"),
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
    "bits_per_byte": "bits a byte",
    "loss": "loss a token",
    "rougeL": "ROUGE-L",
    "rougeLsum": "ROUGE-Lsum",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "bleu": "BLEU",
    "chrf": "chrF",
    "exact_match": "exact match",
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
    names = list(LADDERS.get(task.name, task.ladder))
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
    ours = next((one for one in rows(evidence.get("contenders")) if one.get("role") == "tuned"), {})
    labels, targets = rows(ours.get("per_label")), rows(ours.get("per_target"))
    if task is MULTILABEL and labels:
        labels.sort(key=lambda one: -(one.get("support") or 0))
        return _parts(labels, "label", ("support", "precision", "recall", "f1"))
    if task is TOKEN_CLASSIFICATION and rows(ours.get("per_type")):
        found = sorted(rows(ours.get("per_type")), key=lambda one: -(one.get("support") or 0))
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


@dataclass(frozen=True)
class Sample:
    """One item of generated texts: what was asked, and (who, what was said) of the gold and of two contenders."""

    asked: str
    said: Sequence[tuple[str, str]]
    of: int


def sample(evidence: Mapping[str, Any], folder: Path | None = None, characters: int = 320) -> Sample | None:
    """The first sample of a task that generates texts; None where there is none. `folder`: the run with its rows."""
    found = rows(evidence.get("samples"))
    if not found or task_of(evidence).name not in REPLIES:
        return None
    one, outputs = found[0], mapping(found[0].get("outputs"))
    item = None if folder is None else quoted(folder, evidence).get(string(one.get("id")))
    asked = "" if item is None else summary(item.text) if task_of(evidence) is CHAT else item.text
    names = [name for name in (string(tuned(evidence).get("name")), untuned(evidence)) if name in outputs]
    said = [("gold", string(one.get("gold")))]
    said += [(contender_title(evidence, name), string(outputs[name])) for name in names]
    cut = [(who, shortened(text.strip(), characters) or "(empty)") for who, text in said]
    return Sample(shortened(asked.strip(), characters), cut, len(found))


def tasks(evidence: Mapping[str, Any]) -> Table | None:
    """A task a line, where the evidence is of several."""
    lines = []
    for name, part in parts_of(evidence).items():
        verdict = mapping(part.get("verdict"))
        lead = string(verdict.get("metric")) or task_of(part).ladder[0]
        metrics = [mapping(one.get("metrics")).get(lead) for one in (tuned(part), rival(part))]
        cells = [written(lead, metrics[0]), spread(lead, metrics[0]), written(lead, metrics[1])]
        lines.append([name, string(verdict.get("outcome"), "no verdict"), named(lead), *cells])
    columns = ["task", "verdict", "by", "tuned", "interval", "baseline"]
    return Table(columns, lines[:MOST], left=max(0, len(lines) - MOST)) if lines else None


def transfer(evidence: Mapping[str, Any]) -> Table | None:
    """Each task alone against together, where the evidence has it."""
    found = rows(evidence.get("transfer"))
    lines = []
    for one in found[:MOST]:
        name, change = string(one.get("metric")), mapping(one.get("difference"))
        ends = [write_change(name, change.get(end)) for end in ("low", "high")]
        sides = [written(name, one.get(side)) for side in ("alone", "together")]
        difference = f"{write_change(name, change.get('value'))} ({ends[0]} to {ends[1]})"
        lines.append([string(one.get("task")), named(name), *sides, difference, string(one.get("verdict"), ABSENT)])
    columns = ["task", "by", "alone", "together", "difference", "together is"]
    return Table(columns, lines, left=max(0, len(found) - MOST)) if lines else None


def texts(facts: Mapping[str, Any]) -> list[str]:
    """Lines of `check` on texts that are no classes: their form, turns, lengths."""
    found = corpus(facts)
    said = (f"{title[:1].lower()}{title[1:].replace(',', '')} {value}" for title, value in found.facts)
    lines = ["texts:   " + "; ".join(said)] if found.facts else []
    for _, columns, table in found.tables:
        for name, cells in table:
            each = ", ".join(f"{head.lower()} {cell}" for head, cell in zip(columns, cells, strict=True))
            unit = "" if "Bytes" in columns else " characters"
            lines.append(f"{name.lower() + ':':<9}".ljust(len(name) + 2) + each + unit)
    return lines


def reached(row: Mapping[str, Any]) -> tuple[str, str]:
    """The name and the figure of what a listed run is judged by: its `metric` and `value`, or its accuracy."""
    name = string(row.get("metric"), "accuracy")
    return named(name), written(name, {"value": row.get("value", row.get("accuracy"))})


def shown(task: str, verdict: Mapping[str, Any] | None, figures: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """One contender's leading metric: (name, value, interval); None where it has no metric."""
    deciding = "accuracy" if task == CLASSIFICATION.name else string(mapping(verdict).get("metric"))
    lead = next((name for name in (deciding, *figures) if name in figures), None)
    return None if lead is None else (named(lead), written(lead, figures[lead]), spread(lead, figures[lead]))
