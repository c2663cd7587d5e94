"""OpenAI: `messages`, a list of `{"role", "content"}` with tool_calls, name and weight, and `tools` or `functions`.

That is the fine-tuning file format. Of preferences: `{"input": {"messages", "tools"}, "preferred_output": [...],
"non_preferred_output": [...]}`; or `messages` with `chosen` and `rejected`, or with `kto_tag` or `label` for the last turn.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tunewright.data.conversations.alpaca import TAG
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
    turn,
    with_system,
)
from tunewright.data.rows import UnfitError, as_text

_COLUMNS = ("messages", "conversations", "conversation", "dialog", "dialogue")
_BETTER, _WORSE = "preferred_output", "non_preferred_output"


def column_of(row: Row, names: Collection[str], key: str) -> str | None:
    """The column among `names` that holds a list of objects with this key."""
    for name in names:
        column = first(row, (name.lower(),)) if name not in row else name
        value = opened(row[column]) if column is not None else None
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping) and key in value[0]:
            return column
    return None


def replied(value: Any, name: str) -> list[Message]:
    """A reply that is a text, one turn, or a list of turns."""
    value = opened(value)
    if isinstance(value, Mapping) and {"role", "from"} & value.keys():
        return [turn(value, name)]
    if isinstance(value, (list, tuple)):
        return listed(value, name)
    return [said("assistant", as_text(value, name) or "")]


def _whole(row: Row, column: str) -> Conversation:
    return Conversation(with_system(listed(cell(row, column), column), row.get("system")), tools_of(row))


def conversations(form: str, column: str) -> Found:
    """Rows whose `column` is a list of messages."""
    return Found(form, column, lambda row: _whole(row, column))


def preferences(form: str, column: str, row: Row) -> Found | None:
    """Rows whose `column` is the prompt of two replies, or a conversation whose last turn has a thumb."""
    if "chosen" in row and "rejected" in row:
        return Found(form, f"{column}, chosen, rejected", lambda row: Comparison(
            _whole(row, column), replied(cell(row, "chosen"), "chosen"), replied(cell(row, "rejected"), "rejected")
        ))  # fmt: skip
    tag = first(row, (TAG, "label"))
    if tag is None:
        return None

    def judged(row: Row) -> Thumb:
        found = _whole(row, column)
        if not found.messages or found.messages[-1]["role"] != "assistant":
            raise UnfitError("no_reply", f"{column}: the last turn is not the assistant's")
        prompt = Conversation(found.messages[:-1], found.tools)
        return Thumb(prompt, found.messages[-1:], thumb(cell(row, tag), tag))

    return Found(form, f"{column}, {tag}", judged)


@dataclass(frozen=True)
class OpenAIChat:
    """A row is a conversation; `column` names where it stands, if that is known."""

    column: str | None = None
    name: str = "openai"
    needs: str = "messages: a list of {role, content}"

    def find(self, row: Row) -> Found | None:
        column = column_of(row, (self.column,) if self.column else _COLUMNS, "role")
        return conversations(self.name, column) if column else None


@dataclass(frozen=True)
class OpenAIPreference:
    """A row is an input with a preferred and a not preferred output."""

    column: str | None = None
    name: str = "openai"
    needs: str = "input: {messages}, preferred_output, non_preferred_output; or messages with chosen and rejected"

    def find(self, row: Row) -> Found | None:
        if self.column is None and _BETTER in row and _WORSE in row:
            return Found(self.name, f"input, {_BETTER}, {_WORSE}", _compared)
        column = column_of(row, (self.column,) if self.column else _COLUMNS, "role")
        return preferences(self.name, column, row) if column else None


def _compared(row: Row) -> Comparison:
    asked = opened(cell(row, "input"))
    if not isinstance(asked, Mapping):
        raise UnfitError("not_text", "input: not an object with messages")
    return Comparison(
        _whole(asked, "messages"), replied(cell(row, _BETTER), _BETTER), replied(cell(row, _WORSE), _WORSE)
    )
