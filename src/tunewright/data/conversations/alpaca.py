"""Alpaca: `instruction`, `input` and `output`, with an optional `system` and a `history` of [question, answer] pairs.

Of preferences: `chosen` and `rejected` in place of `output` (or `output` as a list of the two), or `kto_tag` beside it.
Instruction and input are joined by a line break.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tunewright.data.conversations.protocol import Found, cell, first, thumb
from tunewright.data.conversations.turns import (
    Comparison,
    Conversation,
    Message,
    Row,
    Thumb,
    parsed,
    said,
    tools_of,
    with_system,
)
from tunewright.data.rows import UnfitError, as_text

_INPUT = ("input", "context")
_OUTPUT = ("output", "response")
TAG = "kto_tag"


def _prompt(row: Row, inner: str | None) -> Conversation:
    parts = [as_text(cell(row, "instruction"), "instruction") or ""]
    if inner is not None:
        parts.append(as_text(row.get(inner), inner) or "")
    asked = "\n".join(part for part in parts if part.strip())
    history = _history(row.get("history"))
    return Conversation(with_system([*history, said("user", asked)], row.get("system")), tools_of(row))


def _history(given: Any) -> list[Message]:
    messages: list[Message] = []
    if isinstance(given, str):
        given = parsed(given, "history", "not_text") if given.strip() else None
    if given is not None and not isinstance(given, (list, tuple)):
        raise UnfitError("not_text", "history: not a list of [question, answer] pairs")
    for pair in given or ():
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise UnfitError("not_text", "history: not a list of [question, answer] pairs")
        messages += [
            said(role, as_text(text, "history") or "") for role, text in zip(("user", "assistant"), pair, strict=True)
        ]
    return messages


def _reply(value: Any, name: str) -> list[Message]:
    return [said("assistant", as_text(value, name) or "")]


@dataclass(frozen=True)
class AlpacaChat:
    """A row is a conversation whose last turn answers the instruction."""

    name: str = "alpaca"
    needs: str = "instruction, output (and input, system, history)"

    def find(self, row: Row) -> Found | None:
        output, inner = first(row, _OUTPUT), first(row, _INPUT)
        if "instruction" not in row or output is None:
            return None

        def read(row: Row) -> Conversation:
            prompt, answer = _prompt(row, inner), as_text(cell(row, output), output)
            if answer is None:
                return Conversation(prompt.messages, prompt.tools, unanswered=True)
            return Conversation([*prompt.messages, said("assistant", answer)], prompt.tools)

        return Found(self.name, f"instruction, {output}", read)


@dataclass(frozen=True)
class AlpacaPreference:
    """A row is an instruction with two replies, or with one and a thumb."""

    name: str = "alpaca"
    needs: str = "instruction, chosen, rejected (and input), or instruction, output, kto_tag"

    def find(self, row: Row) -> Found | None:
        inner, output = first(row, _INPUT), first(row, _OUTPUT)
        if "instruction" not in row:
            return None
        if "chosen" in row and "rejected" in row:
            return Found(self.name, "instruction, chosen, rejected", lambda row: Comparison(
                _prompt(row, inner), _reply(cell(row, "chosen"), "chosen"), _reply(cell(row, "rejected"), "rejected")
            ))  # fmt: skip
        if output is None:
            return None
        if TAG in row:
            return Found(self.name, f"instruction, {output}, {TAG}", lambda row: Thumb(
                _prompt(row, inner), _reply(cell(row, output), output), thumb(cell(row, TAG), TAG)
            ))  # fmt: skip
        if not isinstance(row[output], (list, tuple)):
            return None

        def ranked(row: Row) -> Comparison:
            two = cell(row, output)
            if not isinstance(two, (list, tuple)) or len(two) != 2:
                raise UnfitError("not_text", f"{output}: not a list of two replies")
            return Comparison(_prompt(row, inner), _reply(two[0], output), _reply(two[1], output))

        return Found(self.name, f"instruction, {output} as a list of two replies", ranked)
