"""One class an item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import listed
from tunewright.core.outcomes import Floats
from tunewright.core.records import Predictions
from tunewright.evaluation.compare import Plan
from tunewright.evaluation.resampling import kinds
from tunewright.evaluation.scoring import Draws, class_f1, figure, ranked_interval, reliability, share
from tunewright.evaluation.shapes import common
from tunewright.metrics import TASKS, PrAuc, Ranked, RocAuc, confusion, tally
from tunewright.metrics.calibration import confidence
from tunewright.metrics.f1 import f1

TASK = TASKS["classification"]


def row(p: Predictions, i: int) -> dict[str, Any]:
    """Gold and output by name, a probability a class."""
    return {"gold": p.gold_of(i), "output": p.labels[p.output[i]], "scores": p.scores[i].tolist()}


def faults(row: Mapping[str, Any], labels: Sequence[str]) -> list[str]:
    """Names that are no label, scores that are no probabilities."""
    wrong = []
    if row.get("gold") is not None and row["gold"] not in labels:
        wrong.append(f"gold {row['gold']!r} is not among the header's labels ({listed(list(labels))})")
    if row.get("output") not in labels:
        wrong.append(f"output {row.get('output')!r} is not among the header's labels ({listed(list(labels))})")
    scores = row.get("scores")
    if not isinstance(scores, list) or len(scores) != len(labels) or not all(common.finite(x) for x in scores):
        wrong.append(f"scores must be {len(labels)} finite numbers, found {str(scores)[:80]}")
    elif min(scores) < 0 or abs(sum(scores) - 1) > 1e-3:
        wrong.append(f"scores must be probabilities that sum to 1, found {str(scores)[:80]}")
    return wrong


def predictions(
    named: tuple[str, str], labels: tuple[str, ...], rows: Sequence[Mapping[str, Any]], seconds: Floats | None
) -> Predictions:
    """The predictions that the lines hold."""
    place = {label: i for i, label in enumerate(labels)}
    return Predictions(
        *named,
        labels=labels,
        ids=tuple(row["id"] for row in rows),
        gold=np.array([-1 if row.get("gold") is None else place[row["gold"]] for row in rows], np.int64),
        output=np.array([place[row["output"]] for row in rows], np.int64),
        scores=np.array([row["scores"] for row in rows], np.float64),
        seconds=seconds,
    )


def joined(a: Predictions, b: Predictions) -> tuple[Predictions, Predictions]:
    """Over the labels of both."""
    labels = tuple(sorted(set(a.labels) | set(b.labels)))
    return relabelled(a, labels), relabelled(b, labels)


def relabelled(p: Predictions, labels: Sequence[str]) -> Predictions:
    """The same predictions over another set of labels that holds all of its own; new ones score 0."""
    place = np.array([labels.index(label) for label in p.labels], np.int64)
    scores = np.zeros((len(p), len(labels)))
    scores[:, place] = p.scores
    gold = np.where(p.gold >= 0, place[p.gold], -1)
    return replace(p, labels=tuple(labels), gold=gold, output=place[p.output], scores=scores)


def details(p: Predictions, plan: Plan, drawn: Draws) -> dict[str, Any]:
    """Figures of each class, the confusion matrix (rows gold, columns output), the reliability diagram."""
    p = p.supervised()
    return {
        "per_class": per_class(p, plan.resamples, plan.confidence, plan.seed),
        "confusion": [[int(x) for x in row] for row in confusion(p)],
        "calibration": reliability(confidence(p), p.gold == p.output, plan.confidence),
    }


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
            "precision": share(counts.right[c], counts.output[c], "never an output", level),
            "recall": share(counts.right[c], counts.gold[c], "no item of this class", level),
            "f1": class_f1(float(f1s[c]), drawn[:, c], counts.gold[c], counts.output[c], level),
            "pr_auc": _class_area(PrAuc(), p, c, level),
            "roc_auc": _class_area(RocAuc(), p, c, level),
        }
        for c, label in enumerate(p.labels)
    ]


def _empty(reason: str) -> dict[str, Any]:
    return {name: {"value": None, "reason": reason} for name in ("precision", "recall", "f1", "pr_auc", "roc_auc")}


def _class_area(metric: Ranked, p: Predictions, c: int, level: float) -> dict[str, Any]:
    positive = p.gold == c
    support = int(positive.sum())
    if not 0 < support < len(p):
        return {"value": None, "reason": "all or none of the items are of this class"}
    value, influence = metric.of_class(p.scores[:, c], positive)
    interval = ranked_interval(value, influence, min(support, len(p) - support), metric.name, level)
    return figure(value, interval.around(value))


def closeup(p: Predictions, seed: int) -> dict[str, Any]:
    """Nothing more."""
    return {}


def overview(p: Predictions) -> dict[str, Any]:
    """Nothing: the classes are in the data card."""
    return {}


def mistakes(p: Predictions, shown: int) -> list[dict[str, Any]]:
    """The wrong items, most confident first (ties in item order)."""
    p = p.supervised()
    given = confidence(p)
    return [
        {
            "id": p.ids[i],
            "gold": p.labels[p.gold[i]],
            "output": p.labels[p.output[i]],
            "confidence": float(given[i]),
        }
        for i in common.surest(np.flatnonzero(p.gold != p.output), given, shown)
    ]


def flips(tuned: Predictions, against: Predictions, shown: int) -> dict[str, Any]:
    """Items that only one of two aligned contenders got right, the tuned model's surest first."""
    a, b = tuned.supervised(), against.supervised()
    return common.flips((a, b), (a.gold == a.output, b.gold == b.output), confidence(a), _said, shown)


def _said(p: Predictions, i: int) -> str:
    return p.labels[int(p.output[i])]


def limits(p: Predictions) -> list[str]:
    """Classes with few items."""
    support: NDArray[np.int64] = np.bincount(p.gold[p.gold >= 0], minlength=len(p.labels))
    return common.rare(p.labels, support, "Classes")
