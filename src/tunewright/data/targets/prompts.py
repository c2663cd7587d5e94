"""What conversations and preferences share: a record's text is a prompt, JSON that is cleaned and compared inside."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from tunewright.core.errors import Problem
from tunewright.core.records import Record, content_id
from tunewright.data.conversations.turns import Conversation, Message, asked, canonical, checked, said
from tunewright.data.journal import Draft, Journal, folded
from tunewright.data.rows import Columns, UnfitError
from tunewright.data.targets.protocol import ByColumns, Settled

_IDENTITY = ("tool_calls", "tool_call_id", "name")


@dataclass(frozen=True)
class Prompts(ByColumns):
    """`columns` are those of prompt and completion where they are named; `forms` those in which the rows stood."""

    columns: Columns = Columns()
    conversation: str = "auto"
    system: str | None = None
    forms: tuple[str, ...] = ()

    def cell(self, value: Any, names: tuple[str, ...] | None) -> str | None:
        raise UnfitError("not_text", "conversations are read as whole rows")

    def answer(self, raw: str) -> str | None:
        return raw

    def found_out(self, raws: Collection[str]) -> Self:
        return self

    def knows(self, answer: str, labels: Collection[str]) -> bool:
        return True

    def read_as(self, forms: Sequence[str]) -> Self:
        return replace(self, forms=tuple(forms))

    def settle(self, drafts: list[Draft], journal: Journal) -> Settled:
        journal.close("label", len(drafts), len(drafts))
        return Settled(self, drafts)  # type: ignore[arg-type]

    def measurable(
        self, splits: Mapping[str, list[Draft]], journal: Journal
    ) -> tuple[dict[str, list[Draft]], list[Problem]]:
        return dict(splits), []

    def doubts(self, splits: Mapping[str, Sequence[Draft]]) -> list[Problem]:
        return []

    def names(self, splits: Mapping[str, Sequence[Draft]]) -> tuple[str, ...]:
        return ()

    def tidy(self, draft: Draft, mend: Callable[[str], str]) -> None:
        prompt = json.loads(draft.text)
        if mended(prompt["messages"], mend):
            draft.text = canonical(prompt)
        draft.key = key_of(prompt)
        if draft.label is not None:
            label = json.loads(draft.label)
            if sum(mended(messages, mend) for messages in self.replies(label)):
                draft.label = canonical(label)

    def replies(self, label: Any) -> list[list[Message]]:
        """The lists of messages in a parsed label."""
        raise NotImplementedError

    def shown(self, text: str) -> str:
        """What the last message says that is not a system prompt."""
        try:
            messages = json.loads(text)["messages"]
        except (ValueError, KeyError, TypeError):
            return text
        return next((m["content"] or "" for m in reversed(messages) if m["role"] != "system"), "")

    def prompted(self, conversation: Conversation) -> Conversation:
        """The prompt with the recipe's system prompt where it has none of its own."""
        messages = conversation.messages
        if self.system and not any(m["role"] == "system" and (m["content"] or "").strip() for m in messages):
            messages = [said("system", self.system), *messages]
        return Conversation(messages, conversation.tools)


def mended(messages: Sequence[Message], mend: Callable[[str], str]) -> bool:
    """Pass the contents through `mend`, in their place; whether that changed one."""
    changed = False
    for message in messages:
        content = message["content"]
        if content:
            message["content"] = mend(content)
            changed |= message["content"] != content
    return changed


def key_of(prompt: Mapping[str, Any]) -> str:
    """The comparison key of a prompt: who says what, folded, and the tools; weights do not matter."""
    parts: list[str | None] = []
    for message in prompt["messages"]:
        content = message["content"]
        parts += [message["role"], folded(content) if content else content]
        if len(message) > 2 and (more := {name: message[name] for name in _IDENTITY if name in message}):
            parts.append(canonical(more))
    if "tools" in prompt:
        parts.append(canonical(prompt["tools"]))
    return content_id(*parts)


def answerable(prompt: Conversation, reply: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """A prompt and a reply to it, checked as one conversation.

    Raises:
        UnfitError: as `checked`, or there is nothing that is replied to.
    """
    given = [m for m in prompt.messages if m["role"] != "system" or (m["content"] or "").strip()]
    if not any(m["role"] != "system" for m in given):
        raise UnfitError("empty_message", "there is no message to reply to")
    if not reply:
        raise UnfitError("empty_reply", "there is no reply")
    both = checked([*given, *reply])
    if reply[0]["role"] != "assistant" or reply[-1]["role"] != "assistant":
        raise UnfitError("roles_out_of_order", "a reply must begin and end with the assistant")
    return both[: len(given)], both[len(given) :]


def described(
    forms: Sequence[str], records: Sequence[Record], replies: Callable[[Any], list[list[Message]]]
) -> dict[str, Any]:
    """What the data card says of prompts and replies."""
    turns, prompts, answers = list[int](), list[int](), list[int]()
    systems = tools = 0
    for record in records:
        prompt = json.loads(record.text)
        messages = prompt["messages"]
        two = replies(json.loads(record.label)) if record.label is not None else []
        turns.append(len(messages) + max(map(len, two), default=0))
        prompts.append(characters(messages))
        answers += [characters(each) for each in two]
        systems += any(m["role"] == "system" for m in messages)
        tools += "tools" in prompt or any("tool_calls" in m for each in (messages, *two) for m in each)
    return {
        "conversation": ", ".join(forms),
        "turns": {"mean": float(np.mean(turns or [0])), "max": max(turns, default=0)},
        "systems": systems,
        "tools": tools,
        "characters": {"prompt": spread(prompts), "reply": spread(answers)},
        "length": length_of(prompts),
    }


def characters(messages: Sequence[Message]) -> int:
    """How long the contents and tool calls of messages are together."""
    return sum(
        len(m["content"] or "") + (len(canonical(m["tool_calls"])) if "tool_calls" in m else 0) for m in messages
    )


def spread(sizes: Sequence[int]) -> dict[str, float]:
    """Mean, median and largest of some sizes."""
    found = np.array(sizes or [0])
    return {"mean": float(found.mean()), "median": float(np.median(found)), "max": int(found.max())}


def length_of(sizes: Sequence[int]) -> dict[str, Any]:
    """The card's figures of how long texts are, in characters."""
    found = np.array(sizes or [0])
    return {"unit": "characters", "median": float(np.median(found)), "p95": float(np.percentile(found, 95)),
            "max": int(found.max())}  # fmt: skip


def text_of(prompt: Conversation) -> str:
    """A record's text."""
    return asked(prompt)
