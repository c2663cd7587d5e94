"""Fixed features that baselines put a linear head on: TF-IDF of texts, and standardised features of a frozen model.

Axes: N training items, M other items, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import DataError, Problem
from tunewright.core.records import Record
from tunewright.core.words import one_thread, vectorizer

__all__ = ["all_finite", "one_thread", "standardiser", "text_features", "vectorizer", "whole_text"]

Array = NDArray[np.floating[Any]]


def whole_text(record: Record) -> str:
    """The text, followed by the second one where there are two."""
    return record.text if record.pair is None else f"{record.text} {record.pair}"


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
