"""The contract of chat templates, checked on the rows anew: from the examples back to the messages.

Encoding checks every row while it makes it, and refuses those that fail. This looks at what came out, by other means:
the messages of the record, the template's own rendering of what serving sends for each reply, and the tokens' text.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tunewright.core import conversations as talks
from tunewright.core.errors import counted
from tunewright.core.records import Record
from tunewright.core.tensors import IGNORED
from tunewright.encoding import Example, record_of
from tunewright.encoding.codec import folded
from tunewright.selftesting.results import Difference, Found
from tunewright.selftesting.subjects import Subject


def template(subject: Subject) -> Found:
    """(i) Learnt is what the assistant says with its end of turn, behind the very tokens that serving sends."""
    made = getattr(subject.kind, "template", None)
    if made is None:
        return Found("this task has no conversations", applies=False)
    records = {r.id: r for r in subject.records}
    whole = getattr(subject.kind, "too_long", "drop") == "drop"
    found: list[Difference] = []
    for example in subject.examples:
        record = records[record_of(example.id)]
        for side, talk in zip((example, example.other), _talks(record), strict=False):
            if side is not None:
                found += [f"example {example.id}: {said}" for said in faults(side, talk, record, made, whole)]
    why = Counter(one.reason for one in subject.refused)
    left = f"; {counted(sum(why.values()), 'row')} refused before training ({', '.join(why)})" if why else ""
    return Found.of(f"only the assistant's words and their end are learnt, behind what serving sends{left}", found)


def _talks(record: Record) -> list[list[talks.Message]]:
    """The whole conversation of a record; two of them for a pair of replies."""
    before, label = talks.messages(record.text), record.label or "{}"
    if "role" in json.loads(label):
        return [[*before, talks.reply(label)]]
    choice = talks.choice(label)
    return [[*before, *side] for side in (choice.chosen, choice.rejected) if side is not None]


def faults(
    example: Example, talk: Sequence[talks.Message], record: Record, template: Any, whole: bool = True
) -> Iterator[str]:
    """What breaks the contract in one sequence.

    Args:
        whole: nothing of the conversation was left out, so that each reply stands behind all that came before.
    """
    tokens, tools = example.tokens.tolist(), talks.tools(record.text)
    sent = {}
    for k, message in enumerate(talk):
        if message["role"] == "assistant":
            prompt = template.ids(talk[:k], tools, True)
            sent[len(prompt)] = (prompt, message)
    if example.unit != "token":
        prompt = template.ids(talks.messages(record.text), tools, True)
        if whole and tokens[: len(prompt)] != prompt:
            yield "it does not begin with the tokens that serving sends"
        return
    target = np.asarray(example.target)
    learnt = np.concatenate([[False], target[:-1] != IGNORED])
    if not learnt.any():
        yield "nothing of it is learnt"
    if (target[:-1][learnt[1:]] != example.tokens[1:][learnt[1:]]).any():
        yield "a target is not the token that follows"
    tagged = template.mask(talk, tools) is not None
    borders = np.flatnonzero(np.diff(learnt.astype(np.int8), prepend=0, append=0)).tolist()
    for start, stop in zip(borders[::2], borders[1::2], strict=True):
        text = template.decode(tokens[start:stop])
        if tokens[stop - 1] not in template.ends:
            yield f"{text[-60:]!r} is learnt without the token that ends a turn"
        if not whole or tagged:
            continue
        prompt, message = sent.get(start, ([], {}))
        if not message or tokens[:start] != prompt:
            yield f"{text[:60]!r} is learnt, and is not what follows the tokens that serving sends"
        elif folded(str(message.get("content") or "")) not in folded(text):
            yield f"{text[:60]!r} is learnt, and is not all of {str(message.get('content'))[:60]!r}"
