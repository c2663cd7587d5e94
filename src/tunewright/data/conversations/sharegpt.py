"""ShareGPT: `conversations`, a list of `{"from": human|gpt|system|function_call|observation, "value": ...}`.

`system` and `tools` may stand in columns of their own. Of preferences: `chosen` and `rejected` beside it, each one turn
or a list of turns; or `kto_tag`, for the last turn of the conversation.
"""

from __future__ import annotations

from dataclasses import dataclass

from tunewright.data.conversations import openai
from tunewright.data.conversations.protocol import Found
from tunewright.data.conversations.turns import Row

_COLUMNS = ("conversations", "conversation", "messages")


@dataclass(frozen=True)
class ShareGPTChat:
    """A row is a conversation; `column` names where it stands, if that is known."""

    column: str | None = None
    name: str = "sharegpt"
    needs: str = "conversations: a list of {from, value}"

    def find(self, row: Row) -> Found | None:
        column = openai.column_of(row, (self.column,) if self.column else _COLUMNS, "from")
        return openai.conversations(self.name, column) if column else None


@dataclass(frozen=True)
class ShareGPTPreference:
    """A row is a conversation with two replies, or one whose last turn has a thumb."""

    column: str | None = None
    name: str = "sharegpt"
    needs: str = "conversations: a list of {from, value}, with chosen and rejected or with kto_tag"

    def find(self, row: Row) -> Found | None:
        column = openai.column_of(row, (self.column,) if self.column else _COLUMNS, "from")
        return openai.preferences(self.name, column, row) if column else None
