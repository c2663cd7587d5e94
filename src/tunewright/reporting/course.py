"""How the training went: curves of loss, metrics, rate and gradient norm, and what it cost in time and memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tunewright.reporting import charts, objectives
from tunewright.reporting.charts import Frame, Series
from tunewright.reporting.figures import DECIMALS, metric_title, unit_of, write_metric
from tunewright.reporting.formatting import (
    compact,
    count,
    decimal,
    duration,
    memory,
    number,
    percent,
)
from tunewright.reporting.loading import RunFiles
from tunewright.reporting.objectives import Panel, panel, percent_axis, points_of, smooth
from tunewright.reporting.results import contender_title
from tunewright.reporting.tasks import task_of
from tunewright.reporting.values import mapping, rows, string


@dataclass(frozen=True)
class Course:
    """The training as charts, the validations as a table."""

    panels: Sequence[Panel]
    columns: Sequence[str]
    validations: Sequence[tuple[Sequence[str], bool]]
    facts: Sequence[tuple[str, str]]


def course(files: RunFiles) -> Course:
    """All panels that the history and the evaluations allow; none where both are missing."""
    best = best_step(files)
    found = [_loss(files, best), *objectives.panels(files), _metrics(files, best), _rate(files), _norm(files)]
    names = sorted({name for row in files.evaluations for name in mapping(row.get("metrics"))})
    columns: list[str] = [name for name in ("loss", *task_of(files.evidence).watched) if name in names]
    columns += [name for name in names if name not in columns][: 6 - len(columns)]
    return Course(
        [panel for panel in found if panel is not None],
        ["Step", "Epoch", *("Loss" if name == "loss" else metric_title(name) for name in columns)],
        [_validation(row, columns, best) for row in files.evaluations[:200]],
        _facts(files),
    )


def best_step(files: RunFiles) -> float | None:
    """The step whose weights were kept: run.json's, else the last evaluation that was marked best."""
    told = number(mapping(files.run.get("training")).get("best_step"))
    if told is not None:
        return told
    return next((number(row.get("step")) for row in reversed(files.evaluations) if row.get("best") is True), None)


def _validation(row: Mapping[str, Any], columns: Sequence[str], best: float | None) -> tuple[list[str], bool]:
    metrics = mapping(row.get("metrics"))
    cells = [count(row.get("step")), decimal(row.get("epoch"), 2)]
    cells += [write_metric(name, metrics.get(name)) for name in columns]
    return cells, best is not None and number(row.get("step")) == best


