"""Conversations as records hold them: read, and written the one way that makes equal conversations equal texts.

    chat         text   {"messages":[...]} or {"messages":[...],"tools":[...]}: all that stands before the reply
                 label  the reply: one message
    preference,  text   as chat
    reward       label  {"chosen":[...],"rejected":[...]}, or for a thumb up or down {"reply":[...],"good":true}

A message is a dict with role and content and, where given, tool_calls, tool_call_id, name, weight, in that order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]

ROLES = ("system", "user", "assistant", "tool")
KEYS = ("role", "content", "tool_calls", "tool_call_id", "name", "weight")


def compact(value: Any) -> str:
    """JSON without spaces, every character as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def ordered(message: Mapping[str, Any]) -> Message:
    """The message's own keys in their order; what is missing stays away, but for content, which becomes null."""
    kept = {key: message[key] for key in KEYS if message.get(key) is not None}
    return {"role": kept.pop("role"), "content": kept.pop("content", None), **kept}


def prompt_text(messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] = ()) -> str:
    """A record's text."""
    found: dict[str, Any] = {"messages": [ordered(m) for m in messages]}
    return compact({**found, "tools": list(tools)} if tools else found)


def reply_label(message: Mapping[str, Any]) -> str:
    """A chat record's label."""
    return compact(ordered(message))


def preference_label(chosen: Sequence[Mapping[str, Any]], rejected: Sequence[Mapping[str, Any]]) -> str:
    """The label of a pair of replies."""
    return compact({"chosen": [ordered(m) for m in chosen], "rejected": [ordered(m) for m in rejected]})


def thumb_label(reply: Sequence[Mapping[str, Any]], good: bool) -> str:
    """The label of a reply with a thumb up or down."""
    return compact({"reply": [ordered(m) for m in reply], "good": good})


def messages(text: str) -> list[Message]:
    """The messages of a record's text.

    Raises:
        ValueError: the text is no conversation.
    """
    found = _object(text).get("messages")
    if not isinstance(found, list):
        raise ValueError(f"not a conversation: {text[:80]!r}")
    return found


def tools(text: str) -> list[Any]:
    """The tools that a record's text declares; none is []."""
    return list(_object(text).get("tools") or [])


def reply(label: str) -> Message:
    """A chat record's reply.

    Raises:
        ValueError: the label is no message.
    """
    found = _object(label)
    if "role" not in found:
        raise ValueError(f"not a message: {label[:80]!r}")
    return found


@dataclass(frozen=True)
class Choice:
    """The replies of a preference; a thumb up has only `chosen`, a thumb down only `rejected`."""

    chosen: list[Message] | None
    rejected: list[Message] | None


def choice(label: str) -> Choice:
    """What a preference's label prefers to what.

    Raises:
        ValueError: the label is neither a pair nor a thumb.
    """
    found = _object(label)
    if "chosen" in found and "rejected" in found:
        return Choice(found["chosen"], found["rejected"])
    if "reply" not in found or "good" not in found:
        raise ValueError(f"neither a pair of replies nor a reply with a thumb: {label[:80]!r}")
    return Choice(found["reply"], None) if found["good"] else Choice(None, found["reply"])


def plain(said: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    """What a message or several of them say, as one text: contents and calls of tools, a line each.

    A call is written as JSON of its name and arguments, so that two equal calls are equal texts whatever their ids.
    """
    if not isinstance(said, Mapping):
        return "\n".join(plain(message) for message in said)
    calls = [compact(_call(call)) for call in said.get("tool_calls") or ()]
    return "\n".join([*([said["content"]] if said.get("content") else []), *calls])


def last_user(text: str) -> str:
    """The last thing that the user says in a record's text; "" where he says nothing."""
    return next((plain(m) for m in reversed(messages(text)) if m["role"] == "user"), "")


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """Name and arguments; arguments that are a text of JSON are read, as OpenAI writes them."""
    function = call.get("function", call)
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with suppress(ValueError):
            arguments = json.loads(arguments)
    return {"name": function.get("name"), "arguments": arguments}


def _object(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"not a JSON object: {text[:80]!r}")
    return found
