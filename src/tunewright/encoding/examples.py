"""A rendered and tokenized record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tunewright.core.records import Record


@dataclass(frozen=True, slots=True)
class Example:
    """tokens (n,): int64 token ids with the model's special tokens. target: class index, None where unlabelled.

    types (n,): token types where the model has them. full: how many tokens there were before truncation.
    """

    id: str
    tokens: NDArray[np.int64]
    target: int | None
    full: int
    types: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.tokens)


class Tokenize(Protocol):
    """Token ids, token types (None where the model has none) and untruncated lengths of texts or pairs."""

    def __call__(
        self, texts: Sequence[str], pairs: Sequence[str] | None, limit: int
    ) -> tuple[list[list[int]], list[list[int]] | None, list[int]]: ...


def encode(records: Sequence[Record], tokenize: Tokenize, labels: Mapping[str, int], limit: int) -> list[Example]:
    """Examples of `records`, in their order, cut at `limit` tokens; `full` says how long each would have been."""
    if not records:
        return []
    pairs = [r.pair or "" for r in records] if any(r.pair is not None for r in records) else None
    tokens, types, full = tokenize([r.text for r in records], pairs, limit)
    return [
        Example(
            record.id,
            np.asarray(tokens[i], dtype=np.int64),
            None if record.label is None else labels.get(record.label),
            full[i],
            None if types is None else np.asarray(types[i], dtype=np.int64),
        )
        for i, record in enumerate(records)
    ]
