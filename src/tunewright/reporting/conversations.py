"""Prompts and replies as a reader sees them: turns with their roles, tool calls written out, long texts folded.

A chat's text is JSON, `{"messages": [...], "tools": [...]}`, and its answer is a message; what is not of that form is
shown as the plain text that it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunewright.reporting.excerpts import Quote, quote
from tunewright.reporting.formatting import count, counted, shortened
from tunewright.reporting.values import mapping, rows, string

WORDS = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}
"""Roles and how they are written; another role keeps its name."""

TURNS, TOOLS, CALLS, RECENT = 16, 12, 6, 4
"""Turns, tools and calls a turn that are kept at most; the last `RECENT` turns stand there without unfolding."""

SYSTEM, VISIBLE = 160, 420
"""Characters of a system prompt, and of any other turn, that stand there at once."""

PROMPT, REPLY = 3600, 1500
"""Characters of a prompt, and of a reply, that are kept: the file has a limit."""


@dataclass(frozen=True)
class Turn:
    """One message; `calls` are tool calls: a name and what was given, an argument a line."""

    role: str
    word: str
    quote: Quote | None
    calls: Sequence[tuple[str, str]] = ()
    note: str = ""


@dataclass(frozen=True)
class Prompt:
    """What stood before a reply: tools on offer, a system prompt at the head, turns that unfold, turns that stand."""

    turns: Sequence[Turn]
    earlier: Sequence[Turn] = ()
    head: Sequence[Turn] = ()
    tools: Sequence[tuple[str, str]] = ()
    left_out: str = ""


def prompt(text: str, chat: bool, kept: int = PROMPT) -> Prompt:
    """A record's text: a conversation where the task has conversations, else the text."""
    found = _parsed(text) if chat else None
    messages = rows(mapping(found).get("messages"))
    if not messages:
        return Prompt([Turn("plain", "", quote(text, VISIBLE, kept))])
    head = [one for one in messages if string(one.get("role")) == "system"][:1] if len(messages) > TURNS else []
    chosen = [*head, *messages[-(TURNS - len(head)) :]] if len(messages) > TURNS else messages
    turns, left = [], kept
    for one in reversed(chosen):
        turns.append(turn(one, max(60, left)))
        left -= len(string(one.get("content")))
    turns.reverse()
    lead = 1 if turns[0].role == "system" else 0
    edge = len(turns) - RECENT if len(turns) - RECENT > lead + 1 else lead
    gone = len(messages) - len(chosen)
    return Prompt(
        turns=turns[edge:],
        earlier=turns[lead:edge],
        head=turns[:lead],
        tools=_tools(mapping(found).get("tools")),
        left_out=f"{counted(gone, 'turn', 'turns')} before these stand in the run folder." if gone else "",
    )


def replies(value: Any, kept: int = REPLY) -> list[Turn]:
    """A reply as turns: plain text, a message, or a list of messages, as JSON or as its text."""
    found = _parsed(value) if isinstance(value, str) else value
    if isinstance(found, dict) and ("role" in found or "content" in found):
        return [turn(found, kept)]
    if isinstance(found, list) and rows(found):
        messages = rows(found)[-CALLS:]
        return [turn(one, max(60, kept // len(messages))) for one in messages]
    return [Turn("plain", "", quote(string(value), VISIBLE, kept, "(empty reply)"))]


def turn(message: Mapping[str, Any], kept: int) -> Turn:
    """One message of a conversation."""
    role = string(message.get("role"), "user")
    word = WORDS.get(role, shortened(role, 30))
    name = shortened(string(message.get("name")), 40)
    text, calls = _content(message.get("content")), _calls(message.get("tool_calls"), kept)
    notes = [name] if name else []
    if message.get("weight") == 0 and role == "assistant":
        notes.append("not learnt from")
    shown = None if not text and calls else quote(text, SYSTEM if role == "system" else VISIBLE, kept, "(nothing)")
    kind = role if role in WORDS else "other"
    return Turn(kind, word, shown, calls, ", ".join(notes))


def summary(text: str) -> str:
    """One line for a conversation: what was said last before the reply; a text that is none as it is."""
    messages = rows(mapping(_parsed(text)).get("messages"))
    said = [string(one.get("content")) for one in messages if string(one.get("role")) == "user"]
    return (said or [_content(one.get("content")) for one in messages] or [text])[-1]


def _parsed(text: Any) -> Any:
    """The JSON of a text that looks like an object or a list; else None."""
    if not isinstance(text, str) or not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _content(value: Any) -> str:
    """A message's content as text; of a list of parts, their texts."""
    if isinstance(value, list):
        return "\n".join(string(part.get("text")) if isinstance(part, dict) else string(part) for part in value)
    return string(value)


def _tools(value: Any) -> list[tuple[str, str]]:
    """Name and description of each tool on offer."""
    found = []
    for one in rows(value)[:TOOLS]:
        facts = mapping(one.get("function")) or one
        name = shortened(string(facts.get("name"), "(unnamed)"), 60)
        found.append((name, shortened(string(facts.get("description")), 160)))
    more = len(rows(value)) - TOOLS
    return [*found, (f"and {count(more)} more", "")] if more > 0 else found


def _calls(value: Any, kept: int) -> list[tuple[str, str]]:
    """Name and arguments of each call, an argument a line."""
    found = []
    for one in rows(value)[:CALLS]:
        facts = mapping(one.get("function")) or one
        given = facts.get("arguments")
        read = _parsed(given) if isinstance(given, str) else given
        if isinstance(read, dict):
            lines = [f"{string(key)}: {_written(entry)}" for key, entry in list(read.items())[:TOOLS]]
        else:
            lines = [string(given)] if given is not None else []
        name = shortened(string(facts.get("name"), "(unnamed)"), 60)
        found.append((name, shortened("\n".join(lines), min(600, max(60, kept)))))
    return found


def _written(value: Any) -> str:
    return string(value) if isinstance(value, str) else string(json.dumps(value, ensure_ascii=False))
