"""Records with spans to examples with a tag for every token, and scores of tokens back to spans.

A text that is longer than the limit is cut, and what stands beyond is never an output: a gold span there counts as
missed, as evaluation goes by the record's own spans and not by these targets. `Lost` counts how many there are.

Axes: n tokens, m of them with a character, G tags (`core.spans.tags_of`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tunewright.core.outcomes import Floats, Ints
from tunewright.core.records import Record
from tunewright.core.spans import Spans, best_spans, parsed, tagged, untagged
from tunewright.encoding.examples import Example


class Aligned(Protocol):
    """Token ids cut at `limit`, each token's place in its text, and untruncated lengths.

    A place is (start, end) in code points; (0, 0) for special tokens.
    """

    def __call__(
        self, texts: Sequence[str], limit: int
    ) -> tuple[list[list[int]], list[list[tuple[int, int]]], list[int]]: ...


@dataclass(frozen=True)
class Lost:
    """Of `spans` gold spans: `cut` reach beyond the limit, `blurred` begin or end within a token.

    A tagger cannot output either exactly.
    """

    spans: int = 0
    cut: int = 0
    blurred: int = 0


@dataclass(frozen=True)
class Encoded:
    """Examples of records in their order, with the (n, 2) places of their tokens."""

    examples: list[Example]
    offsets: list[Ints]
    lost: Lost

    def asked(self) -> list[Example]:
        """The examples with every token that has a character supervised, whatever its target: what to score."""
        return [
            Example(e.id, e.tokens, tagged((), places, ()), e.full, e.types, unit="token")
            for e, places in zip(self.examples, self.offsets, strict=True)
        ]


def encode_spans(records: Sequence[Record], aligned: Aligned, types: Sequence[str], limit: int) -> Encoded:
    """Examples whose `target` (n,) is the tag of each token, `IGNORED` where a token has no character.

    It is None where a record is not labelled, or with a type that is not among `types`.
    """
    if not records:
        return Encoded([], [], Lost())
    tokens, places, full = aligned([r.text for r in records], limit)
    examples, offsets, spans, cut, blurred = list[Example](), list[Ints](), 0, 0, 0
    for i, record in enumerate(records):
        at = np.asarray(places[i], np.int64).reshape(-1, 2)
        gold = None if record.label is None else parsed(record.label)
        target = None
        if gold is not None and {kind for _, _, kind in gold} <= set(types):
            target = tagged(gold, at, types)
            beyond = sum(end > at.max(initial=0) for _, end, _ in gold) if full[i] > len(tokens[i]) else 0
            spans, cut = spans + len(gold), cut + beyond
            blurred += len(set(gold) - set(untagged(target, at, record.text, types))) - beyond
        examples.append(
            Example(record.id, np.asarray(tokens[i], np.int64), target, full[i], unit="token", weight=record.weight)
        )
        offsets.append(at)
    return Encoded(examples, offsets, Lost(spans, cut, blurred))


def decode_spans(
    scores: Sequence[Floats], offsets: Sequence[Ints], texts: Sequence[str], types: Sequence[str]
) -> list[Spans]:
    """The spans of each text: those of its likeliest valid tags.

    Args:
        scores: for each text (m, G) log-probabilities or logits of the tokens that `Encoded.asked` supervises.
        offsets: as `Encoded` holds them.
    """
    return [best_spans(s, at, text, types) for s, at, text in zip(scores, offsets, texts, strict=True)]
