"""Spans with types an item.

Errors are told apart by what overlaps with what, once the exact matches are gone:
    boundary         one gold span and one output of its type overlap, but do not end alike
    type             one gold span and one output overlap, and the output names another type
    split_or_merged  several on either side
    missed           a gold span that no output touches
    invented         an output that touches no gold span
Each group of overlapping spans counts once. The kinds follow those of Fu et al. 2020, "Interpretable Multi-dataset
Evaluation for Named Entity Recognition", and of the MUC scorer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tunewright.core.errors import listed
from tunewright.core.outcomes import Bools, Entities, Floats, Span
from tunewright.core.spans import fault
from tunewright.evaluation.compare import Plan
from tunewright.evaluation.intervals import percentile
from tunewright.evaluation.scoring import Draws, class_f1, figure, share
from tunewright.evaluation.shapes import common
from tunewright.metrics import TASKS
from tunewright.metrics.entities import COUNTS, entity_counts, entity_tally, types_of
from tunewright.metrics.f1 import f1, precision, recall

TASK = TASKS["token_classification"]
KINDS = ("right", "boundary", "type", "split_or_merged", "missed", "invented")


def row(p: Entities, i: int) -> dict[str, Any]:
    """Gold and output as lists of [start, end, type]."""
    return {"gold": p.gold_of(i), "output": _said(p, i)}


def faults(row: Mapping[str, Any], labels: Sequence[str]) -> list[str]:
    """Anything but sorted spans that do not overlap, of the header's types."""
    wrong = []
    for name in ("gold", "output"):
        given = row.get(name)
        if given is None and name == "gold":
            continue
        if not isinstance(given, list) or not all(map(_is_span, given)):
            wrong.append(f"{name} must be a list of [start, end, type], found {str(given)[:80]}")
            continue
        spans = [(start, end, kind) for start, end, kind in given]
        flaw = fault(spans, float("inf"))
        if spans != sorted(spans) or flaw is not None:
            wrong.append(f"{name} must be sorted spans that do not overlap, found {str(given)[:80]}")
        strangers = sorted({kind for _, _, kind in spans} - set(labels))
        if strangers:
            wrong.append(f"{name} names {listed(strangers)}, not among the header's labels ({listed(list(labels))})")
    return wrong


