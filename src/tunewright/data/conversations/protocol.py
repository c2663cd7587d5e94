"""What a form of conversation is."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

from tunewright.data.conversations.turns import Comparison, Conversation, Row, Thumb
from tunewright.data.rows import UnfitError

Reply = Conversation | Comparison | Thumb


@dataclass(frozen=True, slots=True)
class Found:
    """A form that a row has: `read` makes of a row what it says, `why` names the columns that showed it."""

    form: str
    why: str
    read: Callable[[Row], Reply]


class Form(Protocol):
    """A way in which people write conversations, or comparisons of replies, into rows.

    `needs` says in words which columns it looks for.
    """

    @property
    def name(self) -> str:
        """The recipe's name for it (`data.conversation`)."""
        ...

    @property
    def needs(self) -> str: ...

    def find(self, row: Row) -> Found | None:
        """How to read rows such as this one; None where it is of another form. `read` raises UnfitError."""
        ...


def cell(row: Row, name: str) -> Any:
    """A cell that must be there.

    Raises:
        UnfitError: the row has no such column.
    """
    if name not in row:
        known = ", ".join(repr(each) for each in list(row)[:12]) or "no columns"
        raise UnfitError("missing_field", f"no {name!r}; the row has {known}")
    return row[name]


def first(row: Row, names: Collection[str]) -> str | None:
    """The first of the names that the row has, without regard to case."""
    known = {name.strip().lower(): name for name in row}
    return next((known[name] for name in names if name in known), None)


def thumb(value: Any, name: str) -> bool | None:
    """Whether a reply is good; None where the cell is empty.

    Raises:
        UnfitError: neither yes nor no.
    """
    if value is None or value == "":
        return None
    word = str(value).strip().lower()
    if word in ("true", "1", "1.0", "yes", "good"):
        return True
    if word in ("false", "0", "0.0", "no", "bad"):
        return False
    raise UnfitError("bad_thumb", f"{name}: {word[:40]!r} is neither true nor false")
