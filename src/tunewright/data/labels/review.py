"""One person at one queue: which item is next, and what a key does. Draws nothing; `screen_labels.py` shows it.

1 to 9 choose a label of the page, n turns to the next page of labels, s skips, u undoes, q leaves. Every answer is on the disk before
the next item is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tunewright.data.labels.answers import Answer, Log, now
from tunewright.data.labels.queue import Asked

PAGE = 9


@dataclass
class Review:
    """A queue being answered by `by`. `undone` are the ids that `u` may take back, in order."""

    rows: Sequence[Asked]
    log: Log
    by: str
    clock: Callable[[], str] = now
    page: int = 0
    over: bool = False
    skipped: set[str] = field(default_factory=set)
    undone: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._first: str | None = None

    @property
    def answered(self) -> int:
        current = self.log.current()
        return sum(row.id in current for row in self.rows)

    def current(self) -> Asked | None:
        """The item that is asked; None where none is left."""
        if self.over:
            return None
        known = self.log.current()
        left = [row for row in self.rows if row.id not in known and row.id not in self.skipped]
        return next((row for row in left if row.id == self._first), left[0] if left else None)

    def choices(self) -> list[str]:
        """The labels of the page, for the keys 1 to 9."""
        row = self.current()
        return [] if row is None else list(row.labels[self.page * PAGE : (self.page + 1) * PAGE])

    def press(self, pressed: str) -> str:
        """What a key does; says in a word what was done, or why nothing."""
        row = self.current()
        if pressed == "q":
            self.over = True
            return "left"
        if pressed == "u":
            return self._undo()
        if row is None:
            return "nothing is left"
        if pressed == "n":
            self.page = self.page + 1 if (self.page + 1) * PAGE < len(row.labels) else 0
            return "next labels"
        if pressed == "s":
            self.skipped.add(row.id)
            self.undone.append(row.id)
            self._turn()
            return "skipped"
        choices = self.choices()
        if not (pressed.isdecimal() and pressed.isascii() and 1 <= int(pressed) <= len(choices)):
            return f"{pressed!r} is no choice"
        label = choices[int(pressed) - 1]
        self.log.add(Answer(row.id, row.item, row.keys, label, self.by, self.clock()))
        self.undone.append(row.id)
        self._turn()
        return f"answered {label}"

    def _turn(self) -> None:
        self.page, self._first = 0, None

    def _undo(self) -> str:
        if not self.undone:
            return "nothing to undo"
        back = self.undone.pop()
        if back in self.skipped:
            self.skipped.discard(back)
        else:
            row = next(r for r in self.rows if r.id == back)
            self.log.add(Answer(row.id, row.item, row.keys, None, self.by, self.clock()))
        self._turn()
        self._first = back
        return "undone"
