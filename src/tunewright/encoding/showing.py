"""Conversations for people to look at: what of them is learnt, and what in them reads like a template."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np

from tunewright.core.records import Record
from tunewright.core.tensors import IGNORED
from tunewright.encoding.chat import ChatTemplate, Supervise, Unfit, encoded
from tunewright.encoding.codec import Codec, Refused, folded, texts_between
from tunewright.encoding.examples import Example
from tunewright.encoding.messages import answered, asked, contents


def injected(records: Iterable[Record], template: ChatTemplate) -> list[Refused]:
    """Records whose system, user or tool texts hold something that reads like the template's own marks.

    They are trained on: no such text is ever learnt, and serving would send the same. But the model reads a turn that
    nobody took, so they are worth a look. Reason "control_text", one a record.
    """
    known = sorted(template.controls | template.marks, key=len, reverse=True)
    if not known:
        return []
    pattern = re.compile("|".join(re.escape(text) for text in known))
    found = []
    for record in records:
        try:
            texts = contents(asked(record).messages)
        except ValueError:
            continue
        hits = {(role, hit) for role, text in texts if role != "assistant" for hit in pattern.findall(text)}
        if hits:
            detail = "; ".join(f"{hit!r} in a message of the {role}" for role, hit in sorted(hits))
            found.append(Refused(record.id, "control_text", detail))
    return found


def masked(record: Record, template: ChatTemplate, *, supervise: Supervise = "all") -> list[tuple[str, bool, str]]:
    """A record as it is trained on: (text, whether it is learnt, role), for people to look at.

    Made from the very tokens and mask of training; role is "template" for what the template adds, and "assistant" for
    all that is learnt. Where there are several Examples, they follow one another.

    Raises:
        Unfit: the record would be refused.
    """
    talk = answered(record, supervise)
    runs = encoded([talk], template)[0]
    if isinstance(runs, Unfit):
        raise runs
    pieces: list[tuple[str, bool, str]] = []
    for run in runs or []:
        changes = [i for i in range(1, len(run.tokens)) if run.learnt[i] != run.learnt[i - 1]]
        borders = [0, *changes, len(run.tokens)]
        texts = texts_between(template, run.tokens, borders)
        rest = contents(talk.messages)
        for text, start in zip(texts, borders, strict=False):
            if run.learnt[start]:
                pieces.append((text, True, "assistant"))
                rest = [c for c in rest if c[0] != "assistant" or folded(c[1]) not in folded(text)]
            else:
                pieces += _roles(text, rest)
    return pieces


def learnt_of(example: Example, codec: Codec) -> list[tuple[str, bool]]:
    """Any Example of a causal model, as (text, whether it is learnt): what `masked` is for conversations.

    Args:
        example: with unit "token" and no decoder's side.
        codec: the tokenizer.
    """
    tokens = example.tokens.tolist()
    learnt = np.zeros(len(tokens), dtype=np.bool_)
    if example.target is not None:
        learnt[1:] = np.asarray(example.target)[:-1] != IGNORED
    borders = [0, *(int(i) + 1 for i in np.flatnonzero(np.diff(learnt))), len(tokens)]
    return [(text, bool(learnt[at])) for text, at in zip(texts_between(codec, tokens, borders), borders, strict=False)]


def _roles(text: str, rest: list[tuple[str, str]]) -> Iterator[tuple[str, bool, str]]:
    """An unlearnt text cut at the messages that it holds, which are taken from `rest`."""
    while rest:
        role, content = rest[0]
        place = text.find(content.strip())
        if place < 0 or not content.strip():
            break
        if place:
            yield text[:place], False, "template"
        yield content.strip(), False, role
        text = text[place + len(content.strip()) :]
        rest.pop(0)
    if text:
        yield text, False, "template"
