"""A set of labels an item.

Axes: N items, C labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tunewright.core.errors import listed
from tunewright.core.outcomes import Bools, Floats, LabelSets
from tunewright.evaluation.compare import Plan
from tunewright.evaluation.scoring import Draws, class_f1, reliability, share
from tunewright.evaluation.shapes import common
from tunewright.metrics import TASKS
from tunewright.metrics.f1 import f1
from tunewright.metrics.multilabel import COUNTS, label_counts, label_tally

TASK = TASKS["multilabel"]


def row(p: LabelSets, i: int) -> dict[str, Any]:
    """Gold and output as lists of names, a probability a label."""
    return {"gold": p.gold_of(i), "output": _said(p, i), "scores": p.scores[i].tolist()}


def faults(row: Mapping[str, Any], labels: Sequence[str]) -> list[str]:
    """Names that are no label, scores that are no probabilities."""
    wrong = []
    for name in ("gold", "output"):
        given = row.get(name)
        if given is None and name == "gold":
            continue
        if not isinstance(given, list) or any(label not in labels for label in given):
            wrong.append(f"{name} must be a list of the header's labels ({listed(list(labels))}), found {given!r}")
        elif len(set(given)) != len(given):
            wrong.append(f"{name} names a label twice: {given!r}")
    scores = row.get("scores")
    whole = isinstance(scores, list) and len(scores) == len(labels) and all(common.finite(x) for x in scores)
    if not whole or any(not 0 <= x <= 1 for x in scores or ()):
        wrong.append(f"scores must be {len(labels)} probabilities, found {str(scores)[:80]}")
    return wrong


def predictions(
    named: tuple[str, str], labels: tuple[str, ...], rows: Sequence[Mapping[str, Any]], seconds: Floats | None
) -> LabelSets:
    """The predictions that the lines hold."""
    return LabelSets(
        *named,
        labels=labels,
        ids=tuple(row["id"] for row in rows),
        gold=_marked([row.get("gold") for row in rows], labels),
        output=_marked([row["output"] for row in rows], labels),
        scores=np.array([row["scores"] for row in rows], np.float64),
        has_gold=np.array([row.get("gold") is not None for row in rows], np.bool_),
        seconds=seconds,
    )


def _marked(sets: Sequence[Sequence[str] | None], labels: Sequence[str]) -> Bools:
    return np.array([[label in (given or ()) for label in labels] for given in sets], np.bool_)


def joined(a: LabelSets, b: LabelSets) -> tuple[LabelSets, LabelSets]:
    """Over the labels of both; a label that a run does not know is never its output and scores 0."""
    labels = tuple(sorted(set(a.labels) | set(b.labels)))
    return _relabelled(a, labels), _relabelled(b, labels)


def _relabelled(p: LabelSets, labels: tuple[str, ...]) -> LabelSets:
    place = [labels.index(label) for label in p.labels]
    wide: dict[str, Any] = {
        "gold": np.zeros((len(p), len(labels)), np.bool_),
        "output": np.zeros((len(p), len(labels)), np.bool_),
        "scores": np.zeros((len(p), len(labels))),
    }
    for name, array in wide.items():
        array[:, place] = getattr(p, name)
    return replace(p, labels=labels, **wide)


def details(p: LabelSets, plan: Plan, drawn: Draws) -> dict[str, Any]:
    """Figures of each label, and the reliability of all (item, label) probabilities.

    The reliability's intervals take the answers for one item as independent: they are somewhat too narrow.
    """
    p = p.supervised()
    return {
        "per_class": [],
        "per_label": _per_label(p, plan.confidence, drawn),
        "confusion": [],
        "calibration": reliability(p.scores.ravel(), p.gold.ravel(), plan.confidence),
    }


def _per_label(p: LabelSets, level: float, drawn: Draws) -> list[dict[str, Any]]:
    """Support, precision, recall and F1 of every label, each with its interval."""
    if len(p) == 0:
        nothing = {name: {"value": None, "reason": "no item has a label"} for name in ("precision", "recall", "f1")}
        return [{"label": label, "support": 0, **nothing} for label in p.labels]
    counts = label_tally(label_counts(p).sum(axis=0))
    f1s, resampled = f1(counts), f1(label_tally(drawn[p.contender, COUNTS]))
    return [
        {
            "label": label,
            "support": int(counts.gold[c]),
            "precision": share(counts.right[c], counts.output[c], "never an output", level),
            "recall": share(counts.right[c], counts.gold[c], "no item with this label", level),
            "f1": class_f1(float(f1s[c]), resampled[:, c], counts.gold[c], counts.output[c], level),
        }
        for c, label in enumerate(p.labels)
    ]


def closeup(p: LabelSets, seed: int) -> dict[str, Any]:
    """Nothing more."""
    return {}


def overview(p: LabelSets) -> dict[str, Any]:
    """Nothing: the labels are in the data card."""
    return {}


def mistakes(p: LabelSets, shown: int) -> list[dict[str, Any]]:
    """The items with the most wrong labels first, of equal ones those that the model is surest of."""
    p = p.supervised()
    wrong = (p.gold != p.output).sum(axis=1)
    # Sureness lies in [0, 1], so that it decides between equal counts alone.
    order = common.surest(np.flatnonzero(wrong > 0), 2.0 * wrong + _sure(p), shown)
    return [{"id": p.ids[i], "gold": p.gold_of(int(i)), "output": _said(p, i), "wrong": int(wrong[i])} for i in order]


def flips(tuned: LabelSets, against: LabelSets, shown: int) -> dict[str, Any]:
    """Items whose whole set only one of two aligned contenders got right, the tuned model's surest first."""
    a, b = tuned.supervised(), against.supervised()
    right_a, right_b = ((p.gold == p.output).all(axis=1) for p in (a, b))
    return common.flips((a, b), (right_a, right_b), _sure(a), _said, shown)


def _sure(p: LabelSets) -> Floats:
    """(N,) the probability of what was said of a label, mean over labels."""
    return np.asarray(np.where(p.output, p.scores, 1 - p.scores).mean(axis=1), np.float64)


def _said(p: LabelSets, i: int) -> list[str]:
    return [label for label, given in zip(p.labels, p.output[i], strict=True) if given]


def limits(p: LabelSets) -> list[str]:
    """Labels with few items."""
    return common.rare(p.labels, p.supervised().gold.sum(axis=0), "Labels")
