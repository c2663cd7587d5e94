"""Transcripts as in hh-rlhf: whole conversations in `chosen` and `rejected`, as texts with "Human:" and "Assistant:".

What they share from the beginning is the prompt (Bai et al. 2022, "Training a Helpful and Harmless Assistant").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tunewright.data.conversations.columns import shared
from tunewright.data.conversations.protocol import Found, cell
from tunewright.data.conversations.turns import Comparison, Message, Row, said
from tunewright.data.rows import UnfitError, as_text

_TURN = re.compile(r"(?:^|\n\n)\s*(Human|Assistant):")
_ROLE = {"Human": "user", "Assistant": "assistant"}


def spoken(text: str, name: str) -> list[Message]:
    """The turns of a transcript.

    Raises:
        UnfitError: it does not begin with "Human:" or "Assistant:".
    """
    before, *parts = _TURN.split(text)
    if before.strip() or not parts:
        raise UnfitError("not_text", f"{name}: no transcript of Human: and Assistant:")
    return [said(_ROLE[who], what.strip()) for who, what in zip(parts[::2], parts[1::2], strict=True)]


def _is_one(value: Any) -> bool:
    return isinstance(value, str) and _TURN.match(value) is not None and "\n\nAssistant:" in value


@dataclass(frozen=True)
class Transcripts:
    """A row is two transcripts, the better and the worse one."""

    name: str = "hh_rlhf"
    needs: str = "chosen and rejected: transcripts with Human: and Assistant:"

    def find(self, row: Row) -> Found | None:
        if not (_is_one(row.get("chosen")) and _is_one(row.get("rejected"))):
            return None

        def read(row: Row) -> Comparison:
            chosen, rejected = (spoken(as_text(cell(row, name), name) or "", name) for name in ("chosen", "rejected"))
            return shared(chosen, rejected, row.get("system"), None)

        return Found(self.name, "chosen, rejected", read)
