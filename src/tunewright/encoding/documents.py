"""Documents to Examples: windows of the context's length for causal models, and pieces with masked tokens for encoders.

A window is one Example. Batches are packed without padding, so that a batch of windows is as full as it can be, and
nothing crosses the border of a document: neither attention nor positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tunewright.core.records import Record
from tunewright.core.tensors import IGNORED
from tunewright.encoding.codec import Refused
from tunewright.encoding.examples import Example, numbered

Spans = Callable[[str], tuple[list[int], list[int]]]
"""Tokens of a text, nothing added, and the character at which each begins, never falling."""


def windows(
    records: Sequence[Record],
    spans: Spans,
    *,
    limit: int,
    start: int | None = None,
    end: int | None = None,
    context: int = 0,
) -> tuple[list[Example], list[Refused]]:
    """Windows of documents for a causal model, "id#0", "id#1", ... (just "id" where there is one).

    Every token of a document is predicted exactly once, in all windows together, save the very first one where the
    model knows no start token. The last place of a window predicts the first token of the next.
    given["bytes"] is how many bytes of UTF-8 the predicted tokens of a window stand for; a character of several tokens
    counts where it ends, and start and end tokens are none. The sum over the windows is the document's own number
    (less the first token's where there is no start token).

    Args:
        records: text is a document.
        spans: the tokenizer.
        limit: tokens that a window reads, at most.
        start: put before every document; None where the model has no such token.
        end: put behind every document, so that its end is learnt; None for none.
        context: tokens of the window before that are read again and not predicted again: for evaluation.

    Raises:
        ValueError: `context` leaves no room in a window.
    """
    if not 0 <= context < limit:
        raise ValueError(f"context {context} leaves no room in windows of {limit} tokens")
    examples, refused = [], []
    for record in records:
        ids, begins = spans(record.text)
        tokens = np.asarray(([] if start is None else [start]) + ids + ([] if end is None else [end]), dtype=np.int64)
        if not ids or len(tokens) < 2:
            refused.append(Refused(record.id, "no_text", "the document has nothing to predict"))
            continue
        sums = _bytes(record.text)
        first = 0 if start is None else 1
        places = np.full(len(tokens) + 1, sums[-1], dtype=np.int64)
        places[first : first + len(ids)] = sums[np.asarray(begins)]
        places[0] = 0
        places[first] = 0 if first else places[first]  # what the tokenizer passes over counts for the first token
        examples += numbered(_cut(record.id, tokens, places, limit, context))
    return examples, refused


def _bytes(text: str) -> NDArray[np.int64]:
    """(characters + 1,) bytes of UTF-8 before each character, and in all."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    sizes = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _cut(record: str, tokens: NDArray[np.int64], places: NDArray[np.int64], limit: int, context: int) -> list[Example]:
    made = []
    at = 0
    last = len(tokens) - 1
    while at < last:
        behind = min(context, at)
        stop = min(at - behind + limit, last)
        target = tokens[at - behind + 1 : stop + 1].copy()
        target[:behind] = IGNORED
        size = float(places[stop + 1] - places[at + 1])
        read = tokens[at - behind : stop]
        made.append(Example(record, read, target, len(read), unit="token", given={"bytes": size}))
        at = stop
    return made


def pieces(
    records: Sequence[Record], spans: Spans, *, limit: int, before: Sequence[int] = (), after: Sequence[int] = ()
) -> tuple[list[Example], list[Refused]]:
    """Pieces of documents for an encoder: every token in exactly one of them, nothing supervised until `Masking` does.

    Args:
        records: text is a document.
        spans: the tokenizer.
        limit: tokens of a piece, at most, special tokens included.
        before: special tokens that every piece begins with ([CLS]).
        after: those that it ends with ([SEP]).
    """
    room = limit - len(before) - len(after)
    examples, refused = [], []
    for record in records:
        ids, _ = spans(record.text)
        made = []
        for at in range(0, len(ids), room):
            tokens = np.asarray([*before, *ids[at : at + room], *after], dtype=np.int64)
            made.append(Example(record.id, tokens, np.full(len(tokens), IGNORED), len(tokens), unit="token"))
        if not made:
            refused.append(Refused(record.id, "no_text", "the document has no tokens"))
        examples += numbered(made)
    return examples, refused


@dataclass(frozen=True, eq=False)
class Masking:
    """Masked language modelling (BERT, arXiv:1810.04805): of 15% of the tokens the model says what they were.

    Of those, 80% are replaced by the mask token, 10% by a token drawn at random, and 10% stay as they are. What is
    drawn depends on the key alone: on the example and the step, not on the batch. As in BERT the number is exact: the
    share of a piece's own tokens, rounded, and one at least; transformers' collator tosses a coin for each.

    mask: the mask token. ordinary: tokens that may be drawn. special: tokens that are never masked. share: of a
    piece's tokens. continues (V,): for whole words, whether a token goes on with the word before it (arXiv:1906.08101:
    a word is masked with all its tokens or not at all; words are taken until the number is reached).
    """

    mask: int
    ordinary: NDArray[np.int64]
    special: frozenset[int]
    share: float = 0.15
    continues: NDArray[np.bool_] | None = None

    def __call__(self, example: Example, key: int) -> Example:
        """The example with its tokens masked for this `key`, and the target to go with them (`collate`'s `altered`)."""
        open_ = np.flatnonzero(~np.isin(example.tokens, list(self.special)))
        target = np.full(len(example.tokens), IGNORED, dtype=np.int64)
        if not len(open_):
            return replace(example, target=target)
        draws = np.random.Philox(key=key).random_raw(3 * len(example.tokens)).reshape(3, -1)
        chances = (draws >> np.uint64(11)).astype(np.float64) / 2.0**53
        count = max(1, round(self.share * len(open_)))
        chosen = open_[np.argsort(chances[0][open_], kind="stable")[:count]]
        if self.continues is not None:
            chosen = self._words(example.tokens, open_, chances[0], count)
        tokens = example.tokens.copy()
        target[chosen] = tokens[chosen]
        how = chances[1][chosen]
        tokens[chosen[how < 0.8]] = self.mask
        other = chosen[how >= 0.9]
        tokens[other] = self.ordinary[(chances[2][other] * len(self.ordinary)).astype(np.int64)]
        return replace(example, tokens=tokens, target=target)

    def _words(
        self, tokens: NDArray[np.int64], open_: NDArray[np.int64], chances: NDArray[np.float64], count: int
    ) -> NDArray[np.int64]:
        """Places of whole words in a drawn order, as many as do not exceed `count`; one word at least."""
        assert self.continues is not None
        begins = ~self.continues[tokens[open_]]
        begins |= np.diff(open_, prepend=-2) > 1  # behind a special token a word begins
        word = np.cumsum(begins) - 1
        taken: list[int] = []
        for number in np.argsort(chances[open_[begins]], kind="stable"):
            places = open_[word == number]
            if len(taken) + len(places) <= count or not taken:
                taken += places.tolist()
            if len(taken) >= count:
                break
        return np.sort(np.asarray(taken, dtype=np.int64))
