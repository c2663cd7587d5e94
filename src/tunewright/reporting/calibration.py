"""Whether the tuned model is as sure as it is right: a reliability diagram and its bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from tunewright.reporting import charts
from tunewright.reporting.charts import Axes, Bin, Interval
from tunewright.reporting.figures import Figure, write_figure
from tunewright.reporting.formatting import count, number, percent
from tunewright.reporting.results import tuned
from tunewright.reporting.tasks import CLASSIFICATION, task_of
from tunewright.reporting.values import mapping, rows


@dataclass(frozen=True)
class Calibration:
    """A reliability diagram and its bins."""

    chart: Markup | None
    lines: Sequence[Sequence[str]]
    error: Figure | None


def calibration(evidence: Mapping[str, Any]) -> Calibration:
    """The tuned contender's reliability diagram; without bins it has no chart.

    The bins hold items by the confidence of their answer, or, in multi-label, pairs of item and label by the label's
    probability.
    """
    ours = tuned(evidence)
    bins = [one for one in map(_bin, rows(mapping(ours.get("calibration")).get("bins"))) if one is not None]
    metrics, single = mapping(ours.get("metrics")), task_of(evidence) is CLASSIFICATION
    error = write_figure("ece", metrics.get("ece")) if single or "ece" in metrics else None
    lines = [
        (
            f"{percent(one.low, 0)} to {percent(one.high, 0)}",
            count(one.items),
            percent(one.confidence),
            percent(one.accuracy.value),
            f"[{percent(one.accuracy.low).rstrip('%')}, {percent(one.accuracy.high).rstrip('%')}]",
        )
        for one in bins
    ]
    if not bins:
        return Calibration(None, [], error)
    if single:
        told = "Points on the diagonal are answers as sure as they are right; the table has every bin."
        return Calibration(charts.reliability(bins, "Reliability: share right against confidence", told), lines, error)
    told = "Points on the diagonal are probabilities that hold as often as they say; the table has every bin."
    axes = Axes("pairs", "share that holds", "probability of the label")
    chart = charts.reliability(bins, "Reliability: share that holds against probability", told, axes)
    return Calibration(chart, lines, error)


def _bin(value: Mapping[str, Any]) -> Bin | None:
    low, high, items = (number(value.get(key)) for key in ("low", "high", "items"))
    confidence, accuracy = number(value.get("confidence")), number(value.get("accuracy"))
    if low is None or high is None or not items or items < 0 or confidence is None:
        return None
    spread = Interval(accuracy, number(value.get("accuracy_low")), number(value.get("accuracy_high")))
    return Bin(low, high, int(items), confidence, spread)
