"""What contenders said of items where the answer is no single class: numbers, or sets of labels.

`Predictions` (records.py) holds one class an item; these hold the other shapes. All of them are `Judged`, which is all
that alignment, resampling and files need to know.

Axes: N items, K targets, C labels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@runtime_checkable
class Judged(Protocol):
    """Predictions of any shape: one contender, one split, items in an order.

    `labels` are the classes, the label names or the targets' names. `seconds (N,)` is the time spent an item.
    """

    @property
    def contender(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def ids(self) -> tuple[str, ...]: ...
    @property
    def seconds(self) -> Floats | None: ...

    def __len__(self) -> int: ...

    def known(self) -> Bools:
        """(N,) whether an item has a gold answer."""
        ...

    def taken(self, rows: Ints) -> Self:
        """The items at these places, in this order."""
        ...

    def supervised(self) -> Self:
        """The items that have a gold answer."""
        ...

    def gold_of(self, row: int) -> object:
        """One item's gold answer as a value that can be compared and written; None where it has none."""
        ...


@dataclass(frozen=True)
class _Shaped:
    contender: str
    split: str
    labels: tuple[str, ...]
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def _check(self, **arrays: tuple[NDArray[np.generic] | None, tuple[int, ...]]) -> None:
        wrong = [f"{n} {a.shape} in place of {s}" for n, (a, s) in arrays.items() if a is not None and a.shape != s]
        if wrong:
            raise ValueError(f"predictions of {self.contender!r}: {len(self.ids)} ids, but {', '.join(wrong)}")


@dataclass(frozen=True)
class Values(_Shaped):
    """Regression: `gold (N, K)` and `output (N, K)` in the targets' own units; gold is NaN where there is none.

    An item is known where every one of its targets is.

    Raises:
        ValueError: the shapes do not fit.
    """

    gold: Floats
    output: Floats
    seconds: Floats | None = None

    def __post_init__(self) -> None:
        n, k = len(self.ids), len(self.labels)
        self._check(gold=(self.gold, (n, k)), output=(self.output, (n, k)), seconds=(self.seconds, (n,)))

    def known(self) -> Bools:
        return np.logical_not(np.isnan(self.gold).any(axis=1))

    def taken(self, rows: Ints) -> Self:
        seconds = None if self.seconds is None else self.seconds[rows]
        ids = tuple(self.ids[i] for i in rows)
        return replace(self, ids=ids, gold=self.gold[rows], output=self.output[rows], seconds=seconds)

    def supervised(self) -> Self:
        known = self.known()
        return self if known.all() else self.taken(np.flatnonzero(known))

    def gold_of(self, row: int) -> object:
        values = self.gold[row].tolist()
        return None if np.isnan(self.gold[row]).any() else values


@dataclass(frozen=True)
class LabelSets(_Shaped):
    """Multi-label: `gold (N, C)` and `output (N, C)` are true where an item has a label, `scores (N, C)` each label's
    own probability. `has_gold (N,)` says whether an item was labelled at all: the empty set is an answer too.

    Raises:
        ValueError: the shapes do not fit.
    """

    gold: Bools
    output: Bools
    scores: Floats
    has_gold: Bools
    seconds: Floats | None = None

    def __post_init__(self) -> None:
        n, c = len(self.ids), len(self.labels)
        self._check(
            gold=(self.gold, (n, c)), output=(self.output, (n, c)), scores=(self.scores, (n, c)),
            has_gold=(self.has_gold, (n,)), seconds=(self.seconds, (n,)),
        )  # fmt: skip

    def known(self) -> Bools:
        return self.has_gold

    def taken(self, rows: Ints) -> Self:
        return replace(
            self,
            ids=tuple(self.ids[i] for i in rows),
            gold=self.gold[rows],
            output=self.output[rows],
            scores=self.scores[rows],
            has_gold=self.has_gold[rows],
            seconds=None if self.seconds is None else self.seconds[rows],
        )

    def supervised(self) -> Self:
        known = self.known()
        return self if known.all() else self.taken(np.flatnonzero(known))

    def gold_of(self, row: int) -> object:
        return [n for n, has in zip(self.labels, self.gold[row], strict=True) if has] if self.has_gold[row] else None
