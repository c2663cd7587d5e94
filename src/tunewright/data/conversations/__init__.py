"""The forms in which people write conversations and preferences, recognised by their columns: one file a form.

    alpaca        instruction, input, output
    sharegpt      conversations: {from, value}
    openai        messages: {role, content}
    columns       prompt and completion
    transcripts   hh-rlhf's "Human:" and "Assistant:"

A new form is a file here and a line in `CHATS` or `PREFERENCES`; `turns` holds what all of them are read into.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tunewright.core.errors import DataError, Problem, listed
from tunewright.data.conversations.alpaca import AlpacaChat, AlpacaPreference
from tunewright.data.conversations.columns import ColumnsChat, ColumnsPreference
from tunewright.data.conversations.openai import OpenAIChat, OpenAIPreference
from tunewright.data.conversations.protocol import Form, Found
from tunewright.data.conversations.sharegpt import ShareGPTChat, ShareGPTPreference
from tunewright.data.conversations.transcripts import Transcripts
from tunewright.data.conversations.turns import Comparison, Conversation, Message, Row, Thumb
from tunewright.data.rows import Columns, need_columns

_NONE = Columns()
NAMES = ("auto", "alpaca", "sharegpt", "openai", "columns")


def chats(columns: Columns = _NONE) -> list[Form]:
    """The forms of conversations, in the order in which they are tried.

    Columns that are named are those of prompt and completion; a single one holds the messages.
    """
    if columns.text is not None and columns.labels:
        return [ColumnsChat(columns.text, columns.labels[0])]
    if columns.text is not None:
        return [OpenAIChat(columns.text), ShareGPTChat(columns.text)]
    return [OpenAIChat(), ShareGPTChat(), AlpacaChat(), ColumnsChat()]


def preferences(columns: Columns = _NONE) -> list[Form]:
    """The forms of preferences, in the order in which they are tried."""
    if columns.text is not None and columns.labels:
        return [ColumnsPreference(columns.text, columns.labels)]
    if columns.text is not None:
        column = columns.text
        return [OpenAIPreference(column), ShareGPTPreference(column), ColumnsPreference(column)]
    return [OpenAIPreference(), ShareGPTPreference(), AlpacaPreference(), Transcripts(), ColumnsPreference()]


def recognised(sample: Sequence[Row], forms: Sequence[Form]) -> Found | None:
    """The form that most of the rows have, the earlier one of two; None where no row has any."""
    counts: Counter[tuple[int, str]] = Counter()
    kept: dict[tuple[int, str], Found] = {}
    for row in sample:
        for place, form in enumerate(forms):
            found = form.find(row)
            if found is not None:
                counts[place, found.why] += 1
                kept.setdefault((place, found.why), found)
                break
    best = max(counts, key=lambda each: (counts[each], -each[0]), default=None)
    return None if best is None else kept[best]


def form_of(sample: Sequence[Row], forms: Sequence[Form], wanted: str, columns: Columns, file: str) -> Found:
    """The form of a file's rows.

    Args:
        sample: its first rows.
        forms: those that are possible.
        wanted: the name of the one that it shall be, or "auto".

    Raises:
        DataError: none of them: with what was looked for and the columns that were found.
    """
    known = tuple(dict.fromkeys(str(name) for row in sample for name in row))
    need_columns(columns, known, file)
    also = {"columns": ("columns", "hh_rlhf")}.get(wanted, (wanted,))
    possible = [form for form in forms if wanted == "auto" or form.name in also]
    found = recognised(sample, possible)
    if found is None:
        needs = "; ".join(f"{form.name} ({form.needs})" for form in possible)
        asked = "" if wanted == "auto" else f", which data.conversation asks for ({wanted}),"
        raise DataError(
            Problem(where=file, found=f"no known form{asked} in the columns {listed([repr(name) for name in known], 30)}",
                    allowed=needs or listed([form.name for form in forms]),
                    to_do="rename the columns, or name those of prompt and completion by `text:` and `label:`")
        )  # fmt: skip
    return found


__all__ = [
    "NAMES",
    "Comparison",
    "Conversation",
    "Found",
    "Message",
    "Thumb",
    "chats",
    "form_of",
    "preferences",
    "recognised",
]
