"""Messages in their one canonical form, whatever the file calls them, and what makes a conversation unfit to learn.

A message is `{"role", "content"}` and, where given, `tool_calls`, `tool_call_id`, `name` and `weight`, in that order.
Roles are system, user, assistant and tool. A tool call is as in OpenAI's form, with its arguments as an object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from tunewright.core.conversations import Message
from tunewright.core.errors import closest
from tunewright.data.rows import UnfitError, as_text

Row = Mapping[str, Any]

CALL = "function_call"
ROLES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "bot": "assistant", "chatbot": "assistant",
    CALL: CALL, "tool_call": CALL,
    "tool": "tool", "function": "tool", "observation": "tool", "function_response": "tool", "tool_response": "tool",
    "ipython": "tool",
}  # fmt: skip
_SHOWN = 80
_MARKS = {"role", "from", "messages"}
"""Keys by which an object is known as a message, or as what holds messages."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """The messages of a row and the tools that the assistant may call (None: none were given).

    `unanswered` where the last reply has a cell of its own, and it is empty: such a row is not labelled.
    """

    messages: list[Message]
    tools: list[Any] | None = None
    unanswered: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two replies to one prompt, of which the first is preferred."""

    prompt: Conversation
    chosen: list[Message]
    rejected: list[Message]


@dataclass(frozen=True, slots=True)
class Thumb:
    """One reply to a prompt and whether it is good; None where nobody said."""

    prompt: Conversation
    reply: list[Message]
    good: bool | None


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def canonical(value: Any) -> str:
    """A value as compact JSON.

    Raises:
        UnfitError: NaN, half of a surrogate pair, or nested too deep.
    """
    try:
        text = _encode(value)
    except RecursionError:
        raise UnfitError("bad_json", "nested too deep") from None
    except (ValueError, TypeError) as error:
        raise UnfitError("not_text", str(error)) from None
    return as_text(text, "row") or ""


def parsed(text: str, what: str, reason: str) -> Any:
    """A JSON text that stands in a cell.

    Raises:
        UnfitError: it is no JSON, or holds NaN or infinity.
    """

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        found = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise UnfitError(reason, f"{what} is no JSON ({found}): {text[:_SHOWN]!r}") from None


