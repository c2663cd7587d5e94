"""What a model that writes must beat without writing: a frequent answer, or the input itself.

Copies have no likelihood: their `nll` is NaN, so that they are not compared by loss.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from tunewright.core.conversations import last_user, plain, reply
from tunewright.core.errors import DataError, Problem
from tunewright.core.outcomes import Texts
from tunewright.core.records import Record
from tunewright.evaluation.predictions import Contender

SENTENCES = 3
_SENTENCE = re.compile(r"[^\n]*?(?:[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]+[”’」』）]*|\n|$)\s*")


def gold_text(record: Record, task: str) -> str | None:
    """The text that was wanted: what the reply says, calls of tools included, or the target as it is."""
    if record.label is None:
        return None
    return plain(reply(record.label)) if task == "chat" else record.label


def source_text(record: Record, task: str) -> str:
    """The last message of the user, or the source."""
    return last_user(record.text) if task == "chat" else record.text


def majority(task: str, train: Sequence[Record], items: Sequence[Record], split: str = "test") -> Contender:
    """The most frequent training text for every item; of equally frequent ones the one of middle length.

    Raises:
        DataError: no training item has a text.
    """
    seen = Counter(text for record in train if (text := gold_text(record, task)) is not None)
    if not seen:
        raise DataError(
            Problem(where="baselines", found=f"no training item has a {_word(task)}", allowed="at least one")
        )
    most = max(seen.values())
    frequent = sorted((text for text, n in seen.items() if n == most), key=lambda text: (len(text), text))
    best = frequent[len(frequent) // 2]
    return _contender(("majority", f"Most frequent {_word(task)}"), task, items, lambda record: best, split)


def copy(task: str, train: Sequence[Record], items: Sequence[Record], split: str = "test") -> Contender:
    """The last message of the user, or the source, as it is. `train` is not needed."""
    title = "The user's message, copied" if task == "chat" else "The source, copied"
    return _contender(("copy", title), task, items, lambda record: source_text(record, task), split)


def lead(task: str, train: Sequence[Record], items: Sequence[Record], split: str = "test") -> Contender:
    """The first three sentences of what `copy` copies, the usual baseline of summaries. `train` is not needed."""
    title = f"The first {SENTENCES} sentences"
    return _contender(("lead", title), task, items, lambda record: opening(source_text(record, task)), split)


def opening(text: str) -> str:
    """The first three sentences: up to full stops, question or exclamation marks, or ends of lines."""
    found = (match.group() for match in _SENTENCE.finditer(text.strip()))
    return "".join([sentence for sentence in found if sentence.strip()][:SENTENCES]).strip()


def _word(task: str) -> str:
    return "reply" if task == "chat" else "target"


def _contender(
    named: tuple[str, str], task: str, items: Sequence[Record], write: Callable[[Record], str], split: str
) -> Contender:
    n, started = len(items), perf_counter()
    output = tuple(write(record) for record in items)
    seconds = np.full(n, (perf_counter() - started) / max(n, 1))
    gold = tuple(gold_text(record, task) for record in items)
    ids = tuple(record.id for record in items)
    nothing = np.full(n, np.nan), np.zeros(n, np.int64)
    return Contender(Texts(named[0], split, (), ids, gold, output, *nothing, seconds, task=task), named[1])
