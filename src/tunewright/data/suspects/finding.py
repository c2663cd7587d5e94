"""From labelled rows to a list of suspects, each with why it is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import DataError, Problem
from tunewright.core.seeds import key
from tunewright.data.journal import Draft
from tunewright.data.probe import (
    Floats,
    Ints,
    Judged,
    classes_of,
    folds_of,
    judged,
    text_features,
    whole_text,
)
from tunewright.data.suspects.joint import estimated_errors
from tunewright.data.suspects.neighbours import words
from tunewright.data.suspects.ranking import LEAST_ROWS, Method, Ranked, ranked
from tunewright.data.suspects.rounds import second_round

Probe = Literal["tfidf", "encoder", "both"]
Encode = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class Suspect:
    """A row whose label may be wrong; `rank` from 1, `score` -log of what the given label is believed to be."""

    rank: int
    row: int
    id: str
    text: str
    given: str
    suggested: str
    own: float
    likeliest: float
    score: float
    why: str

    def as_json(self) -> dict[str, Any]:
        """The suspect as plain values."""
        return {
            "rank": self.rank, "id": self.id, "text": self.text, "given": self.given, "suggested": self.suggested,
            "own": round(self.own, 6), "likeliest": round(self.likeliest, 6), "score": round(self.score, 6),
            "why": self.why,
        }  # fmt: skip


@dataclass(frozen=True)
class Suspects:
    """All rows by how suspect they are, and how many errors the confident joint sees among them.

    `drafts` are the rows in the order of their contents, which all places here refer to. `opening` are the probabilities of
    the first round alone, `seen` those that were gone by.
    """

    labels: tuple[str, ...]
    ranked: Ranked
    seen: Judged
    errors: float
    drafts: Sequence[Draft]
    opening: Judged

    def first(self, count: int) -> list[Suspect]:
        """The `count` most suspect rows that could be judged."""
        rows = [int(i) for i in self.ranked.order[:count] if self.ranked.judged[i]]
        return [self._one(rank, row) for rank, row in enumerate(rows, 1)]

    def _one(self, rank: int, row: int) -> Suspect:
        r, draft = self.ranked, self.drafts[row]
        given, suggested = draft.label or "", self.labels[r.suggested[row]]
        own, likeliest = float(r.own[row]), float(r.likeliest[row])
        if given == suggested:
            why = f"{given!r} is the likeliest label, but at {own:.0%} alone"
        else:
            why = f"{suggested!r} at {likeliest:.0%}, the given {given!r} at {own:.1%}"
        if r.near is not None and given != suggested:
            why += f"; of what the likest rows say, {float(r.near[row]):.0%} is {suggested!r}"
        text = draft.text if draft.pair is None else f"{draft.text}\n{draft.pair}"
        return Suspect(rank, row, draft.id, text, given, suggested, own, likeliest, float(r.score[row]), why)


def find(
    drafts: Sequence[Draft],
    seed: int = 0,
    *,
    probe: Probe = "tfidf",
    encode: Encode | None = None,
    method: Method = "stacked",
    rounds: int = 2,
    given_probabilities: tuple[tuple[str, ...], Floats] | None = None,
) -> Suspects:
    """Ranks labelled rows by how suspect their labels are.

    Args:
        encode: texts to vectors of length one, where the probe is "encoder" or "both".
        rounds: 2 learns the probe again without the most suspect rows.
        given_probabilities: labels and (N, C) out-of-sample probabilities from elsewhere, in place of a probe.

    Raises:
        DataError: fewer than two classes, a row without a label, no text with a letter, or probabilities that do not fit.
    """
    folds = folds_of(drafts, seed)
    order = sorted(range(len(drafts)), key=lambda i: (drafts[i].key, drafts[i].label or "", drafts[i].id))
    drafts, folds = [drafts[i] for i in order], folds[order]  # solvers go through rows in turn: always in the same
    labels, given = classes_of(drafts)
    texts = [whole_text(draft) for draft in drafts]
    ties = np.array([key(seed, "suspects", draft.key, draft.id) for draft in drafts], np.int64)
    near = _near(texts) if method == "stacked" else None
    if given_probabilities is not None:
        theirs, p = given_probabilities
        seen = Judged(labels, given, aligned(labels, theirs, p[order]), folds)
        return _finished(drafts, seen, seen, ranked(seen, method=method, features=near, ties=ties))
    every = _features(probe, texts, len(labels), seed, encode)
    parts = [judged(drafts, one, seed) for one in every]
    opening = seen = replace(parts[0], probabilities=np.mean([p.probabilities for p in parts], axis=0))
    found = ranked(seen, method=method, features=near, ties=ties)
    if rounds > 1:
        again = [second_round(drafts, one, part, found.score, seed) for one, part in zip(every, parts, strict=True)]
        seen = replace(seen, probabilities=np.mean([p.probabilities for p in again], axis=0))
        found = ranked(seen, method=method, features=near, ties=ties)
    return _finished(drafts, opening, seen, found)


def _near(texts: Sequence[str]) -> Any:
    try:
        return words(texts)
    except ValueError:  # no text holds a word
        return None


def _features(probe: Probe, texts: Sequence[str], classes: int, seed: int, encode: Encode | None) -> list[Any]:
    if probe != "tfidf" and encode is None:
        raise DataError(
            Problem(where="suspects.probe", found=f"{probe}, and no encoder is named", allowed="an encoder, or tfidf",
                    to_do="name one, such as `--probe minilm`, or `data.models.encoder` in a recipe")
        )  # fmt: skip
    made: list[Any] = [] if probe == "encoder" else [text_features(texts, classes, seed)]
    return made if encode is None or probe == "tfidf" else [*made, np.asarray(encode(texts))]


def aligned(labels: Sequence[str], theirs: Sequence[str], probabilities: Floats) -> Floats:
    """(N, C) the probabilities in the order of `labels`.

    Raises:
        DataError: a label has no column, or a row is no distribution.
    """
    place = {name: i for i, name in enumerate(theirs)}
    lacking = [name for name in labels if name not in place]
    problems = [
        Problem(where="probabilities", found=f"no column for the label {name!r}", allowed="one for every label")
        for name in lacking
    ]
    if not np.isfinite(probabilities).all() or (probabilities < 0).any() or (probabilities.sum(axis=1) <= 0).any():
        problems.append(
            Problem(where="probabilities", found="numbers below 0, or none above it in a row", allowed="probabilities")
        )
    if problems:
        raise DataError(*problems)
    taken = np.maximum(probabilities[:, [place[name] for name in labels]], 1e-6)
    out: Floats = taken / taken.sum(axis=1, keepdims=True)
    return out


def _finished(drafts: Sequence[Draft], opening: Judged, seen: Judged, found: Ranked) -> Suspects:
    return Suspects(seen.labels, found, seen, estimated_errors(seen.given, seen.probabilities), drafts, opening)


__all__ = ["LEAST_ROWS", "Encode", "Ints", "Probe", "Suspect", "Suspects", "aligned", "find"]
