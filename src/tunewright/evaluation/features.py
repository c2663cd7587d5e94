"""Fixed features that baselines put a linear head on: TF-IDF of texts, and standardised features of a frozen model.

Axes: N training items, M other items, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import DataError, Problem
from tunewright.core.records import Record
from tunewright.core.scripts import cjk

Array = NDArray[np.floating[Any]]


def whole_text(record: Record) -> str:
    """The text, followed by the second one where there are two."""
    return record.text if record.pair is None else f"{record.text} {record.pair}"


def vectorizer(texts: Sequence[str]) -> Any:
    """TF-IDF, not yet fitted, of words (1-2) and of characters (2-4 within words).

    Texts that are mostly Chinese, Japanese or Korean are cut into characters (1-3) alone, because their words are not
    separated.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    if cjk(texts):
        return make_union(TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True))
    rare = 2 if len(texts) >= 200 else 1
    return make_union(
        TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, min_df=rare, max_features=50_000),
    )


def text_features(train: Sequence[Record]) -> Callable[[Sequence[Record]], Any] | None:
    """What turns records into sparse (M, D) features, fitted on these; None where no text holds a single letter.

    Of two texts, beside the TF-IDF of both together: the products and the distances of their own, and their cosine,
    so that a linear head can say how alike they are.
    """
    from scipy.sparse import csr_array, hstack

    texts = [whole_text(r) for r in train]
    pairs = any(r.pair is not None for r in train)
    fitted = vectorizer(texts)
    try:
        fitted.fit(texts)
    except ValueError:  # scikit-learn finds an empty vocabulary
        return None

    def features(records: Sequence[Record]) -> Any:
        if not records:
            return csr_array((0, features(train[:1]).shape[1]))
        together = fitted.transform([whole_text(r) for r in records])
        if not pairs:
            return together
        first, second = fitted.transform([r.text for r in records]), fitted.transform([r.pair or "" for r in records])
        both = first.multiply(second)
        return hstack([together, both, abs(first - second), csr_array(np.asarray(both.sum(axis=1)).reshape(-1, 1))]).tocsr()  # fmt: skip  # noqa: E501

    return features


def standardiser(train: Array) -> Callable[[Array], NDArray[np.float64]]:
    """What gives (M, D) features the centre 0 and the spread 1 that these (N, D) have."""
    x = np.asarray(train, np.float64)
    centre, scale = x.mean(axis=0), x.std(axis=0)
    # A feature that hardly moves in training carries rounding noise: scaling it up would make it loud.
    scale = np.where(scale > 1e-6 * max(float(scale.max(initial=0.0)), 1e-12), scale, np.inf)
    return lambda features: (np.asarray(features, np.float64) - centre) / scale


def all_finite(arrays: Mapping[str, Array | None]) -> None:
    """Refuses features that are not finite.

    Raises:
        DataError: with every array that holds such numbers.
    """
    problems = [
        Problem(where=f"features of {name}", found="numbers that are not finite", allowed="finite numbers")
        for name, array in arrays.items()
        if array is not None and not np.isfinite(array).all()
    ]
    if problems:
        raise DataError(*problems)


def one_thread() -> AbstractContextManager[Any]:
    """Sums in one order, so that coefficients do not depend on the number of cores; threads gain nothing here."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped,unused-ignore]

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits
