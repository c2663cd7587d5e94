"""Bootstrap resamples of many items without visiting items.

Items that look alike are counted once: a resample of N items is one multinomial draw over the kinds of
items, and a tally of it is one matrix product. Means of columns are products too. The same seed and N give
the same resamples of items for every contender, so that differences are paired.

Axes: R resamples, N items, K kinds of items, C classes, M columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.core.outcomes import Judged
from tunewright.core.records import Predictions
from tunewright.core.seeds import key
from tunewright.metrics import Averaged, Tally

Floats = NDArray[np.float64]
_CHUNK = 4_000_000
_RARE = 0.05
"""Columns with a smaller share of ones are multiplied as sparse."""


@dataclass(frozen=True)
class Kinds:
    """The kinds of items: `gold (K,)`, `outputs (K, contenders)` and how many items each stands for, `counts (K,)`."""

    gold: NDArray[np.int64]
    outputs: NDArray[np.int64]
    counts: NDArray[np.int64]
    classes: int

    def tally(self, weights: Floats, contender: int) -> Tally:
        """The (..., C) tally of items weighted (..., K)."""
        output = self.outputs[:, contender]
        one = np.eye(self.classes)
        right = one[self.gold] * (self.gold == output)[:, None]
        return Tally(weights @ right, weights @ one[self.gold], weights @ one[output])

    def draws(self, resamples: int, seed: int) -> Floats:
        """(R, K) counts of each kind in R resamples of all items."""
        n = int(self.counts.sum())
        rng = np.random.default_rng(key(seed, "bootstrap", "kinds"))
        return rng.multinomial(n, self.counts / n, size=resamples).astype(np.float64)

    def left_out(self) -> Floats:
        """(K, K) counts with one item of each kind left out."""
        return np.asarray(self.counts - np.eye(len(self.counts)), np.float64)


def kinds(*contenders: Predictions) -> Kinds:
    """The kinds of labelled items by (gold, output of every contender); the items must be aligned."""
    first = contenders[0]
    c = len(first.labels)
    rows = np.stack([first.gold, *(p.output for p in contenders)], axis=1)
    codes = rows @ (c ** np.arange(rows.shape[1], dtype=np.int64)[::-1])
    _, where, counts = np.unique(codes, return_index=True, return_counts=True)
    return Kinds(rows[where, 0], rows[where, 1:], counts, c)


def shared_draws(
    contenders: Sequence[Judged], metrics: Iterable[Averaged], resamples: int, seed: int
) -> dict[tuple[str, str], Floats]:
    """(R, K) resampled column means by (contender, the metric's `source`), all from one pass over the same resamples.

    The contenders must be aligned. Where a metric has no value for a contender it is left out.
    """
    metrics = list(metrics)
    columns: dict[tuple[str, str], Floats] = {}
    for p in contenders:
        for metric in metrics:
            if (p.contender, metric.source) not in columns and metric.undefined(p) is None:
                columns[p.contender, metric.source] = metric.columns(p)
    if not columns:
        return {}
    drawn = mean_draws(np.concatenate(list(columns.values()), axis=1), resamples, seed)
    ends = np.cumsum([c.shape[1] for c in columns.values()])[:-1]
    return dict(zip(columns, np.split(drawn, ends, axis=1), strict=True))


def mean_draws(columns: Floats, resamples: int, seed: int) -> Floats:
    """(R, M) means of the columns (N, M) over R resamples of the items.

    Cost: O(R N M), chunked; a column of 0 and few 1 (one label of many) costs its ones, and its sums are exact anyhow.
    """
    n = len(columns)
    rare = ((columns == 0) | (columns == 1)).all(axis=0) & (np.count_nonzero(columns, axis=0) < _RARE * n)
    if not rare.any():
        return np.concatenate([weights @ columns for weights in _weights(n, resamples, seed)]) / n
    from scipy.sparse import csr_array

    few, many = csr_array(columns[:, rare].T), columns[:, ~rare]
    drawn = np.empty((resamples, columns.shape[1]))
    start = 0
    for weights in _weights(n, resamples, seed):
        rows = slice(start, start := start + len(weights))
        drawn[rows, rare] = (few @ weights.T).T
        drawn[rows, ~rare] = weights @ many
    return drawn / n


def _weights(n: int, resamples: int, seed: int) -> Iterator[Floats]:
    rng = np.random.default_rng(key(seed, "bootstrap", "items"))
    rows = max(1, _CHUNK // max(n, 1))
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)
