"""How probable every document is.

Axes: N documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tunewright.core.outcomes import Floats, Ints, Likelihoods
from tunewright.evaluation.compare import Plan
from tunewright.evaluation.scoring import Draws
from tunewright.evaluation.shapes import common
from tunewright.metrics import TASKS

TASK = TASKS["language_modeling"]
FEW = 30
"""Fewer documents than this: intervals that resample documents are rough."""


def row(p: Likelihoods, i: int) -> dict[str, Any]:
    """Nats, tokens and bytes."""
    return {"nll": float(p.nll[i]), "tokens": int(p.tokens[i]), "bytes": int(p.bytes[i])}


def faults(row: Mapping[str, Any], labels: Sequence[str]) -> list[str]:
    """Anything but finite nats and counts."""
    wrong = [] if common.finite(row.get("nll")) else [f"nll must be a finite number, found {str(row.get('nll'))[:80]}"]
    return wrong + [said for name in ("tokens", "bytes") if (said := common.not_a_count(row, name))]


def predictions(
    named: tuple[str, str], labels: tuple[str, ...], rows: Sequence[Mapping[str, Any]], seconds: Floats | None
) -> Likelihoods:
    """The likelihoods that the lines hold."""
    return Likelihoods(
        *named,
        labels=labels,
        ids=tuple(row["id"] for row in rows),
        nll=np.array([row["nll"] for row in rows], np.float64),
        tokens=np.array([row["tokens"] for row in rows], np.int64),
        bytes=np.array([row["bytes"] for row in rows], np.int64),
        seconds=seconds,
    )


def joined(a: Likelihoods, b: Likelihoods) -> tuple[Likelihoods, Likelihoods]:
    """As they are."""
    return a, b


def details(p: Likelihoods, plan: Plan, drawn: Draws) -> dict[str, Any]:
    """How much was predicted."""
    return {**common.no_classes(), "tokens": int(p.tokens.sum()), "bytes": int(p.bytes.sum())}


def closeup(p: Likelihoods, seed: int) -> dict[str, Any]:
    """Nothing more."""
    return {}


def overview(p: Likelihoods) -> dict[str, Any]:
    """Nothing: the documents are in the data card."""
    return {}


def mistakes(p: Likelihoods, shown: int) -> list[dict[str, Any]]:
    """The hardest documents, most bits a byte first; empty ones have none."""
    rows: Ints = np.flatnonzero(p.bytes > 0).astype(np.int64)
    bits = p.nll / np.log(2) / np.maximum(p.bytes, 1)
    return [{"id": p.ids[i], "bits_per_byte": float(bits[i])} for i in common.surest(rows, bits, shown)]


def flips(tuned: Likelihoods, against: Likelihoods, shown: int) -> None:
    """None: a likelihood is neither right nor wrong."""


def limits(p: Likelihoods) -> list[str]:
    """Few documents; what a likelihood does not say."""
    said = ["What the model writes by itself: only the probability of given texts was measured."]
    if len(p) < FEW:
        said.append(f"Other documents, firmly: with {len(p)} of them, intervals that resample documents are rough.")
    return said
