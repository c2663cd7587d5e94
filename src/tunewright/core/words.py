"""TF-IDF of texts by their script, for whoever puts a linear head on it. scikit-learn is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from tunewright.core.scripts import cjk


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


def one_thread() -> AbstractContextManager[Any]:
    """Sums in one order, so that coefficients do not depend on the number of cores; threads gain nothing here."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped,unused-ignore]

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits
