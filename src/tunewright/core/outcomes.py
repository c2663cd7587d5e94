"""What contenders said of items where the answer is no single class: numbers, sets of labels, spans, texts, likelihoods.

`Predictions` (records.py) holds one class an item; these hold the other shapes. All of them are `Judged`, which is all
that alignment, resampling and files need to know.

Axes: N items, K targets, C labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Span = tuple[int, int, str]
"""Where an entity starts and ends, in characters of the text, end exclusive, and its type."""


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

    def _check_lengths(self, **columns: Sequence[object]) -> None:
        wrong = [f"{len(column)} {name}" for name, column in columns.items() if len(column) != len(self.ids)]
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


_OF_ALL = {"contender", "split", "labels", "task"}
"""Fields that hold no column of one value an item."""


class _Several(_Shaped):
    """Picks items out of every field that has one value an item."""

    seconds: Floats | None

    def known(self) -> Bools:
        return np.ones(len(self), np.bool_)

    def taken(self, rows: Ints) -> Self:
        columns = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _OF_ALL}
        picked = {name: _picked(column, rows) for name, column in columns.items() if column is not None}
        return replace(self, **picked)

    def supervised(self) -> Self:
        known = self.known()
        return self if known.all() else self.taken(np.flatnonzero(known))


def _picked(column: Any, rows: Ints) -> Any:
    return column[rows] if isinstance(column, np.ndarray) else tuple(column[i] for i in rows)


@dataclass(frozen=True)
class Entities(_Several):
    """Token classification: the spans of every item. `gold` is None where an item has no answer; `()` is one.

    `labels` are the types. Spans are sorted and do not overlap.

    Raises:
        ValueError: the shapes do not fit.
    """

    gold: tuple[tuple[Span, ...] | None, ...]
    output: tuple[tuple[Span, ...], ...]
    seconds: Floats | None = None

    def __post_init__(self) -> None:
        self._check_lengths(gold=self.gold, output=self.output)
        self._check(seconds=(self.seconds, (len(self),)))

    def known(self) -> Bools:
        return np.array([spans is not None for spans in self.gold], np.bool_)

    def gold_of(self, row: int) -> object:
        spans = self.gold[row]
        return None if spans is None else [list(span) for span in spans]


@dataclass(frozen=True)
class Texts(_Several):
    """Chat and sequence to sequence: the reply that was wanted and the one that was written.

    `nll (N,)` is the sum of -log p, in nats, over the `tokens (N,)` tokens of the gold reply; NaN where the contender
    gives none (a copied text has no likelihood) or the item has no gold reply. `truncated (N,)` says which outputs were
    cut at the limit of their length, where that is known. `task` is chat or seq2seq.

    Raises:
        ValueError: the shapes do not fit.
    """

    gold: tuple[str | None, ...]
    output: tuple[str, ...]
    nll: Floats
    tokens: Ints
    seconds: Floats | None = None
    truncated: Bools | None = None
    task: str = "chat"

    def __post_init__(self) -> None:
        n = len(self)
        self._check_lengths(gold=self.gold, output=self.output)
        self._check(
            nll=(self.nll, (n,)), tokens=(self.tokens, (n,)), seconds=(self.seconds, (n,)),
            truncated=(self.truncated, (n,)),
        )  # fmt: skip

    def known(self) -> Bools:
        return np.array([text is not None for text in self.gold], np.bool_)

    def gold_of(self, row: int) -> object:
        return self.gold[row]


@dataclass(frozen=True)
class Likelihoods(_Several):
    """Language modelling: how probable every document is. The documents are their own gold: every item is known.

    `nll (N,)` is the sum of -log p in nats over the document's `tokens (N,)` predicted tokens; `bytes (N,)` is its size
    in UTF-8, which models with different tokens have in common.

    Raises:
        ValueError: the shapes do not fit.
    """

    nll: Floats
    tokens: Ints
    bytes: Ints
    seconds: Floats | None = None

    def __post_init__(self) -> None:
        n = len(self)
        self._check(
            nll=(self.nll, (n,)), tokens=(self.tokens, (n,)), bytes=(self.bytes, (n,)), seconds=(self.seconds, (n,))
        )

    def gold_of(self, row: int) -> object:
        """The document's size: two contenders that read different documents are found out."""
        return int(self.bytes[row])


@dataclass(frozen=True)
class Margins(_Several):
    """Preferences: the reward of each item's `chosen (N,)` and `rejected (N,)` reply; NaN for a side that it has not.

    An item with a thumb has one side only: `chosen` where the thumb is up. Every item is known. `task` is preference or
    reward.

    Raises:
        ValueError: the shapes do not fit.
    """

    chosen: Floats
    rejected: Floats
    seconds: Floats | None = None
    task: str = "preference"

    def __post_init__(self) -> None:
        n = len(self)
        self._check(chosen=(self.chosen, (n,)), rejected=(self.rejected, (n,)), seconds=(self.seconds, (n,)))

    def margin(self) -> Floats:
        """(N,) reward of the chosen reply minus that of the rejected one, a missing side counting 0; right above 0."""
        return np.asarray(np.nan_to_num(self.chosen) - np.nan_to_num(self.rejected))

    def gold_of(self, row: int) -> object:
        """Which of the sides the item has."""
        sides = (("chosen", self.chosen), ("rejected", self.rejected))
        return [name for name, reward in sides if not np.isnan(reward[row])]