def opened(value: Any) -> Any:
    """A message, or a list of them, that a table's cell spells as JSON; any other value as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    one = found[0] if isinstance(found, list) and found else found
    return found if isinstance(one, dict) and _MARKS & one.keys() else value


def listed(value: Any, what: str) -> list[Message]:
    """The messages in a list of them, or in a cell that spells one as JSON.

    Raises:
        UnfitError: no list of messages, or one that cannot be read.
    """
    value = opened(value)
    if not isinstance(value, (list, tuple)):
        raise UnfitError("not_text", f"{what}: a {type(value).__name__}, not a list of messages")
    return [turn(each, f"{what}, message {n}") for n, each in enumerate(value, 1)]


def said(role: str, text: str) -> Message:
    """A plain message."""
    return {"role": role, "content": text}


def with_system(messages: list[Message], system: Any) -> list[Message]:
    """The messages with the system prompt that stands in a column of its own, where one does."""
    text = as_text(system, "system")
    return [said("system", text), *messages] if text and text.strip() else messages


def turn(raw: Any, where: str) -> Message:
    """One message of any of the forms.

    Raises:
        UnfitError: an unknown role, a content that is no text, a tool call that is no JSON.
    """
    if not isinstance(raw, Mapping):
        raise UnfitError("not_text", f"{where}: a {type(raw).__name__}, not a message")
    name = raw.get("role", raw.get("from"))
    word = name.strip().lower() if isinstance(name, str) else ""
    role = ROLES.get(word)
    if role is None:
        hint = closest(word, ROLES) if word else ""
        raise UnfitError("unknown_role", f"{where}: the role is {name!r:.80}. {hint}".rstrip())
    content = raw.get("content", raw.get("value"))
    if role == CALL:
        return {"role": "assistant", "content": None, "tool_calls": _calls(_text(content, where) or "", where)}
    message: Message = {"role": role, "content": _text(content, where)}
    if role == "assistant":
        calls = raw.get("tool_calls") or raw.get(CALL)
        if calls:
            message["tool_calls"] = _calls(calls, where)
    elif role == "tool":
        message["content"] = message["content"] or ""
        if raw.get("tool_call_id") is not None:
            message["tool_call_id"] = as_text(raw["tool_call_id"], where)
    if raw.get("name") is not None:
        message["name"] = as_text(raw["name"], where)
    if role == "assistant" and raw.get("weight") is not None:
        if raw["weight"] not in (0, 1):
            raise UnfitError("bad_weight", f"{where}: a weight of {raw['weight']!r:.40}, neither 0 nor 1")
        if raw["weight"] == 0:
            message["weight"] = 0
    return message


def _text(content: Any, where: str) -> str | None:
    """A content as text; a list of text parts joined."""
    if not isinstance(content, (list, tuple)):
        return (
            content if type(content) is str and content.isascii() and "\x00" not in content else as_text(content, where)
        )
    parts = []
    for part in content:
        text = part.get("text") if isinstance(part, Mapping) else part
        kind = part.get("type", "text") if isinstance(part, Mapping) else "text"
        if kind not in ("text", "input_text", "output_text") or not isinstance(text, str):
            raise UnfitError("not_text", f"{where}: a part of type {kind!r:.40}, not text")
        parts.append(as_text(text, where) or "")
    return "".join(parts)


def _calls(given: Any, where: str) -> list[Any]:
    if isinstance(given, str):
        given = parsed(given, f"{where}: the tool call", "bad_tool_call")
    calls = given if isinstance(given, (list, tuple)) else [given]
    if not calls:
        raise UnfitError("bad_tool_call", f"{where}: no tool call in the list")
    return [_call(call, where) for call in calls]


def _call(call: Any, where: str) -> dict[str, Any]:
    inner = call.get("function", call) if isinstance(call, Mapping) else None
    name = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(name, str) or not name:
        raise UnfitError("bad_tool_call", f"{where}: a tool call without the name of a function")
    arguments = inner.get("arguments", inner.get("parameters"))
    if isinstance(arguments, str):
        arguments = (
            parsed(arguments, f"{where}: the arguments of {name:.40}", "bad_tool_call") if arguments.strip() else {}
        )
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, Mapping):
        raise UnfitError("bad_tool_call", f"{where}: the arguments of {name:.40} are no object")
    own = {"id": as_text(call["id"], where)} if call.get("id") is not None else {}
    return {**own, "type": "function", "function": {"name": name, "arguments": dict(arguments)}}


def tools_of(row: Row) -> list[Any] | None:
    """The tools in the columns `tools` or `functions`, each as `{"type": "function", "function": ...}`.

    Raises:
        UnfitError: they are no JSON list of objects.
    """
    given = row.get("tools") or row.get("functions")
    if isinstance(given, str):
        given = parsed(given, "tools", "bad_tools") if given.strip() else None
    if not given:
        return None
    tools = given if isinstance(given, (list, tuple)) else [given]
    if not all(isinstance(tool, Mapping) for tool in tools):
        raise UnfitError("bad_tools", "tools: not a list of objects")
    return [dict(tool) if "function" in tool else {"type": "function", "function": dict(tool)} for tool in tools]


def checked(messages: Sequence[Message]) -> list[Message]:
    """The messages without empty system prompts, where a model can be taught their order.

    Raises:
        UnfitError: `empty_message`, `empty_reply`, or `roles_out_of_order`: the assistant speaks first or twice in a row,
            or a tool answers that nobody called.
    """
    kept: list[Message] = []
    before = ""
    for n, message in enumerate(messages, 1):
        role, content = message["role"], message["content"]
        bare = content is None or not content or content.isspace()
        if role == "system" and bare:
            continue
        if bare and role == "user":
            raise UnfitError("empty_message", f"message {n} (user) is empty")
        if bare and role == "assistant" and "tool_calls" not in message:
            raise UnfitError("empty_reply", f"message {n} (assistant) is empty")
        if role == "assistant" and before in ("", "assistant"):
            what = "the assistant speaks twice in a row" if before else "the assistant speaks first"
            raise UnfitError("roles_out_of_order", f"message {n}: {what}")
        if role == "tool" and before != "tool" and not (kept and "tool_calls" in kept[-1]):
            raise UnfitError("roles_out_of_order", f"message {n}: a tool answers that nobody called")
        kept.append(message)
        if role != "system":
            before = role
    return kept


def asked(conversation: Conversation) -> str:
    """A prompt as canonical text."""
    value: dict[str, Any] = {"messages": conversation.messages}
    if conversation.tools:
        value["tools"] = conversation.tools
    return canonical(value)


__all__ = [
    "CALL", "ROLES", "Comparison", "Conversation", "Message", "Row", "Thumb", "asked", "canonical", "checked", "listed",
    "opened", "parsed", "said", "tools_of", "turn", "with_system",
]  # fmt: skip
