"""Every metric of one contender with its interval. What is shown of one task alone is in `shapes`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.outcomes import Judged
from tunewright.core.records import Predictions
from tunewright.evaluation.intervals import Interval, bca, logit_normal, percentile, wilson
from tunewright.evaluation.resampling import Kinds, kinds, shared_draws
from tunewright.metrics import ECE, Averaged, Counted, Metric, Ranked, Task, tally, task_of
from tunewright.metrics.calibration import bin_of

Floats = NDArray[np.float64]
Draws = Mapping[tuple[str, str], Floats]
_MOST_KINDS = 2000


def averaged_metrics(task: Task) -> list[Averaged]:
    """The metrics whose resamples `tunewright.evaluation.resampling.shared_draws` makes."""
    return [metric for metric in task.metrics().values() if isinstance(metric, Averaged)]


def score(p: Judged, resamples: int, level: float, seed: int, drawn: Draws | None = None) -> dict[str, dict[str, Any]]:
    """Every metric of the predictions' task: value, low, high, method and items, or null and why.

    Args:
        p: one contender; items without a gold answer are left out.
        resamples: how many bootstrap resamples.
        level: the confidence of the intervals.
        seed: keys the resamples; the same for all contenders.
        drawn: `shared_draws` of this contender, where they are there already.
    """
    p = p.supervised()
    every = task_of(p).metrics()
    known = {name: m for name, m in every.items() if m.undefined(p) is None}
    if drawn is None:
        drawn = shared_draws([p], averaged_metrics(task_of(p)), resamples, seed)
    cells = None
    if isinstance(p, Predictions) and known:
        found = kinds(p)
        cells = found, found.draws(resamples, seed)
    result = {}
    for name, metric in every.items():
        if name not in known:
            result[name] = {"value": None, "reason": metric.undefined(p)}
            continue
        value = float(metric.value(p))
        interval = _interval(metric, value, p, cells, drawn, level).within(*metric.bounds).around(value)
        result[name] = figure(value, interval) | {"method": interval.method, "items": len(p)}
    return result


def _interval(
    metric: Metric, value: float, p: Any, cells: tuple[Kinds, Floats] | None, drawn: Draws, level: float
) -> Interval:
    """By the kind of metric."""
    if isinstance(metric, Counted) and cells is not None:
        return counted_interval(metric, p, *cells, level)
    if isinstance(metric, Ranked):
        return ranked_interval(*metric.influence(p), _scarcest(metric, p), metric.name, level)
    if isinstance(metric, Averaged):
        items = metric.items(p) if metric.binary else None
        if items is not None:
            return wilson(float(items.sum()), len(items), level)
        return _averaged_interval(metric, value, drawn[p.contender, metric.source], metric.columns(p), level)
    return Interval(None, None, "none")


def figure(value: float, interval: Interval) -> dict[str, Any]:
    """Plain values; nothing that is not finite."""
    return {"value": float(value), "low": interval.low, "high": interval.high}


def counted_interval(metric: Counted, p: Predictions, found: Kinds, draws: Floats, level: float) -> Interval:
    """Wilson where every item is right or wrong, else BCa through cells; Wilson where no resample varies."""
    items = metric.items(p)
    if items is not None:
        return wilson(float(items.sum()), len(items), level)
    samples = metric.of_tally(found.tally(draws, 0))
    value = float(metric.of_tally(tally(p)))
    known = samples[~np.isnan(samples)]
    if len(known) == 0 or np.ptp(known) < 1e-12:
        return _flat(value, len(p), metric.bounds, level)
    if len(found.counts) > _MOST_KINDS:
        return percentile(samples, level)
    left_out = metric.of_tally(found.tally(found.left_out(), 0))
    return bca(samples, value, left_out, level, found.counts.astype(np.float64))


def _flat(value: float, items: int, bounds: tuple[float, float], level: float) -> Interval:
    """Wilson's interval on the metric's own range: identical resamples are no proof of certainty."""
    low, high = bounds
    width = high - low
    part = wilson((value - low) / width * items, items, level)
    assert part.low is not None and part.high is not None
    return Interval(low + width * part.low, low + width * part.high, "Wilson (no resample varies)")


def _averaged_interval(metric: Averaged, value: float, drawn: Floats, columns: Floats, level: float) -> Interval:
    n = len(columns)
    if n < 2:
        return Interval(None, None, "none: one item")
    samples = metric.of_means(drawn)
    if (metric.percent or metric.bounds == (0.0, 100.0)) and np.ptp(samples) < 1e-12:
        return _flat(value, n, metric.bounds, level)
    left_out = metric.of_means((columns.mean(axis=0) * n - columns) / (n - 1))
    return bca(samples, value, left_out, level)


def _scarcest(metric: Ranked, p: Predictions) -> int:
    """The smallest number of items on either side of any judged class."""
    support = np.bincount(p.gold, minlength=len(p.labels))
    return min(int(min(support[c], len(p) - support[c])) for c in metric.classes(p))


def ranked_interval(value: float, influence: Floats, scarcest: int, name: str, level: float) -> Interval:
    """DeLong on the log-odds scale; Wilson over the scarcer side where the order is perfect or one item alone."""
    error = float(np.sqrt((influence**2).sum()))
    if scarcest < 2 or error == 0 or not 0 < value < 1:
        part = wilson(value * scarcest, scarcest, level)
        return Interval(part.low, part.high, "Wilson over the scarcer class")
    part = logit_normal(value, error, level)
    return Interval(part.low, part.high, "DeLong, logit" if name == "roc_auc" else "infinitesimal jackknife, logit")


def share(hits: float, items: float, reason: str, level: float) -> dict[str, Any]:
    """A proportion with Wilson's interval; null and `reason` where there are no items."""
    if items == 0:
        return {"value": None, "reason": reason}
    return figure(float(hits / items), wilson(float(hits), float(items), level))


def class_f1(value: float, drawn: Floats, gold: float, output: float, level: float) -> dict[str, Any]:
    """The F1 of one label from its (R,) resampled values, its gold items and its outputs."""
    if gold + output == 0:
        return {"value": None, "reason": "neither an item nor an output of this class"}
    if value in (0.0, 1.0):
        return figure(value, wilson(value * gold, float(gold), level))
    return figure(value, percentile(drawn, level).within(0.0, 1.0).around(value))


def reliability(given: Floats, hit: NDArray[np.bool_], level: float) -> dict[str, Any]:
    """The reliability diagram: bins that hold answers, with their mean probability and how often they came true.

    Args:
        given: (N,) probabilities.
        hit: (N,) whether what had this probability came true.
    """
    bins = ECE().bins
    where = bin_of(given, bins)
    rows = []
    for b in range(bins):
        inside = where == b
        items = int(inside.sum())
        if items == 0:
            continue
        interval = wilson(int(hit[inside].sum()), items, level)
        rows.append(
            {
                "low": b / bins,
                "high": (b + 1) / bins,
                "items": items,
                "confidence": float(given[inside].mean()),
                "accuracy": float(hit[inside].mean()),
                "accuracy_low": interval.low,
                "accuracy_high": interval.high,
            }
        )
    return {"bins": rows}
