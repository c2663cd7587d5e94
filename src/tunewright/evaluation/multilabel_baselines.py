"""What a model that gives sets of labels must beat; `baselines` for the task multilabel.

All of them give a label from one common threshold on, chosen on the validation items as the tuned model's is
(`metrics.thresholds`); 0.5 where there are none.

Axes: N training items, M predicted items, D features, C labels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import DataError, Problem, listed
from tunewright.core.outcomes import Bools, Floats, LabelSets
from tunewright.core.records import Record
from tunewright.evaluation.features import all_finite, standardiser, text_features
from tunewright.evaluation.heads import Head, logistics
from tunewright.evaluation.predictions import Contender
from tunewright.metrics.thresholds import DEFAULT, applied, tune

STRENGTHS = (0.1, 1.0, 10.0)
FROZEN_STRENGTHS = (0.001, 0.01, 0.1, 1.0)


def majority(
    train: Sequence[Record],
    items: Sequence[Record],
    *,
    validation: Sequence[Record] | None = None,
    labels: Sequence[str] | None = None,
    split: str = "test",
) -> Contender:
    """The labels that are frequent enough, for every item; scores are the training shares.

    Raises:
        DataError: no training item is labelled, or a label is not among `labels`.
    """
    names, gold = _labels(train, items, labels)
    shares = gold.mean(axis=0)
    thresholds = _thresholds(lambda rows: np.tile(shares, (len(rows), 1)), _held(validation, names), names)
    started = perf_counter()
    scores = np.tile(shares, (len(items), 1))
    given = ("majority", "Most frequent labels", split)
    return _contender(given, scores, thresholds, items, names, perf_counter() - started)


def tfidf(
    train: Sequence[Record],
    items: Sequence[Record],
    seed: int = 0,
    *,
    validation: Sequence[Record] | None = None,
    labels: Sequence[str] | None = None,
    split: str = "test",
) -> Contender:
    """TF-IDF (`features.text_features`), then one logistic regression a label with a common strength.

    Cost: a minute for 10,000 short texts and 28 labels.

    Raises:
        DataError: as `majority`.
    """
    names, gold = _labels(train, items, labels)
    known = [r for r in train if r.label is not None]
    features = text_features(known)
    given = ("tfidf", "TF-IDF + logistic regression", split)
    if features is None:  # no text holds a single letter
        plain: Any = majority(train, items, validation=validation, labels=names).predictions
        return _contender(("tfidf", "TF-IDF", split), plain.scores, np.full(len(names), DEFAULT), items, names, 0.0)
    held = _held(validation, names)
    held_out = None if held is None else (features(held[0]), held[1])
    head = logistics(features(known), gold.astype(np.float64), STRENGTHS, _floats(held_out), seed)
    thresholds = _thresholds(head, held_out, names)
    started = perf_counter()
    return _contender(given, head(features(items)), thresholds, items, names, perf_counter() - started)


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
    """The frozen base model with a linear head: standardised features, then one logistic regression a label.

    Args:
        train_features: (N, D) of `train`, in order.
        features: (M, D) of `items`, in order.
        validation_features: (V, D) of `validation`; both or neither.
        seconds: what an item's features cost to compute; added to the prediction's own time.

    Raises:
        DataError: as `majority`, or features that are not finite.
    """
    names, gold = _labels(train, items, labels)
    all_finite({"train": train_features, "items": features, "validation": validation_features})
    seen = train_features[np.array([r.label is not None for r in train], np.bool_)]
    scaled = standardiser(seen)
    held_out = None
    if validation_features is not None and validation:
        rows, marked = _usable(validation, names)
        held_out = (scaled(validation_features[rows]), marked) if len(rows) else None
    head = logistics(scaled(seen), gold.astype(np.float64), FROZEN_STRENGTHS, _floats(held_out), seed)
    thresholds = _thresholds(head, held_out, names)
    started = perf_counter()
    scores = head(scaled(features))
    spent = perf_counter() - started + seconds * len(items)
    return _contender(("linear", "Frozen base model + linear head", split), scores, thresholds, items, names, spent)


def _thresholds(head: Head, held: tuple[Any, Bools] | None, labels: Sequence[str]) -> Floats:
    return np.full(len(labels), DEFAULT) if held is None else tune(held[1], head(held[0]))


def _floats(held: tuple[Any, Bools] | None) -> tuple[Any, Floats] | None:
    return None if held is None else (held[0], held[1].astype(np.float64))


def _held(validation: Sequence[Record] | None, labels: Sequence[str]) -> tuple[list[Record], Bools] | None:
    """The validation items that can be used, and their (V, C) labels; None where there are none."""
    rows, gold = _usable(validation or (), labels)
    return ([(validation or ())[i] for i in rows], gold) if len(rows) else None


def _usable(records: Sequence[Record], labels: Sequence[str]) -> tuple[NDArray[np.int64], Bools]:
    """The places of the items whose labels are all known, and the (V, C) labels of these."""
    sets = [_set(r) for r in records]
    rows = [i for i, names in enumerate(sets) if names is not None and names <= set(labels)]
    return np.array(rows, np.int64), _marked([sets[i] for i in rows], labels)


def _set(record: Record) -> frozenset[str] | None:
    return None if record.label is None else frozenset(json.loads(record.label))


def _marked(sets: Sequence[frozenset[str] | None], labels: Sequence[str]) -> Bools:
    marks = [[label in (names or ()) for label in labels] for names in sets]
    return np.array(marks, np.bool_).reshape(len(sets), len(labels))


def _labels(
    train: Sequence[Record], items: Sequence[Record], labels: Sequence[str] | None
) -> tuple[tuple[str, ...], Bools]:
    """The labels in order and the (N, C) labels of the labelled training items."""
    known = [names for names in map(_set, train) if names is not None]
    if not known:
        raise DataError(Problem(where="baselines", found="no training item has a label", allowed="at least one"))
    seen = frozenset[str]().union(*known, *(names for names in map(_set, items) if names is not None))
    given = tuple(sorted(seen)) if labels is None else tuple(labels)
    strangers = sorted(seen - set(given))
    if strangers:
        raise DataError(Problem(where="baselines", found=f"labels {listed(strangers)}", allowed=listed(given)))
    return given, _marked(known, given)


def _contender(
    given: tuple[str, str, str],
    scores: Floats,
    thresholds: Floats,
    items: Sequence[Record],
    labels: tuple[str, ...],
    spent: float,
) -> Contender:
    name, title, split = given
    sets = [_set(r) for r in items]
    predictions = LabelSets(
        name,
        split,
        labels,
        tuple(r.id for r in items),
        gold=_marked(sets, labels),
        output=applied(scores, thresholds),
        scores=scores,
        has_gold=np.array([names is not None for names in sets], np.bool_),
        seconds=np.full(len(items), spent / max(len(items), 1)),
    )
    return Contender(predictions, title)
