"""Rows after their texts were cleaned: those that say nothing leave, the others are numbered."""

from __future__ import annotations

from tunewright.data.journal import Draft, Journal


def drop_empty(drafts: list[Draft], journal: Journal) -> list[Draft]:
    """Drop rows without a text, or without a second text where a column for it is read."""
    left = []
    for draft in drafts:
        if draft.text.strip() and (draft.pair is None or draft.pair.strip()):
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
