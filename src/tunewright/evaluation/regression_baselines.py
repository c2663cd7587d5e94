"""What a model that gives numbers must beat; `baselines` for the task regression.

Axes: N training items, M predicted items, D features, K targets.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import DataError, Problem
from tunewright.core.outcomes import Floats, Values
from tunewright.core.records import Record
from tunewright.evaluation.features import all_finite, standardiser, text_features
from tunewright.evaluation.heads import ridge
from tunewright.evaluation.predictions import Contender

PENALTIES = (0.1, 1.0, 10.0)
FROZEN_PENALTIES = (1.0, 10.0, 100.0, 1000.0, 10000.0)


def majority(
    train: Sequence[Record],
    items: Sequence[Record],
    *,
    validation: Sequence[Record] | None = None,
    labels: Sequence[str] | None = None,
    split: str = "test",
) -> Contender:
    """Each target's mean over the training items; `validation` is not needed.

    Raises:
        DataError: no training item has numbers, or another count of them than there are `labels`.
    """
    targets, gold = _targets(train, items, labels)
    started = perf_counter()
    output = np.tile(gold.mean(axis=0), (len(items), 1))
    return _contender(("majority", "Training mean", split), output, items, targets, perf_counter() - started)


def tfidf(
    train: Sequence[Record],
    items: Sequence[Record],
    seed: int = 0,
    *,
    validation: Sequence[Record] | None = None,
    labels: Sequence[str] | None = None,
    split: str = "test",
) -> Contender:
    """TF-IDF (`features.text_features`), then ridge regression. Cost: seconds for 10,000 short texts.

    Raises:
        DataError: as `majority`.
    """
    targets, gold = _targets(train, items, labels)
    known = [r for r in train if r.label is not None]
    features = text_features(known)
    if features is None:  # no text holds a single letter
        plain: Any = majority(train, items, labels=targets).predictions
        return _contender(("tfidf", "TF-IDF", split), plain.output, items, targets, 0.0)
    held = [r for r in validation or () if r.label is not None]
    held_out = (features(held), _numbers(held, len(targets))) if held else None
    head = ridge(features(known), gold, PENALTIES, held_out, seed)
    started = perf_counter()
    output = head(features(items))
    return _contender(("tfidf", "TF-IDF + ridge", split), output, items, targets, perf_counter() - started)


def linear(
    train_features: NDArray[np.floating[Any]],
    train: Sequence[Record],
    features: NDArray[np.floating[Any]],
    items: Sequence[Record],
    seed: int = 0,
    *,
    validation_features: NDArray[np.floating[Any]] | None = None,
    validation: Sequence[Record] | None = None,
    labels: Sequence[str] | None = None,
    split: str = "test",
    seconds: float = 0.0,
) -> Contender:
    """The frozen base model with a linear head: standardised features, then ridge regression.

    Args:
        train_features: (N, D) of `train`, in order.
        features: (M, D) of `items`, in order.
        validation_features: (V, D) of `validation`; both or neither.
        seconds: what an item's features cost to compute; added to the prediction's own time.

    Raises:
        DataError: as `majority`, or features that are not finite.
    """
    targets, gold = _targets(train, items, labels)
    all_finite({"train": train_features, "items": features, "validation": validation_features})
    seen = train_features[_known(train)]
    scaled = standardiser(seen)
    held_out = None
    if validation_features is not None and validation and _known(validation).any():
        kept = [r for r in validation if r.label is not None]
        held_out = (scaled(validation_features[_known(validation)]), _numbers(kept, len(targets)))
    head = ridge(scaled(seen), gold, FROZEN_PENALTIES, held_out, seed)
    started = perf_counter()
    output = head(scaled(features))
    spent = perf_counter() - started + seconds * len(items)
    return _contender(("linear", "Frozen base model + ridge", split), output, items, targets, spent)


def _known(records: Sequence[Record]) -> NDArray[np.bool_]:
    return np.array([r.label is not None for r in records], np.bool_)


def _numbers(records: Sequence[Record], targets: int) -> Floats:
    """(N, K); NaN where an item has no numbers."""
    nothing = [float("nan")] * targets
    rows = [nothing if r.label is None else json.loads(r.label) for r in records]
    wrong = sorted({len(row) for row in rows} - {targets})
    if wrong:
        raise DataError(
            Problem(where="baselines", found=f"items with {wrong[0]} numbers", allowed=f"{targets}, one a target")
        )
    return np.array(rows, np.float64).reshape(len(rows), targets)


def _targets(
    train: Sequence[Record], items: Sequence[Record], labels: Sequence[str] | None
) -> tuple[tuple[str, ...], Floats]:
    """The targets' names and the (N, K) numbers of the labelled training items."""
    known = [r for r in train if r.label is not None]
    if not known:
        raise DataError(Problem(where="baselines", found="no training item has a number", allowed="at least one"))
    count = len(json.loads(known[0].label or "[]"))
    targets = tuple(labels) if labels is not None else tuple(f"target {k + 1}" for k in range(count))
    _numbers(items, len(targets))
    return targets, _numbers(known, len(targets))


def _contender(
    given: tuple[str, str, str], output: Floats, items: Sequence[Record], targets: tuple[str, ...], spent: float
) -> Contender:
    name, title, split = given
    seconds = np.full(len(items), spent / max(len(items), 1))
    ids, gold = tuple(r.id for r in items), _numbers(items, len(targets))
    return Contender(Values(name, split, targets, ids, gold, output, seconds), title)
