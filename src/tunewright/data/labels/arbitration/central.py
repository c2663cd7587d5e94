"""Median and mean: the middle of the answers on a scale with an order.

An even number of answers with two different ones in the middle: on an ordinal scale the one nearer to the mean rank, a tie where
neither is; on an interval scale the number between them. Cost: O(N C).
"""

from __future__ import annotations

import numpy as np

from tunewright.data.labels.votes import Votes


def central(votes: Votes, mean: bool) -> list[str | int | None]:
    """For each item the place of its label, a number's text where it is none of the labels, or None where it is a tie."""
    counts, v = votes.counts(), votes.values
    n = counts.sum(1)
    if mean:
        return [_text(x, votes) for x in counts @ v / np.maximum(n, 1)]
    below = counts.cumsum(1)
    low = (below >= (n / 2)[:, None] - 1e-9).argmax(1)
    high = (below > (n / 2)[:, None] + 1e-9).argmax(1)
    if votes.level == "interval":
        return [_text((v[a] + v[b]) / 2, votes) for a, b in zip(low, high, strict=True)]
    rank = counts @ np.arange(counts.shape[1]) / np.maximum(n, 1)
    made: list[str | int | None] = []
    for a, b, r in zip(low, high, rank, strict=True):
        nearer, further = abs(r - a), abs(r - b)
        made.append(int(a) if a == b or nearer < further - 1e-9 else int(b) if further < nearer - 1e-9 else None)
    return made


def _text(value: float, votes: Votes) -> str | int:
    """The label that is this number, or the number as text."""
    at = np.flatnonzero(np.abs(votes.values - value) < 1e-12)
    return int(at[0]) if len(at) else f"{value:.6g}"
