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
STRENGTH = 10.0
"""C of scikit-learn's logistic regression: the weight of the rows against that of the penalty."""


def counter(texts: Sequence[str]) -> Callable[[Sequence[str]], Any]:
    """What counts the words and pairs of words of any texts, as (N, F) sparse matrices; F are those of `texts`."""
    from sklearn.feature_extraction.text import CountVectorizer

    fitted = CountVectorizer(analyzer=_grams, dtype=np.float64).fit(texts)
    return lambda others: fitted.transform(others).tocsr()


def _grams(text: str) -> list[str]:
    words = pieces(folded(text)) or [folded(text)]  # a text of emoji is one word
    return words + [f"{a} {b}" for a, b in itertools.pairwise(words)]


class Probe:
    """A classifier of counted texts. `classes` (C,) are the labels in the order of its probabilities."""

    def __init__(self, counts: Any, labels: NDArray[Any], strength: float = STRENGTH) -> None:
        from sklearn.feature_extraction.text import TfidfTransformer
        from sklearn.linear_model import LogisticRegression

        self.known = np.flatnonzero(np.asarray(counts.sum(0)).ravel())
        self.weigh = TfidfTransformer(sublinear_tf=True, smooth_idf=False).fit(counts[:, self.known])
        self.model = LogisticRegression(C=strength, max_iter=300, tol=1e-3)
        self.model.fit(self.weigh.transform(counts[:, self.known]), labels)
        self.classes: NDArray[Any] = self.model.classes_

    def probabilities(self, counts: Any) -> Probabilities:
        """(N, C) of each text's classes."""
        found: Probabilities = self.model.predict_proba(self.weigh.transform(counts[:, self.known]))
        return found
