"""Rows as training reads them, for people to look at: which text is read, what of it is learnt, and what is cut off."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tunewright.core.records import Record
from tunewright.core.seeds import key
from tunewright.core.spans import parsed
from tunewright.core.tensors import IGNORED
from tunewright.encoding import Example, injected, learnt_of, masked, record_of
from tunewright.encoding.codec import Codec, Refused, texts_between
from tunewright.kinds import Encoded, Kind
from tunewright.kinds.entities import Placed
from tunewright.models.codecs import Plain

Piece = tuple[str, bool, str | None]
"""A stretch of text, whether it is learnt, and whose it is: a role, or the name of a part of the row."""
Shown = list[tuple[str, list[Piece]]]


def shown(kind: Kind, encoded: Encoded, n: int, seed: int) -> Shown:
    """The first `n` rows of a split for training, with a title each; a row of two replies is shown twice."""
    mine: dict[str, list[Example]] = {}
    for example in encoded.examples:
        mine.setdefault(record_of(example.id), []).append(example)
    rows: Shown = []
    for place, record in enumerate(encoded.records[:n]):
        where = f"{Path(record.source.file).name}, line {record.source.line}" if record.source.file else record.id
        for name, pieces in _parts(kind, encoded, place, mine.get(record.id, []), seed):
            rows.append((f"{where}{', ' if name else ''}{name}", pieces))
    return rows


def suspicious(kind: Kind, records: Sequence[Record]) -> list[Refused]:
    """Rows whose messages hold text that reads like the template's own marks, where there is a template."""
    template: Any = getattr(kind, "template", None)
    return [] if template is None else injected(records, template)


def _parts(
    kind: Kind, encoded: Encoded, place: int, examples: Sequence[Example], seed: int
) -> Iterator[tuple[str, list[Piece]]]:
    """(name, pieces) of what a record became."""
    record, task = encoded.records[place], kind.task.name
    if task == "chat":
        yield "", list(masked(record, kind.template, supervise=kind.supervise))  # type: ignore[attr-defined]
    elif isinstance(encoded, Placed):
        yield "", _tagged(record, encoded.examples[place], encoded.offsets[place])
    elif kind.task.activation != "none" or kind.task.fits == "numbers":
        yield "", _labelled(kind, record, examples[0])
    else:
        for number, example in enumerate(examples):
            several = f"part {number + 1} of {len(examples)}" if len(examples) > 1 else ""
            if example.other is None:
                yield several, _sequence(kind, example, seed)
            else:
                yield "chosen", _sequence(kind, example, seed)
                yield "rejected", _sequence(kind, example.other, seed)


def _sequence(kind: Kind, example: Example, seed: int) -> list[Piece]:
    """Pieces of one sequence of tokens."""
    codec: Codec = getattr(kind, "template", None) or Plain(kind.loaded.tokenizer)
    tokens = example.tokens.tolist()
    if example.decoder is not None:
        return [
            (codec.decode(tokens), False, "source"),
            (codec.decode(np.asarray(example.target).tolist()), True, "target"),
        ]
    if example.unit == "pair":  # the score is made at the last token
        return [(codec.decode(tokens[:-1]), False, "read"), (codec.decode(tokens[-1:]), True, "score")]
    if kind.altered is None:
        pieces = [(text, learnt, "learnt" if learnt else "read") for text, learnt in learnt_of(example, codec)]
        last = IGNORED if example.target is None else int(np.asarray(example.target)[-1])
        return [*pieces, (codec.decode([last]), True, "learnt")] if last != IGNORED else list(pieces)
    target = np.asarray(kind.altered(example, key(seed, 0, example.id)).target)
    flags = target != IGNORED
    borders = [0, *(int(i) + 1 for i in np.flatnonzero(np.diff(flags))), len(tokens)]
    return [
        (text, bool(flags[at]), None) for text, at in zip(texts_between(codec, tokens, borders), borders, strict=False)
    ]


def _tagged(record: Record, example: Example, offsets: Any) -> list[Piece]:
    """The text between and within spans, with their types; what lies beyond the limit is cut."""
    pieces: list[Piece] = []
    at, read = 0, int(offsets.max(initial=0)) if example.full > len(example.tokens) else len(record.text)
    learnt = example.target is not None and bool((np.asarray(example.target) != IGNORED).any())
    for start, end, name in parsed(record.label or "[]"):
        if end <= read:
            pieces += [(record.text[at:start], learnt, "O"), (record.text[start:end], learnt, name)]
            at = end
    pieces += [(record.text[at:read], learnt, "O"), (record.text[read:], False, "cut")]
    return [piece for piece in pieces if piece[0]]


def _labelled(kind: Kind, record: Record, example: Example) -> list[Piece]:
    """The text that is read, what is cut off, and the answer."""
    codec, label = Plain(kind.loaded.tokenizer), record.label
    if record.pair is not None:
        pieces: list[Piece] = [(codec.decode(example.tokens.tolist()), False, "read")]
        lost = example.full - len(example.tokens)
        pieces += [(f"{lost} tokens", False, "cut")] if lost > 0 else []
    else:
        ids, begins = codec.spans(record.text)
        kept = len(ids) - (example.full - len(example.tokens))
        read = begins[kept] if kept < len(begins) else len(record.text)
        pieces = [(record.text[:read], False, "read"), (record.text[read:], False, "cut")]
    answer = "" if label is None else label if kind.task.fits == "classes" else ", ".join(map(str, json.loads(label)))
    return [piece for piece in (*pieces, (answer, True, "label")) if piece[0]]
