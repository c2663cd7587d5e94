"""The probe: a cheap classifier whose probabilities for a row come from rows that are no copies of it.

Rows are divided into `folds` by a hash of their content (of their cluster or group where they have one), so that copies are
never on both sides and a row's fold does not depend on other rows. For each fold a logistic regression learns from the
others: on TF-IDF by script (`core.words`), reduced to 300 dimensions (truncated SVD; Halko et al. 2011) where there are more
than ten classes, because the cost of a sparse multinomial fit grows with their number; or on vectors of length one.

Differs from baselines: features are fitted once on all texts, which tells nothing of labels, and the strength is fixed
rather than searched for. Cost: 6,700 phrases of 2 classes in a second, 8,000 tweets of 3 in about ten, 8,600 questions of 77
in about ten. Refuses fewer than two classes. Axes: N rows, C classes, D features.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import DataError, Problem
from tunewright.core.records import content_id
from tunewright.core.seeds import key
from tunewright.core.words import one_thread, vectorizer
from tunewright.data.journal import Draft, folded
from tunewright.data.units import units

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FOLDS = 5
_MANY = 10
_WIDTH = 300
_LEAST = 1e-6
"""Out-of-sample probabilities are kept above this: a class that a fold's training rows lack is not impossible."""


@dataclass(frozen=True)
class Judged:
    """Out-of-sample probabilities (N, C) of `labels`, each row's fold (N,), and the given labels' places (N,)."""

    labels: tuple[str, ...]
    given: Ints
    probabilities: Floats
    folds: Ints

    def own(self) -> Floats:
        """(N,) the probability of the label that each row was given."""
        out: Floats = self.probabilities[np.arange(len(self.given)), self.given]
        return out


def whole_text(draft: Draft) -> str:
    """The text, followed by the second one where there are two."""
    return draft.text if draft.pair is None else f"{draft.text} {draft.pair}"


def folds_of(drafts: Sequence[Draft], seed: int, folds: int = FOLDS, *, by_group: bool = False) -> Ints:
    """(N,) the fold of each row, by the content of the unit that it belongs to."""
    for draft in drafts:
        if not draft.key:
            draft.key = content_id(folded(draft.text), None if draft.pair is None else folded(draft.pair))
    return np.array([key(seed, "probe", unit) % folds for unit in units(drafts, by_group)], np.int64)


def classes_of(drafts: Sequence[Draft]) -> tuple[tuple[str, ...], Ints]:
    """The classes, sorted, and each row's (N,).

    Raises:
        DataError: a row without a label, or fewer than two classes.
    """
    counts = Counter(draft.label for draft in drafts)
    if None in counts or len(counts) < 2:
        found = f"{counts[None]} rows without a label" if None in counts else f"{len(counts)} classes"
        raise DataError(Problem(where="probe", found=found, allowed="labelled rows of at least two classes"))
    labels = tuple(sorted(label for label in counts if label is not None))
    place = {label: i for i, label in enumerate(labels)}
    return labels, np.array([place[draft.label or ""] for draft in drafts], np.int64)


def text_features(texts: Sequence[str], classes: int, seed: int = 0) -> Any:
    """(N, D) TF-IDF; dense and reduced where there are many classes.

    Raises:
        DataError: no text holds a letter.
    """
    words = vectorizer(texts)
    try:
        sparse = words.fit_transform(texts)
    except ValueError:
        raise DataError(Problem(where="probe", found="no text holds a letter", allowed="texts with words")) from None
    if classes <= _MANY or min(sparse.shape) <= 2 * _WIDTH:
        return sparse.tocsr()
    return reduced(sparse, seed)


def reduced(sparse: Any, seed: int = 0) -> NDArray[np.float32]:
    """(N, 300) the leading directions of sparse features; fewer where there are fewer."""
    from sklearn.decomposition import TruncatedSVD

    width = min(_WIDTH, min(sparse.shape) - 1)
    with one_thread():
        reduce = TruncatedSVD(width, n_iter=2, random_state=key(seed, "svd") % 2**32)
        return np.asarray(reduce.fit_transform(sparse), np.float32)


def fitted(features: Any, given: Ints, weights: Floats | None = None) -> Any:
    """A logistic regression on these rows; the only class where there is one."""
    from sklearn.linear_model import LogisticRegression

    if (given == given[0]).all():
        return int(given[0])
    with one_thread():
        if hasattr(features, "tocsr") and len(np.unique(given)) == 2:
            model = LogisticRegression(C=3.0, solver="liblinear", dual=True, tol=0.05, random_state=0)
        elif hasattr(features, "tocsr"):
            # One against the rest would be five times as fast, but is sure of the wrong class where one lies between others.
            model = LogisticRegression(C=3.0, max_iter=30, tol=1e-3)
        else:
            model = LogisticRegression(C=10.0, max_iter=60, tol=1e-3)
        return model.fit(features, given, sample_weight=weights)


def probabilities(model: Any, features: Any, classes: int) -> Floats:
    """(N, C) what a model of `fitted` says of rows, nothing below 1e-6."""
    out = np.full((features.shape[0], classes), _LEAST)
    if isinstance(model, int):
        out[:, model] = 1.0
    elif len(out):
        out[:, model.classes_] = np.maximum(model.predict_proba(features), _LEAST)
    made: Floats = out / out.sum(axis=1, keepdims=True)
    return made


def cross_validated(
    features: Any, given: Ints, classes: int, folds: Ints, *, kept: NDArray[np.bool_] | None = None
) -> Floats:
    """(N, C) each row's probabilities by a model of the other folds' rows, of those that are `kept` where given."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    out = np.full((len(given), classes), 1.0 / classes)
    for fold in np.unique(folds):
        learnt, asked = (
            np.flatnonzero((folds != fold) & (True if kept is None else kept)),
            np.flatnonzero(folds == fold),
        )
        if not len(learnt):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the bound on its steps is meant
            model = fitted(features[learnt], given[learnt])
        out[asked] = probabilities(model, features[asked], classes)
    return out


def judged(drafts: Sequence[Draft], features: Any, seed: int, folds: int = FOLDS, *, by_group: bool = False) -> Judged:
    """Out-of-sample probabilities of labelled rows by their features (N, D), sparse or dense."""
    labels, given = classes_of(drafts)
    parts = folds_of(drafts, seed, folds, by_group=by_group)
    return Judged(labels, given, cross_validated(features, given, len(labels), parts), parts)
