"""Spans of a text with their types (named entities), and their two other forms: an answer as text, a tag a token.

A span is (start, end, type): code points of the text, the end exclusive. The spans of one text are sorted and do not
overlap. Tags are IOB2: "O", then "B-X" and "I-X" for each type in turn.

Axes: n tokens, G tags (2 types + 1).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from tunewright.core.outcomes import Floats, Ints, Span

Spans = tuple[Span, ...]

IGNORED = -100
"""The target of a token that says nothing: a special one, or one without a character. As in `core.tensors`."""


def canonical(spans: Iterable[Span]) -> str:
    """`[[0,2,"NAME"],[5,8,"ORG"]]`: equal answers are equal texts; `[]` is the answer that there is none."""
    return json.dumps(sorted(spans), ensure_ascii=False, separators=(",", ":"))


@lru_cache(maxsize=1 << 14)
def parsed(label: str) -> Spans:
    """The spans of an answer in its canonical form."""
    return tuple((int(start), int(end), str(kind)) for start, end, kind in json.loads(label))


def fault(spans: Sequence[Span], length: float) -> tuple[str, str] | None:
    """What is wrong with sorted spans of a text of this length, as (code, words); None where nothing is."""
    before: Span | None = None
    for span in spans:
        start, end, kind = span
        if not 0 <= start < end <= length:
            return "span_out_of_range", f"{kind} at {start} to {end} of a text of {length:g} characters"
        if before is not None and start < before[1]:
            how = "crosses" if end > before[1] and start > before[0] else "overlaps"
            return "overlapping_spans", f"{kind} at {start} to {end} {how} {before[2]} at {before[0]} to {before[1]}"
        before = span
    return None


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The same stretch without white space at its ends; start equals end where nothing else is in it."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def tags_of(types: Sequence[str]) -> tuple[str, ...]:
    """The G tags of these types, in the order of a model's scores."""
    return ("O", *(f"{mark}-{kind}" for kind in types for mark in "BI"))


def tagged(spans: Sequence[Span], offsets: Ints, types: Sequence[str]) -> Ints:
    """(n,) the tag of each token: of the span that it shares most characters with, the first one of two alike.

    Every token with a character of a span is the span's beginning or its inside, so that words may be cut into pieces.

    Args:
        spans: of types that are all among `types`.
        offsets: (n, 2) start and end of each token's characters; without any (0, 0) it is `IGNORED`.
    """
    tags = np.where(offsets[:, 1] > offsets[:, 0], 0, IGNORED).astype(np.int64)
    place = {kind: i for i, kind in enumerate(types)}
    shared = np.zeros(len(tags), np.int64)
    owner = np.full(len(tags), -1)
    for k, (start, end, _) in enumerate(spans):
        overlap = np.minimum(offsets[:, 1], end) - np.maximum(offsets[:, 0], start)
        more = (overlap > shared) & (tags != IGNORED)
        shared[more], owner[more] = overlap[more], k
    for k, (_, _, kind) in enumerate(spans):
        mine = np.flatnonzero(owner == k)
        tags[mine] = 2 + 2 * place[kind]
        tags[mine[:1]] -= 1
    return tags


def untagged(tags: Ints, offsets: Ints, text: str, types: Sequence[str]) -> Spans:
    """The spans that tags say, without white space at their ends; what says nothing (`IGNORED`) ends none.

    An inside that follows nothing of its type begins a span, as in seqeval.
    """
    found: list[list[int]] = []
    for tag, (start, end) in zip(tags.tolist(), offsets.tolist(), strict=True):
        if tag == IGNORED or end <= start:
            continue
        if tag == 0:
            found.append([])
        elif tag % 2 == 0 and found and found[-1] and found[-1][2] == tag // 2 - 1:
            found[-1][1] = max(found[-1][1], end)
        else:
            found.append([start, end, (tag - 1) // 2])
    out: list[Span] = []
    for span in filter(None, found):
        start, end = trimmed(text, max(span[0], out[-1][1] if out else 0), min(span[1], len(text)))
        if start < end:
            out.append((start, end, types[span[2]]))
    return tuple(out)


def best_tags(scores: Floats) -> Ints:
    """(n,) the tags of the highest sum of `scores` (n, G) in which an inside follows its own type (Viterbi).

    With log-probabilities this is the likeliest valid sequence; logits give the same. Cost: O(n G).
    """
    n, count = scores.shape
    if n == 0:
        return np.zeros(0, np.int64)
    begins, insides = np.arange(1, count, 2), np.arange(2, count, 2)
    came = np.zeros((n, count), np.int64)
    reach = np.array(scores[0], np.float64)
    reach[insides] = -np.inf
    for i in range(1, n):
        top = int(reach.argmax())
        came[i] = top
        came[i, insides] = np.where(reach[begins] >= reach[insides], begins, insides)
        reach = scores[i] + reach[came[i]]
    tags = np.empty(n, np.int64)
    tags[-1] = int(reach.argmax())
    for i in range(n - 1, 0, -1):
        tags[i - 1] = came[i, tags[i]]
    return tags


def best_spans(scores: Floats, offsets: Ints, text: str, types: Sequence[str]) -> Spans:
    """The spans of the likeliest valid tags.

    Args:
        scores: (m, G) log-probabilities, or logits, of the m tokens that have a character (those `tagged` does not
            ignore), in their order.
        offsets: (n, 2) of all tokens.
    """
    return untagged(best_tags(np.asarray(scores, np.float64)), offsets[offsets[:, 1] > offsets[:, 0]], text, types)
