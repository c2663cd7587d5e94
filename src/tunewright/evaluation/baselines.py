"""What the tuned model must beat: the majority class, TF-IDF with logistic regression, frozen features.

Honest baselines: their one strength, the penalty of the logistic regression, is chosen on the
validation set or by inner cross-validation, never on the items that they predict.

Axes: N training items, M predicted items, D features, C labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import DataError, Problem, listed
from tunewright.core.records import Predictions, Record
from tunewright.core.scripts import cjk
from tunewright.core.seeds import key
from tunewright.evaluation.features import all_finite, one_thread, standardiser, vectorizer, whole_text
from tunewright.evaluation.predictions import Contender

__all__ = ["cjk", "linear", "majority", "tfidf"]

STRENGTHS = (0.1, 1.0, 10.0)


def majority(
    train: Sequence[Record],
    items: Sequence[Record],
    *,
    validation: Sequence[Record] | None = None,
    labels: Sequence[str] | None = None,
    split: str = "test",
) -> Contender:
    """Always the most frequent training label (ties: the first in order); scores are the training shares.

    `validation` is there because other tasks' first rung needs it (`ladders`).

    Raises:
        DataError: no training item has a label, or a label is not among `labels`.
    """
    labels, gold = _labels(train, items, labels)
    started = perf_counter()
    shares = np.bincount(gold, minlength=len(labels)) / len(gold)
    scores = np.tile(shares, (len(items), 1))
    spent = perf_counter() - started
    return _contender("majority", "Majority class", scores, items, labels=labels, split=split, spent=spent)


def tfidf(
    train: Sequence[Record],
    items: Sequence[Record],
    seed: int = 0,
    *,
    validation: Sequence[Record] | None = None,
    labels: Sequence[str] | None = None,
    split: str = "test",
) -> Contender:
    """TF-IDF (`features.vectorizer`), then logistic regression.

    Cost: seconds for 10,000 short texts; no randomness but the inner folds.

    Raises:
        DataError: as `majority`.
    """
    labels, gold = _labels(train, items, labels)
    texts = [whole_text(r) for r in train if r.label is not None]
    held = [r for r in validation or () if r.label in labels]
    words = vectorizer(texts)
    try:
        features = words.fit_transform(texts)
    except ValueError:  # no text holds a single letter: scikit-learn finds an empty vocabulary
        plain: Any = majority(train, items, labels=labels, split=split).predictions
        return _contender("tfidf", "TF-IDF", plain.scores, items, labels=labels, split=split, spent=0.0)
    held_out = None
    if held:
        held_out = (words.transform([whole_text(r) for r in held]), _indices(held, labels))
    fitted = _fit(features, gold, held_out, seed)
    started = perf_counter()
    seen = words.transform([whole_text(r) for r in items]) if items else np.zeros((0, features.shape[1]))
    scores = _probabilities(fitted, seen, len(labels))
    spent = perf_counter() - started
    return _contender("tfidf", "TF-IDF + logistic regression", scores, items, labels=labels, split=split, spent=spent)


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
    """The frozen base model with a linear head: standardised features, then logistic regression.

    Args:
        train_features: (N, D) of `train`, in order.
        features: (M, D) of `items`, in order.
        validation_features: (V, D) of `validation`; both or neither.
        seconds: what an item's features cost to compute; added to the prediction's own time.

    Raises:
        DataError: as `majority`, or features that are not finite.
    """
    labels, gold = _labels(train, items, labels)
    kept = np.array([r.label is not None for r in train])
    all_finite({"train": train_features, "items": features, "validation": validation_features})
    scaled = standardiser(np.asarray(train_features)[kept])
    held_out = None
    if validation_features is not None and validation:
        known = np.array([r.label in labels for r in validation])
        if known.any():
            held_out = (
                scaled(validation_features[known]),
                _indices([r for r in validation if r.label in labels], labels),
            )
    fitted = _fit(scaled(np.asarray(train_features)[kept]), gold, held_out, seed, strengths=(0.001, 0.01, 0.1, 1.0))
    started = perf_counter()
    scores = _probabilities(fitted, scaled(features), len(labels))
    spent = perf_counter() - started + seconds * len(items)
    return _contender(
        "linear", "Frozen base model + linear head", scores, items, labels=labels, split=split, spent=spent
    )


def _fit(
    features: Any,
    gold: NDArray[np.int64],
    held_out: tuple[Any, NDArray[np.int64]] | None,
    seed: int,
    strengths: Sequence[float] = STRENGTHS,
) -> Any:
    """A fitted classifier, or the only class there is. Chosen by log-loss, which uses the items best."""
    if (gold == gold[0]).all():
        return int(gold[0])
    with one_thread():
        return _chosen(features, gold, held_out, seed, strengths=strengths)


def _chosen(
    features: Any,
    gold: NDArray[np.int64],
    held_out: tuple[Any, NDArray[np.int64]] | None,
    seed: int,
    *,
    strengths: Sequence[float],
) -> Any:
    if held_out is not None:
        x, y = held_out
        classes = 1 + max(int(gold.max()), int(y.max()))
        fits = [_logistic(c).fit(features, gold) for c in strengths]
        return fits[int(np.argmin([_mean_loss(_probabilities(fit, x, classes), y) for fit in fits]))]
    losses = [_inner_loss(features, gold, seed, c) for c in strengths]
    return _logistic(strengths[int(np.argmin(losses))]).fit(features, gold)


def _inner_loss(features: Any, gold: NDArray[np.int64], seed: int, c: float) -> float:
    """The log-loss of cross-validation within the training items."""
    from sklearn.model_selection import StratifiedKFold

    folds = min(3, int(np.bincount(gold)[np.unique(gold)].min()))
    if folds < 2:
        return abs(float(np.log(c)))  # a class with one item cannot be split: the default strength 1
    cut = StratifiedKFold(folds, shuffle=True, random_state=key(seed, "baselines") % 2**32)
    classes = int(gold.max()) + 1
    losses = [
        _mean_loss(_probabilities(_logistic(c).fit(features[a], gold[a]), features[b], classes), gold[b])
        for a, b in cut.split(np.zeros(len(gold)), gold)
    ]
    return float(np.mean(losses))


def _logistic(c: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    # A tenth of the default precision is as accurate on held-out tweets and three times as fast.
    return LogisticRegression(C=c, max_iter=2000, tol=1e-3)


def _mean_loss(scores: NDArray[np.float64], gold: NDArray[np.int64]) -> float:
    return float(-np.log(np.clip(scores[np.arange(len(gold)), gold], 1e-15, 1.0)).mean())


def _probabilities(fitted: Any, features: Any, classes: int) -> NDArray[np.float64]:
    """(M, C), 0 for labels that training never saw."""
    scores = np.zeros((features.shape[0], classes))
    if isinstance(fitted, int):
        scores[:, fitted] = 1.0
    elif len(scores):
        scores[:, fitted.classes_] = fitted.predict_proba(features)
    return scores


def _indices(records: Sequence[Record], labels: Sequence[str]) -> NDArray[np.int64]:
    place = {label: i for i, label in enumerate(labels)}
    return np.array([-1 if r.label is None else place[r.label] for r in records], np.int64)


def _labels(
    train: Sequence[Record], items: Sequence[Record], labels: Sequence[str] | None
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The labels in order and the (N,) indices of the labelled training items."""
    known = [r for r in train if r.label is not None]
    if not known:
        raise DataError(Problem(where="baselines", found="no training item has a label", allowed="at least one"))
    seen = {r.label for r in [*train, *items] if r.label is not None}
    given = tuple(sorted(seen)) if labels is None else tuple(labels)
    strangers = sorted(seen - set(given))
    if strangers:
        raise DataError(Problem(where="baselines", found=f"labels {listed(strangers)}", allowed=listed(given)))
    return given, _indices(known, given)


def _contender(
    name: str,
    title: str,
    scores: NDArray[np.float64],
    items: Sequence[Record],
    *,
    labels: Sequence[str],
    split: str,
    spent: float,
) -> Contender:
    output = scores.argmax(axis=1).astype(np.int64)
    seconds = np.full(len(items), spent / max(len(items), 1))
    ids = tuple(r.id for r in items)
    predictions = Predictions(name, split, tuple(labels), ids, _indices(items, labels), output, scores, seconds)
    return Contender(predictions, title)
