"""Cleaning that changes nothing a reader would miss: outer white space, and text decoded twice (mojibake).

ftfy repairs the encoding alone: quotes, full-width characters, ligatures and line breaks stay as they are
written, and no U+FFFD is ever put in.
"""

from __future__ import annotations

from tunewright.core.records import content_id
from tunewright.data.journal import Draft, Journal, composed, excerpt
from tunewright.data.steps.mojibake import LOST_TWICE, repairer
from tunewright.data.targets.protocol import Target

__all__ = ["clean", "drop_empty", "identify", "repairer"]


class _Mender:
    """Repairs and strips texts, and remembers what it did since `start`."""

    def __init__(self) -> None:
        self.repair = repairer()
        self.start()

    def start(self) -> None:
        self.mended = self.stripped = False

    def __call__(self, text: str) -> str:
        mended = self.repair(text)
        bare = mended.strip()
        self.mended |= mended != text
        self.stripped |= bare != mended
        return bare


def clean(drafts: list[Draft], target: Target, journal: Journal) -> list[Draft]:
    """Strip and repair every text of every row, and give each row its id and comparison key."""
    mend = _Mender()
    for draft in drafts:
        before = draft.text
        mend.start()
        target.tidy(draft, mend)
        draft.id = content_id(composed(draft.text), None if draft.pair is None else composed(draft.pair))
        if mend.mended:
            journal.note("clean", "changed", "mojibake", draft, f"was: {excerpt(journal.shown(before))}")
        elif mend.stripped:
            journal.note("clean", "changed", "outer_space", draft)
        if not draft.text.isascii() and ("\ufffd" in draft.text or LOST_TWICE in draft.text):
            journal.show("replacement_character", draft.source, draft.text, "left as it is: what stood there is lost")
    journal.close("clean", len(drafts), len(drafts))
    return drafts


def drop_empty(drafts: list[Draft], journal: Journal) -> list[Draft]:
    """Drop rows without a text, or without a second text where a column for it is read."""
    left = []
    for draft in drafts:
        if draft.text and draft.pair != "":
            left.append(draft)
        else:
            journal.note("empty", "dropped", "empty_text", draft, "no second text" if draft.text else "")
    journal.close("empty", len(drafts), len(left))
    return left


def identify(drafts: list[Draft]) -> None:
    """Number repeated ids `-2`, `-3`, ... in reading order."""
    seen: dict[str, int] = {}
    for draft in drafts:
        nth = seen[draft.id] = seen.get(draft.id, 0) + 1
        if nth > 1:
            draft.id = f"{draft.id}-{nth}"
