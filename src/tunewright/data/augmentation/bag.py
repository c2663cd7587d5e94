"""The probe: a logistic regression on words and pairs of words, weighted by tf-idf, with the sizes of a few hundred rows.

Features are words and pairs of neighbouring words (Chinese by the character), tf = 1 + ln n, idf = 1 + ln(N / df) of the rows
learnt from, length 1. Texts are counted once; a probe learns from some rows of the counts and tells of others. Words that the
rows learnt from do not hold are left out, so that nothing of the others leaks in.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.data.augmentation.words import pieces
from tunewright.data.journal import folded

Probabilities = NDArray[np.float64]
MANY, WIDTH = 10, 150
"""Of more classes the features are reduced to so many dimensions: a sparse fit of 77 classes takes 8 s, this one half a second."""
STRENGTH = 10.0
"""C of scikit-learn's logistic regression: the weight of the rows against that of the penalty."""


def counter(texts: Sequence[str], classes: int = 2) -> Callable[[Sequence[str]], Any]:
    """What makes the features of any texts: counts (N, F) of the words and pairs of words of `texts`, sparse.

    Of more than `MANY` classes they are weighted and reduced (N, WIDTH) by all of `texts`, which says nothing of labels.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import CountVectorizer

    fitted = CountVectorizer(analyzer=_grams, dtype=np.float64)
    counts = fitted.fit_transform(texts).tocsr()
    if classes <= MANY or min(counts.shape) <= WIDTH:
        return lambda others: fitted.transform(others).tocsr()
    weigh = _tfidf().fit(counts)
    narrow = TruncatedSVD(WIDTH, random_state=0).fit(weigh.transform(counts))
    return lambda others: narrow.transform(weigh.transform(fitted.transform(others)))


def _tfidf() -> Any:
    from sklearn.feature_extraction.text import TfidfTransformer

    return TfidfTransformer(sublinear_tf=True, smooth_idf=False)


def _grams(text: str) -> list[str]:
    words = pieces(folded(text)) or [folded(text)]  # a text of emoji is one word
    return words + [f"{a} {b}" for a, b in itertools.pairwise(words)]


class Probe:
    """A classifier of features as `counter` makes them. `classes` (C,) are the labels in the order of its probabilities."""

    def __init__(self, features: Any, labels: NDArray[Any], strength: float = STRENGTH) -> None:
        from sklearn.linear_model import LogisticRegression

        self.weigh: Any = None
        if not isinstance(features, np.ndarray):
            self.known = np.flatnonzero(np.asarray(features.sum(0)).ravel())
            self.weigh = _tfidf().fit(features[:, self.known])
        self.model = LogisticRegression(C=strength, max_iter=300, tol=1e-3)
        self.model.fit(self._weighed(features), labels)
        self.classes: NDArray[Any] = self.model.classes_

    def _weighed(self, features: Any) -> Any:
        return features if self.weigh is None else self.weigh.transform(features[:, self.known])

    def probabilities(self, features: Any) -> Probabilities:
        """(N, C) of each text's classes."""
        found: Probabilities = self.model.predict_proba(self._weighed(features))
        return found
