"""What the rows most like a row are labelled: a second opinion that a linear probe cannot have.

Each row asks its 10 nearest rows by the cosine of word (Chinese: one and two characters) TF-IDF, of other folds than its
own, so that copies of it do not vote. A vote weighs the square of the cosine; half a vote is shared out as the labels are:

    p(k) = (sum of cos^2 over neighbours of label k + prior_k / 2) / (sum of cos^2 + 1/2)

Cost: N rows against at most 20,000 others in blocks, some 3 s for 7,000 phrases; beyond that many rows the others are a keyed
sample. Vectors may be given in place of words. Axes: N rows, C classes, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.scripts import cjk
from tunewright.core.words import one_thread
from tunewright.data.probe import Floats, Ints

NEAREST = 10
MOST = 20_000
_BLOCK = 512


def words(texts: Sequence[str]) -> Any:
    """(N, D) TF-IDF of single words; of characters and pairs of them where the texts are Chinese, Japanese or Korean."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if cjk(texts):
        made = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True)
    else:
        made = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", sublinear_tf=True)
    return made.fit_transform(texts).astype(np.float32)


def votes(features: Any, given: Ints, classes: int, folds: Ints, order: Ints | None = None) -> Floats:
    """(N, C) what the nearest rows of other folds are labelled.

    Args:
        features: (N, D) rows of length one, sparse or dense.
        order: (N,) keys by which a sample is taken where there are too many rows; their places otherwise.
    """
    n = len(given)
    asked = np.arange(n) if n <= MOST else np.sort(np.argsort(np.arange(n) if order is None else order)[:MOST])
    others = features[asked].T
    others = others.tocsr() if hasattr(others, "tocsr") else np.ascontiguousarray(others)
    prior = np.bincount(given, minlength=classes) / n
    out = np.empty((n, classes))
    nearest = min(NEAREST, len(asked))
    with one_thread():
        for start in range(0, n, _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, n))
            product = features[rows] @ others
            like = np.asarray(product.toarray() if hasattr(product, "toarray") else product, np.float32)
            like[folds[rows][:, None] == folds[asked][None]] = 0
            out[rows] = _counted(like, given[asked], classes, nearest, prior)
    return out


def _counted(like: NDArray[np.float32], labels: Ints, classes: int, nearest: int, prior: Floats) -> Floats:
    best = np.argpartition(-like, nearest - 1, axis=1)[:, :nearest]
    weights = np.clip(np.take_along_axis(like, best, 1), 0, None).astype(np.float64) ** 2
    cells = np.arange(len(like))[:, None] * classes + labels[best]
    sums = np.bincount(cells.ravel(), weights=weights.ravel(), minlength=len(like) * classes).reshape(-1, classes)
    out: Floats = (sums + prior / 2) / (sums.sum(axis=1, keepdims=True) + 0.5)
    return out
