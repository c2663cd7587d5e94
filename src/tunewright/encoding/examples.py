"""A rendered and tokenized record."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tunewright.core.records import Record
from tunewright.core.tensors import IGNORED

Target = int | NDArray[Any]
"""A class index, 0 and 1 for every label (C,) float32, numbers (K,) float64, or what each token's scores should say
(n,) int64, IGNORED where a token is not supervised."""


@dataclass(frozen=True, slots=True)
class Example:
    """tokens (n,): int64 token ids with the model's special tokens. target: None where unlabelled.

    types (n,): token types where the model has them. full: how many tokens there were before truncation.
    unit: what is supervised. With "token", `target` stands beside the tokens (beside the decoder's where there is one):
    target[p] is what the scores made at p should say, so that of a causal model is the next token.
    decoder (m,): what an encoder-decoder's decoder reads. other: the sequence that this one is preferred to.
    given: further numbers by name. soft (C,): how likely each class is to be right, where it is not sure; the loss goes by
    it, all else by the target. weight: its factor in the loss.
    """

    id: str
    tokens: NDArray[np.int64]
    target: Target | None
    full: int
    types: NDArray[np.int64] | None = None
    unit: Literal["example", "token", "pair"] = "example"
    decoder: NDArray[np.int64] | None = None
    other: Example | None = None
    given: Mapping[str, float] = field(default_factory=dict)
    soft: NDArray[np.float32] | None = None
    weight: float = 1.0

    def read(self) -> list[NDArray[np.int64]]:
        """The tokens of all sides."""
        sides = [self.tokens] if self.decoder is None else [self.tokens, self.decoder]
        return sides if self.other is None else [*sides, *self.other.read()]

    def __len__(self) -> int:
        """Tokens that the model reads for it, on all sides."""
        return sum(map(len, self.read()))


def numbered(examples: Sequence[Example]) -> list[Example]:
    """The Examples of one record, whose id they bear: where there are several, "id#0", "id#1", ..."""
    return list(examples) if len(examples) == 1 else [replace(e, id=f"{e.id}#{i}") for i, e in enumerate(examples)]


def record_of(example_id: str) -> str:
    """The id of the record that an Example came from."""
    return re.sub(r"#\d+$", "", example_id)


class Tokenize(Protocol):
    """Token ids, token types (None where the model has none) and untruncated lengths of texts or pairs."""

    def __call__(
        self, texts: Sequence[str], pairs: Sequence[str] | None, limit: int
    ) -> tuple[list[list[int]], list[list[int]] | None, list[int]]: ...


def weighted(examples: Sequence[Example], records: Sequence[Record]) -> list[Example]:
    """The Examples of `records`, each with its record's weight."""
    weights = {r.id: r.weight for r in records if r.weight != 1.0}
    return [replace(e, weight=weights.get(record_of(e.id), 1.0)) for e in examples] if weights else list(examples)


def encode(
    records: Sequence[Record],
    tokenize: Tokenize,
    target: Callable[[str], Target | None],
    limit: int,
    soft: Callable[[Record], NDArray[np.float32] | None] = lambda record: None,
) -> list[Example]:
    """Examples of `records`, in their order, cut at `limit` tokens; `full` says how long each would have been.

    Args:
        target: what a record's label is for the model; None for a label that it does not know.
        soft: what it learns in place of a label that is not sure; None for the label.
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
            soft=soft(record),
            weight=record.weight,
        )
        for i, record in enumerate(records)
    ]


def token_counts(examples: Sequence[Example]) -> tuple[int, ...]:
    """(V,) how often each token is what should be said; how often it is read, where nothing is supervised as yet."""
    targets = [np.asarray(e.target) for e in examples if e.target is not None] or [np.zeros(0, np.int64)]
    asked = np.concatenate(targets)
    asked = asked[asked != IGNORED]
    if not len(asked) and examples:
        asked = np.concatenate([e.tokens for e in examples])
    return tuple(np.bincount(asked.astype(np.int64)).tolist())
