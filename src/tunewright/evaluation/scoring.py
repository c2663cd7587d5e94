"""Every metric of one contender with its interval, and the figures of each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.records import Predictions
from tunewright.core.registry import build, members
from tunewright.evaluation.intervals import Interval, bca, logit_normal, percentile, wilson
from tunewright.evaluation.resampling import Kinds, kinds, shared_draws
from tunewright.metrics import Averaged, Counted, Metric, PrAuc, Ranked, RocAuc, Tally, confusion, tally
from tunewright.metrics.calibration import ECE, bin_of, confidence
from tunewright.metrics.f1 import f1

Floats = NDArray[np.float64]
METRICS = (
    "accuracy",
    "f1_macro",
    "f1_weighted",
    "f1_micro",
    "precision_macro",
    "precision_weighted",
    "precision_micro",
    "recall_macro",
    "recall_weighted",
    "recall_micro",
    "balanced_accuracy",
    "mcc",
    "roc_auc",
    "pr_auc",
    "log_loss",
    "brier",
    "ece",
)
_MOST_KINDS = 2000


def metric_named(name: str) -> Metric:
    """The registered metric with its default options.

    Raises:
        RecipeError: there is none of this name.
    """
    metric: Metric = build("metric", name)
    return metric


def every_metric() -> dict[str, Metric]:
    """Those of `METRICS`, then any that is registered beside them, by name."""
    return {name: metric_named(name) for name in [*METRICS, *sorted(set(members("metric")) - set(METRICS))]}


def averaged_metrics() -> list[Averaged]:
    """The metrics whose resamples `tunewright.evaluation.resampling.shared_draws` makes."""
    return [metric for metric in every_metric().values() if isinstance(metric, Averaged)]


def score(
    p: Predictions, resamples: int, level: float, seed: int, drawn: Mapping[tuple[str, str], Floats] | None = None
) -> dict[str, dict[str, Any]]:
    """Every metric of `METRICS` and any registered beside them: value, low, high, method and items, or null and why.

    Args:
        p: one contender; items without a label are left out.
        resamples: how many bootstrap resamples.
        level: the confidence of the intervals.
        seed: keys the resamples; the same for all contenders.
        drawn: `shared_draws` of this contender, where they are there already.
    """
    p = p.supervised()
    every = every_metric()
    known = {name: m for name, m in every.items() if m.undefined(p) is None}
    if drawn is None:
        drawn = shared_draws([p], averaged_metrics(), resamples, seed)
    found = kinds(p) if known else None
    draws = found.draws(resamples, seed) if found else None
    result = {}
    for name, metric in every.items():
        if name not in known or found is None or draws is None:
            result[name] = {"value": None, "reason": metric.undefined(p)}
            continue
        value = metric.value(p)
        assert value is not None
        if isinstance(metric, Counted):
            interval = counted_interval(metric, p, found, draws, level)
        elif isinstance(metric, Ranked):
            interval = _ranked_interval(*metric.influence(p), _scarcest(metric, p), metric.name, level)
        elif isinstance(metric, Averaged):
            interval = _averaged_interval(metric, value, drawn[p.contender, name], metric.columns(p), level)
        else:
            interval = Interval(None, None, "none")
        interval = interval.within(*metric.bounds).around(value)
        result[name] = figure(value, interval) | {"method": interval.method, "items": len(p)}
    return result


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
    left_out = metric.of_means((columns.mean(axis=0) * n - columns) / (n - 1))
    return bca(metric.of_means(drawn), value, left_out, level)


def _scarcest(metric: Ranked, p: Predictions) -> int:
    """The smallest number of items on either side of any judged class."""
    support = np.bincount(p.gold, minlength=len(p.labels))
    return min(int(min(support[c], len(p) - support[c])) for c in metric.classes(p))


def _ranked_interval(value: float, influence: Floats, scarcest: int, name: str, level: float) -> Interval:
    """DeLong on the log-odds scale; Wilson over the scarcer side where the order is perfect or one item alone."""
    error = float(np.sqrt((influence**2).sum()))
    if scarcest < 2 or error == 0 or not 0 < value < 1:
        part = wilson(value * scarcest, scarcest, level)
        return Interval(part.low, part.high, "Wilson over the scarcer class")
    part = logit_normal(value, error, level)
    return Interval(part.low, part.high, "DeLong, logit" if name == "roc_auc" else "infinitesimal jackknife, logit")


def per_class(p: Predictions, resamples: int, level: float, seed: int) -> list[dict[str, Any]]:
    """Support, precision, recall, F1 and areas of every label, each with its interval."""
    p = p.supervised()
    if len(p) == 0:
        return [{"label": label, "support": 0, **_empty("no item has a label")} for label in p.labels]
    counts = tally(p)
    found = kinds(p)
    drawn = f1(found.tally(found.draws(resamples, seed), 0))
    f1s = f1(counts)
    return [
        {
            "label": label,
            "support": int(counts.gold[c]),
            "precision": _share(counts.right[c], counts.output[c], "never an output", level),
            "recall": _share(counts.right[c], counts.gold[c], "no item of this class", level),
            "f1": _class_f1(float(f1s[c]), drawn[:, c], counts, c, level),
            "pr_auc": _class_area(PrAuc(), p, c, level),
            "roc_auc": _class_area(RocAuc(), p, c, level),
        }
        for c, label in enumerate(p.labels)
    ]


def _empty(reason: str) -> dict[str, Any]:
    return {name: {"value": None, "reason": reason} for name in ("precision", "recall", "f1", "pr_auc", "roc_auc")}


def _share(hits: float, items: float, reason: str, level: float) -> dict[str, Any]:
    if items == 0:
        return {"value": None, "reason": reason}
    return figure(float(hits / items), wilson(float(hits), float(items), level))


def _class_f1(value: float, drawn: Floats, counts: Tally, c: int, level: float) -> dict[str, Any]:
    if counts.gold[c] + counts.output[c] == 0:
        return {"value": None, "reason": "neither an item nor an output of this class"}
    if value in (0.0, 1.0):
        return figure(value, wilson(value * counts.gold[c], float(counts.gold[c]), level))
    return figure(value, percentile(drawn, level).within(0.0, 1.0).around(value))


def _class_area(metric: Ranked, p: Predictions, c: int, level: float) -> dict[str, Any]:
    positive = p.gold == c
    support = int(positive.sum())
    if not 0 < support < len(p):
        return {"value": None, "reason": "all or none of the items are of this class"}
    value, influence = metric.of_class(p.scores[:, c], positive)
    interval = _ranked_interval(value, influence, min(support, len(p) - support), metric.name, level)
    return figure(value, interval.around(value))


def confusion_counts(p: Predictions) -> list[list[int]]:
    """Rows gold, columns output."""
    return [[int(x) for x in row] for row in confusion(p)]


def calibration(p: Predictions, level: float) -> dict[str, Any]:
    """The reliability diagram: bins that hold items, with mean confidence and accuracy in each."""
    p = p.supervised()
    bins = ECE().bins
    given, hit = confidence(p), p.gold == p.output
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
