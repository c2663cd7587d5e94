"""How the training went: curves of loss, metrics, rate and gradient norm, and what it cost in time and memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tunewright.reporting import charts
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
from tunewright.reporting.loading import RunFiles, mapping, rows, string
from tunewright.reporting.results import contender_title
from tunewright.reporting.svg import smoothed
from tunewright.reporting.tasks import task_of


@dataclass(frozen=True)
class Panel:
    """One chart with its heading, its legend (name, style) and a sentence."""

    heading: str
    legend: Sequence[tuple[str, str]]
    chart: Markup
    note: str = ""


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
    found = [_loss(files, best), _metrics(files, best), _rate(files), _norm(files)]
    names = sorted({name for row in files.evaluations for name in mapping(row.get("metrics"))})
    columns: list[str] = [name for name in ("loss", *task_of(files.evidence).watched) if name in names]
    columns += [name for name in names if name not in columns][: 6 - len(columns)]
    return Course(
        [panel for panel in found if panel is not None],
        ["Step", "Epoch", *("Loss" if name == "loss" else metric_title(name) for name in columns)],
        [_validation(row, columns, best) for row in files.evaluations[:200]],
        _facts(mapping(files.run.get("training"))),
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


def _points(lines: Sequence[Mapping[str, Any]], value: Callable[[Mapping[str, Any]], Any]) -> list[tuple[float, float]]:
    found = ((number(row.get("step")), number(value(row))) for row in lines)
    return sorted({x: y for x, y in found if x is not None and y is not None}.items())


def _metric(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda row: mapping(row.get("metrics")).get(name)


def _loss(files: RunFiles, best: float | None) -> Panel | None:
    raw = _points(files.history, lambda row: row.get("loss"))
    held = _points(files.evaluations, _metric("loss"))
    if not raw and not held:
        return None
    smooth, span = _smooth(raw)
    series = [Series("training, each step", "raw", raw), Series("training, smoothed", "tuned", smooth)]
    series.append(Series("validation", "held", held, dots=True))
    ends = f"Training loss from {decimal(smooth[0][1])} to {decimal(smooth[-1][1])}. " if smooth else ""
    told = f"Validation loss from {decimal(held[0][1])} to {decimal(held[-1][1])}." if held else "No validation loss."
    frame = Frame("Loss over training", ends + told, best=best, from_zero=True)
    note = f"Smoothed: exponential moving average over about {span:.0f} steps." if raw else ""
    return _panel("Loss", frame, series, note)


def _smooth(raw: Sequence[tuple[float, float]]) -> tuple[list[tuple[float, float]], float]:
    span = max(1.0, min(50.0, len(raw) / 12))
    return list(zip((x for x, _ in raw), smoothed([y for _, y in raw], span), strict=True)), span


def _metrics(files: RunFiles, best: float | None) -> Panel | None:
    names = {name for row in files.evaluations for name in mapping(row.get("metrics"))}
    chosen = _watched(task_of(files.evidence).watched, names)
    series = [
        Series(metric_title(name), style, _points(files.evaluations, _metric(name)), dots=True)
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
    return _panel("Validation metrics", frame, series)


def _watched(task: Sequence[str], names: set[str]) -> dict[str, str]:
    """The metrics that are drawn, on one axis, with their styles: the task's, else the first that there is."""
    chosen = dict(zip(task, ("tuned", "held"), strict=False))
    found = {name: style for name, style in chosen.items() if name in names}
    other = sorted(names - DECIMALS) or sorted(names - {"loss"})
    return found or dict.fromkeys(other[:1], "tuned")


def percent_axis(value: float) -> str:
    """An axis label in whole percent, or with one decimal where that matters."""
    return percent(value, 0 if abs(100 * value - round(100 * value)) < 1e-6 else 1)


def _rate(files: RunFiles) -> Panel | None:
    found = _points(files.history, lambda row: row.get("rate"))
    if not found:
        return None
    peak = max(y for _, y in found)
    told = f"Highest {compact(peak)}, last {compact(found[-1][1])}."
    frame = Frame("Learning rate over training", told, from_zero=True)
    return _panel("Learning rate", frame, [Series("learning rate", "tuned", found)])


def _norm(files: RunFiles) -> Panel | None:
    found = _points(files.history, lambda row: row.get("gradient_norm"))
    if not found:
        return None
    ordered = sorted(y for _, y in found)
    middle, top = ordered[len(ordered) // 2], ordered[-1]
    frame = Frame("Gradient norm over training", f"Median {compact(middle)}, highest {compact(top)}.", from_zero=True)
    return _panel(
        "Gradient norm", frame, [Series("each step", "raw", found), Series("smoothed", "tuned", _smooth(found)[0])]
    )


def _panel(heading: str, frame: Frame, series: Sequence[Series], note: str = "") -> Panel:
    legend = [(one.name, one.style) for one in series if one.points]
    if frame.best is not None:
        legend.append((f"weights kept (step {count(frame.best)})", "best"))
    return Panel(heading, legend, charts.curves(frame, series), note or frame.description)


def _facts(training: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not training:
        return []
    stopped = training.get("stopped_early")
    facts = [("Optimizer steps", count(training.get("steps"))), ("Epochs", compact(training.get("epochs")))]
    facts += [("Examples seen", count(training.get("examples"))), ("Tokens seen", count(training.get("tokens")))]
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
