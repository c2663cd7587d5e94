"""A rendered and tokenized record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tunewright.core.records import Record

Target = int | NDArray[Any]
"""A class index, 0 and 1 for every label (C,) float32, or numbers (K,) float64."""


@dataclass(frozen=True, slots=True)
class Example:
    """tokens (n,): int64 token ids with the model's special tokens. target: None where unlabelled.

    types (n,): token types where the model has them. full: how many tokens there were before truncation.
    """

    id: str
    tokens: NDArray[np.int64]
    target: Target | None
    full: int
    types: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.tokens)


class Tokenize(Protocol):
    """Token ids, token types (None where the model has none) and untruncated lengths of texts or pairs."""

    def __call__(
        self, texts: Sequence[str], pairs: Sequence[str] | None, limit: int
    ) -> tuple[list[list[int]], list[list[int]] | None, list[int]]: ...


def encode(
    records: Sequence[Record], tokenize: Tokenize, target: Callable[[str], Target | None], limit: int
) -> list[Example]:
    """Examples of `records`, in their order, cut at `limit` tokens; `full` says how long each would have been.

    Args:
        target: what a record's label is for the model; None for a label that it does not know.
    """
    if not records:
        return []
    pairs = [r.pair or "" for r in records] if any(r.pair is not None for r in records) else None
    tokens, types, full = tokenize([r.text for r in records], pairs, limit)
    return [
        Example(
            record.id,
            np.asarray(tokens[i], dtype=np.int64),
            None if record.label is None else target(record.label),
            full[i],
            None if types is None else np.asarray(types[i], dtype=np.int64),
        )
        for i, record in enumerate(records)
    ]
