"""Chat records as messages: what a template is asked to render."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.core import conversations as reading
from tunewright.core.records import Record

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages with the tools that the assistant may call. learnt: places of the replies to learn, rising."""

    id: str
    messages: tuple[Message, ...]
    tools: tuple[Any, ...]
    learnt: tuple[int, ...]


def asked(record: Record) -> Conversation:
    """What a record's text says: everything before the last reply. Nothing in it is learnt.

    Raises:
        ValueError: the text is no conversation.
    """
    found = reading.messages(record.text)
    for message in found:
        _check(message)
    return Conversation(record.id, tuple(found), tuple(reading.tools(record.text)), ())


def answered(record: Record, supervise: str) -> Conversation:
    """A record's whole conversation; the assistant's messages are learnt, or the last alone, but for those of weight 0.

    Args:
        record: with a label.
        supervise: "all" or "last".

    Raises:
        ValueError: text or label are not of the canonical form.
    """
    before = asked(record)
    return followed(before, [reading.reply(record.label or "{}")], 0 if supervise == "all" else None)


def followed(before: Conversation, reply: Sequence[Message], first: int | None = None) -> Conversation:
    """The conversation with `reply` after it; the assistant's messages from place `first` on are learnt."""
    for message in reply:
        _check(message)
    messages = (*before.messages, *reply)
    start = len(before.messages) if first is None else first
    learnt = tuple(
        i for i in range(start, len(messages)) if messages[i]["role"] == "assistant" and _counts(messages[i])
    )
    return Conversation(before.id, messages, before.tools, learnt)


def _check(message: object) -> None:
    """Raises ValueError where a message is none."""
    if not isinstance(message, dict) or message.get("role") not in reading.ROLES:
        raise ValueError(f"not a message: {str(message)[:80]!r}")
    if not isinstance(message.get("content"), str | None):
        raise ValueError(f"the content of a message is no text: {str(message['content'])[:80]!r}")


def _counts(message: Message) -> bool:
    weight = message.get("weight")
    return weight is None or float(weight) != 0.0


def plain(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as templates expect them: without `weight`, arguments of tool calls as objects and not as JSON text."""
    made = []
    for message in messages:
        kept = {name: value for name, value in message.items() if name != "weight" and value is not None}
        if kept.get("tool_calls"):
            kept["tool_calls"] = [_call(call) for call in kept["tool_calls"]]
        made.append(kept)
    return made


def _call(call: Any) -> Any:
    if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
        return call
    arguments = call["function"].get("arguments")
    if isinstance(arguments, str):
        try:
            value = json.loads(arguments)
        except ValueError:
            return call
        if isinstance(value, dict):
            return {**call, "function": {**call["function"], "arguments": value}}
    return call


def contents(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """(role, text) of every message that has a text."""
    return [(str(m["role"]), str(m["content"])) for m in messages if m.get("content")]


def called(message: Message) -> list[str]:
    """The names of the tools that a message calls."""
    calls = message.get("tool_calls") or []
    return [str(c.get("function", c).get("name", "")) for c in calls if isinstance(c, dict)]
