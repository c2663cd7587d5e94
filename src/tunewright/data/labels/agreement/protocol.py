"""What a coefficient of agreement is: a function of sums over items, so that a resample of items costs one product.

Axes: N items, C labels, P parts of a coefficient, R resamples. `counts` (N, C) says how many annotators gave each item each label;
m is its sum over the labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tunewright.data.labels.intervals import Figure, bounded, refused, resamples

Floats = NDArray[np.float64]
_CELLS = 4_000_000


class Coefficient(Protocol):
    """`parts` is what an item adds (N, P); `of` what sums (R, P) of it come to (R,), NaN where they say nothing."""

    @property
    def name(self) -> str: ...

    def parts(self, counts: Floats) -> Floats: ...

    def of(self, sums: Floats) -> Floats: ...


@dataclass(frozen=True)
class Scale:
    """How near labels are to each other: weights (C, C), 1 on the diagonal, and the labels as numbers (C,)."""

    weights: Floats
    values: Floats


def value(coefficient: Coefficient, counts: Floats) -> float:
    """The coefficient of all items; NaN where it is undefined."""
    sums = np.sum([coefficient.parts(block).sum(0) for block in _blocks(counts, coefficient)], axis=0)
    return float(coefficient.of(sums[None])[0])


def figure(
    coefficient: Coefficient, counts: Floats, seed: int, draws: int = 1000, why: Callable[[Floats], str] = lambda c: ""
) -> Figure:
    """The coefficient with its interval over items, or the reason why there is none.

    Args:
        why: says why these counts have no such figure; empty where they have.
    """
    reason = why(counts)
    if reason:
        return refused(reason)
    found = value(coefficient, counts)
    if not np.isfinite(found):
        return refused("every answer is the same label")
    if not draws:
        return Figure(found)
    made = []
    for drawn in resamples(len(counts), draws, seed, coefficient.name):
        sums, at = np.zeros(()), 0
        for block in _blocks(counts, coefficient):
            sums = sums + drawn[:, at : at + len(block)] @ coefficient.parts(block)
            at += len(block)
        made.append(coefficient.of(sums))
    return bounded(found, np.concatenate(made))


def _blocks(counts: Floats, coefficient: Coefficient) -> list[Floats]:
    """The items in blocks whose parts fit into memory."""
    width = coefficient.parts(counts[:1]).shape[1]
    step = max(1, _CELLS // max(width, 1))
    return [counts[start : start + step] for start in range(0, len(counts), step)]


def ratio(above: Floats, below: Floats) -> Floats:
    """Their quotient; NaN where nothing is below."""
    return np.divide(above, below, out=np.full_like(np.asarray(above, np.float64), np.nan), where=np.abs(below) > 1e-12)
