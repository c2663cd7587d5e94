"""What a model of preferences must beat: the length of a reply, and its words.

Both give every reply a reward of its own, so that they judge pairs and single replies with a thumb alike.

Axes: N training items, M predicted items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from tunewright.core.conversations import Choice, Message, choice, plain
from tunewright.core.errors import DataError, Problem
from tunewright.core.outcomes import Floats, Margins
from tunewright.core.records import Record, Source
from tunewright.core.seeds import key
from tunewright.evaluation.features import text_features
from tunewright.evaluation.heads import logistics
from tunewright.evaluation.predictions import Contender

STRENGTHS = (0.01, 0.1, 1.0, 10.0)


def length(task: str, train: Sequence[Record], items: Sequence[Record], split: str = "test") -> Contender:
    """The longer reply, or the shorter one where that is right more often in training; the reward is in characters.

    A single reply is good where it lies beyond a limit: the one between two lengths that is right most often.

    Raises:
        DataError: no training item is labelled.
    """
    choices = _choices(train)
    sizes = [(len(_said(c.chosen)), len(_said(c.rejected))) for c in choices]
    whole = [c.chosen is not None and c.rejected is not None for c in choices]
    pairs = [size for size, both in zip(sizes, whole, strict=True) if both]
    alone = [(sum(size), c.chosen is not None) for c, size, both in zip(choices, sizes, whole, strict=True) if not both]
    longer = sum(np.sign(a - b) for a, b in pairs)
    found = {sign: _limit(alone, sign) for sign in (1, -1)}
    sign = max((1, -1), key=lambda s: s * longer + found[s][1])
    limit = found[sign][0]
    title = "The longer reply" if sign > 0 else "The shorter reply"

    def rewards(texts: Sequence[str]) -> Floats:
        return np.array([sign * (len(text) - limit) for text in texts], np.float64)

    return _contender(("length", title), task, items, rewards, split)


def _limit(alone: Sequence[tuple[int, bool]], sign: int) -> tuple[float, int]:
    """Where good replies begin, and how many more of the replies are then right than wrong."""
    if not alone:
        return 0.0, 0
    sizes = np.array([size for size, _ in alone])
    good = np.array([1 if is_good else -1 for _, is_good in alone])
    levels = np.unique(sizes)
    limits = np.concatenate([[levels[0] - 0.5], (levels[1:] + levels[:-1]) / 2, [levels[-1] + 0.5]])
    right = [int((np.sign(sizes - at) * sign * good).sum()) for at in limits]
    best = int(np.argmax(right))
    return float(limits[best]), right[best]


def tfidf(
    task: str,
    train: Sequence[Record],
    items: Sequence[Record],
    seed: int = 0,
    *,
    validation: Sequence[Record] | None = None,
    split: str = "test",
) -> Contender:
    """TF-IDF of the replies, then one logistic regression on the differences of chosen and rejected replies.

    A reply's reward is its log-odds. Each pair is turned one way or the other at random (keyed by its place), so that
    both answers occur; a single reply with a thumb is a row as it is. Cost: seconds for 10,000 short replies.

    Raises:
        DataError: no training item is labelled.
    """
    choices, held = _choices(train), _choices(validation or (), needed=False)
    texts = [_said(side) for c in choices for side in (c.chosen, c.rejected) if side is not None]
    features = text_features([_record(text) for text in texts])
    named = ("tfidf", "TF-IDF + logistic regression on differences")
    if features is None:  # no reply holds a single letter
        return _contender(("tfidf", "TF-IDF"), task, items, lambda given: np.zeros(len(given)), split)
    vectors = features

    def rows(given: Sequence[Choice], salt: str) -> tuple[Any, Floats]:
        weights = np.array([_weights(c, key(seed, salt, i) % 2 == 0) for i, c in enumerate(given)], np.float64)
        chosen = vectors([_record(_said(c.chosen)) for c in given]).multiply(weights[:, [0]])
        rejected = vectors([_record(_said(c.rejected)) for c in given]).multiply(weights[:, [1]])
        return (chosen.tocsr() + rejected.tocsr()), weights[:, [2]]

    head = logistics(*rows(choices, "train"), STRENGTHS, rows(held, "held") if held else None, seed)

    def rewards(given: Sequence[str]) -> Floats:
        odds = np.clip(head(vectors([_record(text) for text in given]))[:, 0], 1e-15, 1 - 1e-15)
        return np.asarray(np.log(odds / (1 - odds)))

    return _contender(named, task, items, rewards, split)


def _weights(c: Choice, turned: bool) -> tuple[float, float, float]:
    """What the words of the chosen and the rejected reply count in a row, and the row's answer."""
    if c.rejected is None:
        return 1.0, 0.0, 1.0
    if c.chosen is None:
        return 0.0, 1.0, 0.0
    return (-1.0, 1.0, 0.0) if turned else (1.0, -1.0, 1.0)


def _choices(records: Sequence[Record], needed: bool = True) -> list[Choice]:
    found = [choice(record.label) for record in records if record.label is not None]
    if needed and not found:
        raise DataError(Problem(where="baselines", found="no training item has a label", allowed="at least one"))
    return found


def _said(side: Sequence[Message] | None) -> str:
    return "" if side is None else plain(side)


def _record(text: str) -> Record:
    return Record("", text, None, Source("", 0))


def _contender(
    named: tuple[str, str], task: str, items: Sequence[Record], rewards: Callable[[Sequence[str]], Floats], split: str
) -> Contender:
    """Of the labelled items: who is not told which reply is which has nothing to be right about."""
    known = [record for record in items if record.label is not None]
    choices, n = _choices(known, needed=False), len(known)
    started = perf_counter()
    chosen, rejected = (
        np.where([side is None for side in given], np.nan, rewards([_said(side) for side in given]))
        for given in ([c.chosen for c in choices], [c.rejected for c in choices])
    )
    seconds = np.full(n, (perf_counter() - started) / max(n, 1))
    ids = tuple(record.id for record in known)
    return Contender(Margins(named[0], split, (), ids, chosen, rejected, seconds, task=task), named[1])