def _metric(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda row: mapping(row.get("metrics")).get(name)


def _loss(files: RunFiles, best: float | None) -> Panel | None:
    raw = points_of(files.history, lambda row: row.get("loss"))
    held = points_of(files.evaluations, _metric("loss"))
    if not raw and not held:
        return None
    smoothly, span = smooth(raw)
    series = [Series("training, each step", "raw", raw), Series("training, smoothed", "tuned", smoothly)]
    series.append(Series("validation", "held", held, dots=True))
    ends = f"Training loss from {decimal(smoothly[0][1])} to {decimal(smoothly[-1][1])}. " if smoothly else ""
    told = f"Validation loss from {decimal(held[0][1])} to {decimal(held[-1][1])}." if held else "No validation loss."
    frame = Frame("Loss over training", ends + told, best=best, from_zero=True)
    note = f"Smoothed: exponential moving average over about {span:.0f} steps." if raw else ""
    return panel("Loss", frame, series, note)


def _metrics(files: RunFiles, best: float | None) -> Panel | None:
    names = {name for row in files.evaluations for name in mapping(row.get("metrics"))}
    chosen = _watched(task_of(files.evidence).watched, names)
    series = [
        Series(metric_title(name), style, points_of(files.evaluations, _metric(name)), dots=True)
        for name, style in chosen.items()
    ]
    if not any(one.points for one in series):
        return None
    told = " ".join(
        f"{one.name} from {write_metric(name, one.points[0][1])} to {write_metric(name, one.points[-1][1])}."
        for name, one in zip(chosen, series, strict=True)
        if one.points
    )
    shares = all(0 <= y <= 1 for one in series for _, y in one.points)
    low, high = (0.0, 1.0) if shares and unit_of(next(iter(chosen))) in ("share", "correlation") else (None, None)
    write = compact if next(iter(chosen)) in DECIMALS else percent_axis
    frame = Frame("Validation metrics over training", told, write, best, low=low, high=high)
    return panel("Validation metrics", frame, series)


def _watched(task: Sequence[str], names: set[str]) -> dict[str, str]:
    """The metrics that are drawn, on one axis, with their styles: the task's, else the first that there is."""
    chosen = dict(zip(task, ("tuned", "held"), strict=False))
    found = {name: style for name, style in chosen.items() if name in names}
    if not task:
        shares = sorted(name for name in names if name.rpartition(".")[2].rpartition("/")[2] not in DECIMALS)
        return {name: f"part-{k}" for k, name in enumerate(shares[: objectives.MOST], 1)}
    other = sorted(names - DECIMALS) or sorted(names - {"loss"})
    return found or dict.fromkeys(other[:1], "tuned")


def _rate(files: RunFiles) -> Panel | None:
    found = points_of(files.history, lambda row: row.get("rate"))
    if not found:
        return None
    peak = max(y for _, y in found)
    told = f"Highest {compact(peak)}, last {compact(found[-1][1])}."
    frame = Frame("Learning rate over training", told, from_zero=True)
    return panel("Learning rate", frame, [Series("learning rate", "tuned", found)])


def _norm(files: RunFiles) -> Panel | None:
    found = points_of(files.history, lambda row: row.get("gradient_norm"))
    if not found:
        return None
    ordered = sorted(y for _, y in found)
    middle, top = ordered[len(ordered) // 2], ordered[-1]
    frame = Frame("Gradient norm over training", f"Median {compact(middle)}, highest {compact(top)}.", from_zero=True)
    return panel(
        "Gradient norm", frame, [Series("each step", "raw", found), Series("smoothed", "tuned", smooth(found)[0])]
    )


def _facts(files: RunFiles) -> list[tuple[str, str]]:
    training = mapping(files.run.get("training"))
    if not training:
        return []
    stopped = training.get("stopped_early")
    facts = [("Optimizer steps", count(training.get("steps"))), ("Epochs", compact(training.get("epochs")))]
    facts += [("Examples seen", count(training.get("examples"))), ("Tokens seen", count(training.get("tokens")))]
    learnt = objectives.supervised(files.history)
    facts += [("Tokens learnt from", count(learnt))] if learnt else []
    facts.append(("Stopped early", "yes" if stopped is True else "no" if stopped is False else "not recorded"))
    return facts


@dataclass(frozen=True)
class Cost:
    """Time, speed and memory."""

    stages: Sequence[tuple[str, str, Markup | None]]
    speed: Sequence[tuple[str, str]]
    latencies: Sequence[tuple[str, str]]


SPEEDS = {
    "train_examples_per_second": "Training, examples a second",
    "train_tokens_per_second": "Training, tokens a second",
    "train_supervised_tokens_per_second": "Training, supervised tokens a second",
    "generated_tokens_per_second": "Generation, tokens a second",
    "predict_examples_per_second": "Prediction, examples a second",
}


def cost(files: RunFiles) -> Cost:
    """Where the time went, how fast it was, and the most memory that was held."""
    timings, speed = mapping(files.run.get("timings")), mapping(files.run.get("speed"))
    total = number(timings.get("total"))
    whole = total or sum(found for found in map(number, timings.values()) if found is not None)
    stages = [(_spoken(name), duration(value), _bar(name, value, whole)) for name, value in timings.items()]
    rates = [(title, count(speed[key])) for key, title in SPEEDS.items() if number(speed.get(key)) is not None]
    if number(speed.get("peak_memory_mib")) is not None:
        rates.append(("Peak memory", memory(speed.get("peak_memory_mib"))))
    latencies = [
        (contender_title(files.evidence, one.get("name")), duration(one.get("seconds_per_item")))
        for one in rows(files.evidence.get("contenders"))
        if number(one.get("seconds_per_item")) is not None
    ]
    return Cost(stages, rates, latencies)


def _spoken(name: str) -> str:
    return string(name).replace("_", " ").capitalize()


def _bar(name: str, value: Any, whole: float) -> Markup | None:
    found = number(value)
    if found is None or found < 0 or whole <= 0 or name == "total":
        return None
    parts = [("out", round(1000 * found / whole))]
    return charts.flow_bar(parts, 1000, f"{string(name)}: {percent(min(1.0, found / whole))} of the time")
