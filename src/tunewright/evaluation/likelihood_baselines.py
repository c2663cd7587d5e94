"""What a language model must beat: counting. Bits per byte compare across units of counting; tokens do not, so `tokens` is 0.

Every code is one that a reader of the training set alone could decode, so that its bits are honest.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter

import numpy as np

from tunewright.core.outcomes import Floats, Likelihoods
from tunewright.core.records import Record
from tunewright.evaluation.predictions import Contender

_PIECE = re.compile(r" ?\w+|\s|[^\w\s]")


def unigram(train: Sequence[Record], items: Sequence[Record], split: str = "test") -> Contender:
    """The frequency of each byte in the training texts, one added to every count."""
    cost = _bytes(record.text for record in train)
    return _contender(("unigram", "Token frequencies of train"), items, cost, split)


def words(train: Sequence[Record], items: Sequence[Record], split: str = "test") -> Contender:
    """The frequency of each word in the training texts; a new word costs an escape and its bytes.

    The escape is as frequent as words that occur once (Good and Turing's estimate). A word holds the space before it.
    """
    seen: Counter[str] = Counter()
    for record in train:
        seen.update(_PIECE.findall(record.text))
    once = [piece for piece, n in seen.items() if n == 1]
    escape = max(len(once), 1)
    whole = seen.total() + escape
    spelled = _bytes(f"{piece}\0" for piece in once)  # the end of a new word is said too
    known: dict[str, float] = {piece: -float(np.log(n / whole)) for piece, n in seen.items()}
    new = -float(np.log(escape / whole))

    def cost(text: str) -> float:
        return sum(known[p] if p in known else new + spelled(f"{p}\0") for p in _PIECE.findall(text))

    return _contender(("words", "Word frequencies of train"), items, cost, split)


def _bytes(texts: Iterable[str]) -> Callable[[str], float]:
    """The nats that a text's bytes cost by their frequency in these texts."""
    counts = np.ones(256)
    for text in texts:
        counts += _count(text)
    nats: Floats = -np.log(counts / counts.sum())
    return lambda text: float(_count(text) @ nats)


def _count(text: str) -> Floats:
    return np.bincount(np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8), minlength=256).astype(np.float64)


def _contender(named: tuple[str, str], items: Sequence[Record], cost: Callable[[str], float], split: str) -> Contender:
    n, started = len(items), perf_counter()
    nll = np.array([cost(record.text) for record in items], np.float64)
    seconds = np.full(n, (perf_counter() - started) / max(n, 1))
    size = np.array([len(record.text.encode("utf-8", "surrogatepass")) for record in items], np.int64)
    ids = tuple(record.id for record in items)
    return Contender(Likelihoods(named[0], split, (), ids, nll, np.zeros(n, np.int64), size, seconds), named[1])
