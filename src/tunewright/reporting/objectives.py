"""What an objective is made of, over the training: the parts of the loss, what it watches, the weights of tasks.

A row of history.jsonl has `parts` (of the loss), `watched` (only reported: a reward's accuracy, a margin, a divergence)
and `weights` (of several tasks, where they are learnt).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tunewright.reporting import charts
from tunewright.reporting.charts import Frame, Series
from tunewright.reporting.formatting import compact, count, decimal, number, percent, shortened
from tunewright.reporting.loading import RunFiles
from tunewright.reporting.svg import smoothed
from tunewright.reporting.values import mapping

MOST = 6
"""Curves of one chart, and charts of what is watched, at most."""

WATCHED = {
    "reward_accuracy": "Reward accuracy",
    "accuracy": "Accuracy",
    "margin": "Margin of the rewards",
    "kl": "KL divergence from the reference",
}
"""What objectives are known to watch; other names are shown as they are."""

Row = Mapping[str, Any]
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One chart with its heading, its legend (name, style) and a sentence."""

    heading: str
    legend: Sequence[tuple[str, str]]
    chart: Markup
    note: str = ""


def points_of(lines: Sequence[Row], value: Callable[[Row], Any]) -> Points:
    """Step and value of every row that has both, by step."""
    found = ((number(row.get("step")), number(value(row))) for row in lines)
    return sorted({x: y for x, y in found if x is not None and y is not None}.items())


def smooth(raw: Sequence[tuple[float, float]]) -> tuple[Points, float]:
    """A moving average of a curve, and over about how many steps it goes."""
    span = max(1.0, min(50.0, len(raw) / 12))
    return list(zip((x for x, _ in raw), smoothed([y for _, y in raw], span), strict=True)), span


def percent_axis(value: float) -> str:
    """An axis label in whole percent, or with one decimal where that matters."""
    return percent(value, 0 if abs(100 * value - round(100 * value)) < 1e-6 else 1)


def panel(heading: str, frame: Frame, series: Sequence[Series], note: str = "") -> Panel:
    """A chart of these curves; those without a point are left out of the legend."""
    legend = [(one.name, one.style) for one in series if one.points]
    if frame.best is not None:
        legend.append((f"weights kept (step {count(frame.best)})", "best"))
    return Panel(heading, legend, charts.curves(frame, series), note or frame.description)


def panels(files: RunFiles) -> list[Panel]:
    """Parts of the loss where it has several, weights of tasks, and a chart for each thing that is watched."""
    watched = _names(files.history, "watched")
    parts = [name for name in _names(files.history, "parts") if name not in watched]
    known = [name for name in parts if name in WATCHED and name != "accuracy"] if len(parts) > 1 else []
    parts = [name for name in parts if name not in known]
    found = [_together(files.history, "parts", parts) if len(parts) > 1 else None]
    found.append(_together(files.history, "weights", _names(files.history, "weights")))
    found += [_alone(files.history, name) for name in [*watched, *known][:MOST]]
    return [one for one in found if one is not None]


def supervised(history: Sequence[Row]) -> float:
    """Tokens that were learnt from, over all steps; 0 where the unit is another."""
    found = (number(mapping(row.get("totals")).get("token")) for row in history)
    return sum(value for value in found if value is not None)


def _names(history: Sequence[Row], key: str) -> list[str]:
    """The names that any row has under a key, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in history for name in mapping(row.get(key))))


def _pick(key: str, name: str) -> Callable[[Row], Any]:
    return lambda row: mapping(row.get(key)).get(name)


HEADINGS = {
    "parts": ("Parts of the loss", "Smoothed; together they make the loss."),
    "weights": ("Weights of the tasks", "By how much each task counts in the loss."),
}


def _together(history: Sequence[Row], key: str, names: Sequence[str]) -> Panel | None:
    """Curves of one unit in one chart."""
    curves = {name: points_of(history, _pick(key, name)) for name in names}
    curves = {name: found for name, found in curves.items() if found}
    if not curves:
        return None
    drawn = list(curves.items())[:MOST]
    series = [
        Series(shortened(name.replace("_", " "), 40), f"part-{k}", smooth(found)[0] if key == "parts" else found)
        for k, (name, found) in enumerate(drawn, 1)
    ]
    heading, note = HEADINGS[key]
    told = " ".join(f"{one.name} from {decimal(one.points[0][1])} to {decimal(one.points[-1][1])}." for one in series)
    more = f" {count(len(curves) - MOST)} more stand in history.jsonl." if len(curves) > MOST else ""
    low = min(y for one in series for _, y in one.points)
    frame = Frame(f"{heading} over training", told, from_zero=low >= 0)
    return panel(heading, frame, series, note + " " + told + more)


def _alone(history: Sequence[Row], name: str) -> Panel | None:
    """What is only watched, in a chart of its own: each has a unit of its own."""
    raw = points_of(history, lambda row: mapping(row.get("watched")).get(name, mapping(row.get("parts")).get(name)))
    if not raw:
        return None
    smoothly, span = smooth(raw)
    title = WATCHED.get(name) or shortened(name.replace("_", " ").capitalize(), 40)
    share = "accuracy" in name and all(0 <= y <= 1 for _, y in raw)
    write = percent_axis if share else compact
    ends = (percent(smoothly[k][1]) if share else decimal(smoothly[k][1]) for k in (0, -1))
    told = f"{title} from {next(ends)} to {next(ends)}, smoothed over about {span:.0f} steps. Watched, not minimised."
    low, high = (0.0, 1.0) if share else (None, None)
    frame = Frame(f"{title} over training", told, write, low=low, high=high)
    return panel(title, frame, [Series("each step", "raw", raw), Series("smoothed", "tuned", smoothly)])
