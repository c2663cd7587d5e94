"""What an evaluation set shares with what is trained on: a matrix of counts, and pairs with their spans as evidence.

For each row of an evaluation set, against each split, the strongest of these that holds:

| kind | the row |
|---|---|
| exact | is a row of the split, but for case, composition and white space |
| contained | stands in a row of the split as a whole: all of its runs of 13 units, or itself where it has 8 to 12 |
| near | has a near copy there: Jaccard coefficient of shingles (`similarity`) at or above the threshold |
| ngram | shares a run of 13 units (words, or characters of scripts without spaces) |
| semantic | means the same, by the cosine of an encoder's vectors, where there is an encoder |
| parent | is the parent of a row of the split that was made from it |

A child of augmentation is a row of its split like any other. Cost: about 30 microseconds a row and pair of sides; the
semantic part multiplies every vector with every other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.data.journal import Draft, folded
from tunewright.data.similarity.clusters import Prints
from tunewright.data.similarity.grams import overlaps
from tunewright.data.similarity.joins import closest, nearest, taken
from tunewright.data.steps.protocol import Encode

KINDS = ("exact", "contained", "near", "ngram", "semantic", "parent")
_OWN = (("train", "validation"), ("train", "test"), ("validation", "test"))
_EVIDENCE = 50
_COMPARED = 2000
_SPAN = 8


@dataclass(frozen=True)
class Passage:
    """A row as it is compared: its id, its text, where it stands, and the ids of rows that it was made from."""

    id: str
    text: str
    file: str = ""
    line: int = 0
    parents: tuple[str, ...] = ()

    @staticmethod
    def of(draft: Draft | Any, shown: Callable[[str], str] = str) -> Passage:
        """That of a draft or record: text and second text as people read them."""
        text = shown(draft.text) if draft.pair is None else f"{shown(draft.text)}\n{draft.pair}"
        return Passage(draft.id, text, draft.source.file, draft.source.line, draft.parents)

    def as_json(self) -> dict[str, Any]:
        """The passage as plain values."""
        return {"id": self.id, "file": self.file, "line": self.line, "text": self.text}


@dataclass(frozen=True)
class Leak:
    """A row of an evaluation set beside the row of a split that gives it away.

    `score` is the share of runs, the Jaccard coefficient or the cosine; `spans` are (start, end) in the evaluation row's
    text and (start, end) in the other's, where both say the same.
    """

    kind: str
    split: str
    against: str
    row: Passage
    other: Passage
    score: float
    spans: tuple[tuple[int, int, int, int], ...]

    def as_json(self) -> dict[str, Any]:
        """The leak as plain values."""
        places = {"kind": self.kind, "split": self.split, "against": self.against, "score": round(self.score, 4)}
        return {
            **places,
            "row": self.row.as_json(),
            "other": self.other.as_json(),
            "spans": [list(s) for s in self.spans],
        }


@dataclass(frozen=True)
class Cell:
    """One split against one evaluation set: its `rows`, and how many of them leak, by kind."""

    split: str
    against: str
    rows: int
    counts: Mapping[str, int]

    @property
    def leaked(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True)
class Leakage:
    """The matrix, and the first 50 pairs of each cell."""

    cells: tuple[Cell, ...]
    evidence: tuple[Leak, ...]

    @property
    def found(self) -> int:
        """Evaluation rows that leak, over all cells."""
        return sum(cell.leaked for cell in self.cells)

    def as_json(self) -> dict[str, Any]:
        """The matrix and its evidence as plain values."""
        cells = [
            {"split": c.split, "against": c.against, "rows": c.rows, "leaked": c.leaked, **c.counts} for c in self.cells
        ]
        return {"ok": not self.found, "cells": cells, "evidence": [leak.as_json() for leak in self.evidence]}


@dataclass(frozen=True)
class _Side:
    name: str
    rows: Sequence[Passage]
    threshold: float
    encode: Encode | None

    @cached_property
    def texts(self) -> list[str]:
        return [row.text for row in self.rows]

    @cached_property
    def folded(self) -> dict[str, int]:
        """The first place of each folded text."""
        places: dict[str, int] = {}
        for i, text in enumerate(self.texts):
            places.setdefault(folded(text), i)
        return places

    @cached_property
    def prints(self) -> Prints | None:
        return taken(self.texts, self.threshold)

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        assert self.encode is not None
        return self.encode(self.texts) if self.rows else np.zeros((0, 1), np.float32)


def leakage(
    splits: Mapping[str, Sequence[Passage]],
    against: Mapping[str, Sequence[Passage]] | None = None,
    *,
    threshold: float = 0.8,
    encode: Encode | None = None,
    cosine: float = 0.95,
) -> Leakage:
    """Every split against every evaluation set: the run's own validation and test, and the sets of `against`.

    Args:
        splits: rows by split, children of augmentation among those of train.
        against: further evaluation sets by name.
        threshold: the least Jaccard coefficient of near copies.
        encode: texts to vectors of length one; None leaves meaning out.
        cosine: the least cosine of rows that mean the same.
    """
    sides = {name: _Side(name, rows, threshold, encode) for name, rows in splits.items()}
    others = {name: _Side(name, rows, threshold, encode) for name, rows in (against or {}).items()}
    pairs = [(sides[one], sides[two]) for one, two in _OWN if one in sides and two in sides]
    pairs += [(side, held) for held in others.values() for side in sides.values()]
    cells, evidence = [], list[Leak]()
    for side, held in pairs:
        cell, shown = _compared(side, held, cosine)
        cells.append(cell)
        evidence += shown
    return Leakage(tuple(cells), tuple(evidence))


def _compared(side: _Side, held: _Side, cosine: float) -> tuple[Cell, list[Leak]]:
    found: dict[int, tuple[str, int, float]] = {}
    if side.rows and held.rows:
        for kind, rows in _kinds(side, held, cosine):
            for row, other, score in rows:
                found.setdefault(row, (kind, other, score))
    counts = Counter(kind for kind, _, _ in found.values())
    shown = [
        Leak(kind, side.name, held.name, held.rows[row], side.rows[other], score,
             spans(held.rows[row].text, side.rows[other].text))
        for row, (kind, other, score) in sorted(found.items())[:_EVIDENCE]
    ]  # fmt: skip
    return Cell(side.name, held.name, len(held.rows), {kind: counts[kind] for kind in KINDS}), shown


Found = Iterable[tuple[int, int, float]]


def _kinds(side: _Side, held: _Side, cosine: float) -> Iterable[tuple[str, Found]]:
    """Of each kind, from the strongest, the leaking rows: their place, that of the other row, and how much."""
    texts = (folded(text) for text in held.texts)
    yield "exact", [(i, side.folded[text], 1.0) for i, text in enumerate(texts) if text in side.folded]
    runs = overlaps(held.texts, side.texts)
    whole = (runs.other >= 0) & (runs.share >= 1)
    yield "contained", _listed(whole, runs.other, runs.share)
    near = nearest(held.texts, side.texts, held.threshold, (held.prints, side.prints))
    yield "near", _listed(near.other >= 0, near.other, near.near)
    yield "ngram", _listed(runs.other >= 0, runs.other, runs.share)
    if side.encode is not None:
        close = closest(held.vectors, side.vectors, cosine)
        yield "semantic", _listed(close.other >= 0, close.other, close.near)
    places = {row.id: i for i, row in enumerate(held.rows)}
    born = [(places[parent], i, 1.0) for i, row in enumerate(side.rows) for parent in row.parents if parent in places]
    yield "parent", born


def _listed(chosen: NDArray[np.bool_], other: NDArray[np.int64], score: NDArray[np.float64]) -> Found:
    rows = np.flatnonzero(chosen)
    return zip(rows.tolist(), other[rows].tolist(), score[rows].tolist(), strict=True)


def spans(one: str, other: str) -> tuple[tuple[int, int, int, int], ...]:
    """Where two texts say the same, but for case: stretches of 8 characters or more, or the longest; of the first 2,000."""
    left, right = one[:_COMPARED], other[:_COMPARED]
    low = left.casefold(), right.casefold()
    if (len(low[0]), len(low[1])) == (len(left), len(right)):
        left, right = low
    blocks = [b for b in SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks() if b.size]
    long = [b for b in blocks if b.size >= _SPAN] or sorted(blocks, key=lambda b: -b.size)[:1]
    return tuple((b.a, b.a + b.size, b.b, b.b + b.size) for b in long)
