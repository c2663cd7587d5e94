"""Prompt and completion in two columns, each a text or a list of messages.

Of preferences: `prompt`, `chosen` and `rejected` as TRL has them, also with the prompt as the part that chosen and
rejected share; or `prompt`, `completion` and `label` (true or false).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.data.conversations.alpaca import TAG
from tunewright.data.conversations.openai import replied
from tunewright.data.conversations.protocol import Found, cell, first, thumb
from tunewright.data.conversations.turns import (
    Comparison,
    Conversation,
    Message,
    Row,
    Thumb,
    listed,
    opened,
    said,
    tools_of,
    with_system,
)
from tunewright.data.rows import UnfitError, as_text

PAIRS = (
    ("prompt", "completion"), ("prompt", "response"), ("prompt", "answer"), ("prompt", "output"), ("prompt", "reply"),
    ("question", "answer"), ("question", "response"), ("query", "response"), ("query", "answer"), ("input", "output"),
    ("user", "assistant"), ("问题", "回答"), ("问题", "答案"), ("提问", "回答"),
)  # fmt: skip
_PROMPT = ("prompt", "question", "query", "问题")
_THUMB = ("label", TAG, "thumb", "good")


def pair_of(row: Row) -> tuple[str, str] | None:
    """The columns that are named as prompt and completion."""
    for one, two in PAIRS:
        prompt, completion = first(row, (one,)), first(row, (two,))
        if prompt is not None and completion is not None:
            return prompt, completion
    return None


def prompted(row: Row, name: str) -> Conversation:
    """A prompt that is a text or a list of messages."""
    value = opened(cell(row, name))
    several = isinstance(value, (list, tuple))
    messages = listed(value, name) if several else [said("user", as_text(value, name) or "")]
    return Conversation(with_system(messages, row.get("system")), tools_of(row))


@dataclass(frozen=True)
class ColumnsChat:
    """A row is a prompt and its completion; the columns are those named, or the usual ones."""

    prompt: str | None = None
    completion: str | None = None
    name: str = "columns"
    needs: str = "prompt and completion (or question and answer, ...)"

    def find(self, row: Row) -> Found | None:
        pair = (self.prompt, self.completion) if self.prompt and self.completion else pair_of(row)
        if pair is None or not set(pair) <= row.keys():
            return None
        one, two = pair

        def read(row: Row) -> Conversation:
            prompt, value = prompted(row, one), row.get(two)
            answer = [] if value is None else replied(value, two)
            return Conversation([*prompt.messages, *answer], prompt.tools, unanswered=value is None)

        return Found(self.name, f"{one}, {two}", read)


@dataclass(frozen=True)
class ColumnsPreference:
    """A row is a prompt with two replies, or with one and a thumb.

    `prompt` and `replies` (the better and the worse one, or the one that has a thumb) are those named, or the usual ones.
    """

    prompt: str | None = None
    replies: Sequence[str] = ()
    name: str = "columns"
    needs: str = "prompt, chosen, rejected; or prompt, completion, label (true or false)"

    def find(self, row: Row) -> Found | None:
        prompt = self.prompt or first(row, _PROMPT)
        two = self.replies if len(self.replies) == 2 else ("chosen", "rejected")
        if len(self.replies) != 1 and set(two) <= row.keys():
            return self._pairs(prompt if prompt in row else None, *two)
        usual = pair_of(row)
        prompt = prompt or (usual[0] if usual else None)
        completion = self.replies[0] if len(self.replies) == 1 else usual[1] if usual else None
        tag = first(row, _THUMB)
        if prompt is None or completion is None or tag is None or not {prompt, completion} <= row.keys():
            return None
        return Found(self.name, f"{prompt}, {completion}, {tag}", lambda row: Thumb(
            prompted(row, prompt), replied(cell(row, completion), completion), thumb(cell(row, tag), tag)
        ))  # fmt: skip

    def _pairs(self, prompt: str | None, better: str, worse: str) -> Found | None:
        names = [name for name in (prompt, better, worse) if name is not None]

        def read(row: Row) -> Comparison:
            two = replied(cell(row, better), better), replied(cell(row, worse), worse)
            whole = all(replies and replies[0]["role"] != "assistant" for replies in two)
            if whole:
                return shared(*two, row.get("system"), tools_of(row))
            if prompt is None:
                raise UnfitError("missing_field", f"no prompt, and {better} does not begin with one")
            return Comparison(prompted(row, prompt), *two)

        return Found(self.name, ", ".join(names), read)


def shared(chosen: list[Message], rejected: list[Message], system: Any, tools: list[Any] | None) -> Comparison:
    """Two whole conversations as their shared beginning and what differs.

    Raises:
        UnfitError: they are equal, or begin to differ before the assistant speaks.
    """
    n = 0
    while n < min(len(chosen), len(rejected)) and chosen[n] == rejected[n]:
        n += 1
    if n == len(chosen) == len(rejected):
        raise UnfitError("equal_replies", "chosen and rejected are the same")
    if n == 0 or any(len(each) == n or each[n]["role"] != "assistant" for each in (chosen, rejected)):
        raise UnfitError("prompts_differ", f"chosen and rejected differ from message {n + 1} on, which is no reply")
    return Comparison(Conversation(with_system(chosen[:n], system), tools), chosen[n:], rejected[n:])
