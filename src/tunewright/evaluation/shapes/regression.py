"""Numbers an item, one a target.

Axes: N items, K targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tunewright.core.outcomes import Floats, Values
from tunewright.core.seeds import key
from tunewright.evaluation.compare import Plan
from tunewright.evaluation.scoring import Draws, score
from tunewright.evaluation.shapes import common
from tunewright.metrics import TASKS

TASK = TASKS["regression"]
POINTS = 400
_FIGURES = ("mse", "rmse", "mae", "r2", "pearson", "spearman")


def row(p: Values, i: int) -> dict[str, Any]:
    """Gold and output as lists of numbers."""
    return {"gold": p.gold_of(i), "output": p.output[i].tolist()}


def faults(row: Mapping[str, Any], labels: Sequence[str]) -> list[str]:
    """Anything but one finite number a target."""
    return [
        f"{name} must be {len(labels)} finite numbers, found {str(row.get(name))[:80]}"
        for name in ("gold", "output")
        if not (name == "gold" and row.get(name) is None) and not _numbers(row.get(name), len(labels))
    ]


def _numbers(given: object, targets: int) -> bool:
    return isinstance(given, list) and len(given) == targets and all(common.finite(x) for x in given)


def predictions(
    named: tuple[str, str], labels: tuple[str, ...], rows: Sequence[Mapping[str, Any]], seconds: Floats | None
) -> Values:
    """The predictions that the lines hold."""
    nothing = [float("nan")] * len(labels)
    return Values(
        *named,
        labels=labels,
        ids=tuple(row["id"] for row in rows),
        gold=np.array([nothing if row.get("gold") is None else row["gold"] for row in rows], np.float64),
        output=np.array([row["output"] for row in rows], np.float64),
        seconds=seconds,
    )


def joined(a: Values, b: Values) -> tuple[Values, Values]:
    """The second with its targets in the first's order, where they are the same targets."""
    if a.labels == b.labels or sorted(a.labels) != sorted(b.labels):
        return a, b
    order = [b.labels.index(target) for target in a.labels]
    return a, replace(b, labels=a.labels, gold=b.gold[:, order], output=b.output[:, order])


def details(p: Values, plan: Plan, drawn: Draws) -> dict[str, Any]:
    """Every metric of each target by itself."""
    targets = []
    for k, target in enumerate(p.labels):
        alone = p if len(p.labels) == 1 else replace(p, labels=(target,), gold=p.gold[:, [k]], output=p.output[:, [k]])
        figures = score(alone, plan.resamples, plan.confidence, plan.seed, drawn if alone is p else None)
        targets.append({"target": target, **{name: figures[name] for name in _FIGURES}})
    return {"per_class": [], "per_target": targets, "confusion": [], "calibration": {"bins": []}, "points": []}


def closeup(p: Values, seed: int) -> dict[str, Any]:
    """At most 400 [gold, output] pairs of the first target, chosen by the items' ids: the same for every contender."""
    p = p.supervised()
    chosen = sorted(range(len(p)), key=lambda i: key(seed, "points", p.ids[i]))[:POINTS]
    return {"points": [[float(p.gold[i, 0]), float(p.output[i, 0])] for i in sorted(chosen)]}


def overview(p: Values) -> dict[str, Any]:
    """Mean and spread (standard deviation) of each target's gold."""
    gold = p.supervised().gold
    known = len(gold) > 0
    return {
        "targets": {
            "names": list(p.labels),
            "mean": gold.mean(axis=0).tolist() if known else [None] * len(p.labels),
            "spread": gold.std(axis=0).tolist() if known else [None] * len(p.labels),
        }
    }


def mistakes(p: Values, shown: int) -> list[dict[str, Any]]:
    """The largest errors first: absolute ones, or for several targets their mean in units of the targets' spreads."""
    p = p.supervised()
    error = np.abs(p.output - p.gold)
    if len(p.labels) > 1 and len(p):
        spread = p.gold.std(axis=0)
        error = error / np.where(spread > 0, spread, 1.0)
    worst = error.mean(axis=1)
    return [
        {"id": p.ids[i], "gold": p.gold_of(int(i)), "output": p.output[i].tolist(), "error": float(worst[i])}
        for i in common.surest(np.flatnonzero(worst > 0), worst, shown)
    ]


def flips(tuned: Values, against: Values, shown: int) -> None:
    """None: numbers are near or far, not right or wrong."""


def limits(p: Values) -> list[str]:
    """Numbers beyond those that the test items hold."""
    gold = p.supervised().gold
    if len(gold) == 0:
        return []
    ends = [f"{target} {low:,.4g} to {high:,.4g}" for target, low, high in
            zip(p.labels[:4], gold.min(axis=0), gold.max(axis=0), strict=False)]  # fmt: skip
    return [f"Numbers beyond those of the test items: {', '.join(ends)}."]