def _is_span(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 3:
        return False
    start, end, kind = value
    return type(start) is int and type(end) is int and isinstance(kind, str)


def predictions(
    named: tuple[str, str], labels: tuple[str, ...], rows: Sequence[Mapping[str, Any]], seconds: Floats | None
) -> Entities:
    """The predictions that the lines hold."""
    gold = [None if row.get("gold") is None else _spans(row["gold"]) for row in rows]
    output = [_spans(row["output"]) for row in rows]
    return Entities(*named, labels, tuple(row["id"] for row in rows), tuple(gold), tuple(output), seconds)


def _spans(given: Sequence[Sequence[Any]]) -> tuple[Span, ...]:
    return tuple((start, end, kind) for start, end, kind in given)


def joined(a: Entities, b: Entities) -> tuple[Entities, Entities]:
    """Over the types of both."""
    labels = tuple(sorted(set(a.labels) | set(b.labels)))
    return replace(a, labels=labels), replace(b, labels=labels)


def details(p: Entities, plan: Plan, drawn: Draws) -> dict[str, Any]:
    """Figures of each type, and how many errors there are of each kind."""
    p = p.supervised()
    return {
        "per_class": [],
        "per_type": _per_type(p, plan.confidence, drawn),
        "errors": _errors(p),
        "confusion": [],
        "calibration": {"bins": []},
    }


def _per_type(p: Entities, level: float, drawn: Draws) -> list[dict[str, Any]]:
    """Support, precision, recall and F1 of every type, each with its interval: whole items are resampled."""
    types = types_of(p)
    if len(p) == 0 or (p.contender, COUNTS) not in drawn:
        nothing = {name: {"value": None, "reason": "no entity"} for name in ("precision", "recall", "f1")}
        return [{"type": kind, "support": 0, **nothing} for kind in types]
    counts = entity_tally(entity_counts(p).sum(axis=0))
    resampled = entity_tally(drawn[p.contender, COUNTS])
    precisions, recalls, f1s = (list(zip(of(counts), of(resampled).T, strict=True)) for of in (precision, recall, f1))
    return [
        {
            "type": kind,
            "support": int(counts.gold[c]),
            "precision": _share(*precisions[c], counts.output[c], "never an output", level),
            "recall": _share(*recalls[c], counts.gold[c], "no entity of this type", level),
            "f1": class_f1(*f1s[c], counts.gold[c], counts.output[c], level),
        }
        for c, kind in enumerate(types)
    ]


def _share(value: float, drawn: Floats, whole: float, reason: str, level: float) -> dict[str, Any]:
    """A proportion of `whole` spans with its interval; null and `reason` where there are none."""
    if whole == 0 or value in (0.0, 1.0):
        return share(value * whole, whole, reason, level)
    return figure(value, percentile(drawn, level).within(0.0, 1.0).around(value))


def errors_of(gold: Sequence[Span], output: Sequence[Span]) -> Counter[str]:
    """How many of one item's spans are right, and its errors by kind."""
    right = set(gold) & set(output)
    found = Counter({"right": len(right)})
    sides = [(s, e, t, 0) for s, e, t in gold if (s, e, t) not in right]
    sides += [(s, e, t, 1) for s, e, t in output if (s, e, t) not in right]
    group: list[tuple[int, int, str, int]] = []
    reach = -1
    for one in sorted(sides):
        if group and one[0] >= reach:
            found[_kind(group)] += 1
            group = []
        reach = max(reach, one[1]) if group else one[1]
        group.append(one)
    if group:
        found[_kind(group)] += 1
    return found


def _kind(group: Sequence[tuple[int, int, str, int]]) -> str:
    """The kind of error that overlapping spans (start, end, type, 0 for gold or 1 for output) are."""
    if len(group) == 1:
        return "invented" if group[0][3] else "missed"
    if len(group) > 2:
        return "split_or_merged"
    return "boundary" if group[0][2] == group[1][2] else "type"


def _errors(p: Entities) -> dict[str, int]:
    found = sum((errors_of(gold or (), output) for gold, output in zip(p.gold, p.output, strict=True)), Counter[str]())
    return {kind: found[kind] for kind in KINDS}


def closeup(p: Entities, seed: int) -> dict[str, Any]:
    """Nothing more."""
    return {}


def overview(p: Entities) -> dict[str, Any]:
    """How many gold entities there are."""
    return {"entities": sum(len(spans or ()) for spans in p.gold)}


def mistakes(p: Entities, shown: int) -> list[dict[str, Any]]:
    """The items with the most wrong spans first: gold ones that are not output, and outputs that are not gold."""
    p = p.supervised()
    wrong = np.array([len(set(g or ()) ^ set(o)) for g, o in zip(p.gold, p.output, strict=True)], np.float64)
    return [
        {"id": p.ids[i], "gold": p.gold_of(int(i)), "output": _said(p, int(i)), "wrong": int(wrong[i])}
        for i in common.surest(np.flatnonzero(wrong > 0), wrong, shown)
    ]


def flips(tuned: Entities, against: Entities, shown: int) -> dict[str, Any]:
    """Items whose every span only one of two aligned contenders got right, those with the most spans first."""
    a, b = tuned.supervised(), against.supervised()
    spans = np.array([len(gold or ()) for gold in a.gold], np.float64)
    return common.flips((a, b), (_exact(a), _exact(b)), spans, _said, shown)


def _exact(p: Entities) -> Bools:
    return np.array([gold == output for gold, output in zip(p.gold, p.output, strict=True)], np.bool_)


def _said(p: Entities, i: int) -> list[list[Any]]:
    return [list(span) for span in p.output[i]]


def limits(p: Entities) -> list[str]:
    """Types with few entities, and that items were drawn and not entities."""
    p = p.supervised()
    support = entity_tally(entity_counts(p).sum(axis=0)).gold
    return [*common.rare(types_of(p), support, "Types"), "Spans within spans, and spans in parts: neither is learnt."]
