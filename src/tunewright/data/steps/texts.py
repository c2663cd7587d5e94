"""Steps over texts, one after the other: what becomes of the texts, and what the ledger says of it.

`clean_texts` is a function of the texts alone and may be run in any number of processes, on batches of any size; `apply`
does it for drafts, whatever stands inside them. Each step is a stage of its own, so that its count can be seen and its
sums must balance. A row that a step refuses is not seen by the steps after it.

A ledger must not say what was masked. Where one of the steps has a method `masked`, whatever the ledger quotes, of any
step and of rows that left before it, goes through that first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from tunewright.core.errors import listed
from tunewright.core.records import content_id
from tunewright.core.registry import name_of
from tunewright.data.journal import Draft, Journal, composed
from tunewright.data.steps.mojibake import LOST_TWICE
from tunewright.data.steps.protocol import Edit, TextStep
from tunewright.data.targets.protocol import ByColumns, Target

BATCH = 10_000
_AROUND = 24
_QUOTED = 100
_LOST = "\ufffd"
EMPTIED = "emptied_text"

DESCRIBED = {EMPTIED: ("Texts of which cleaning left nothing", "left out")}


@runtime_checkable
class Masks(Protocol):
    """A step that finds what nobody shall read."""

    def masked(self, text: str) -> str:
        """The text without it, whatever the step's policy is."""
        ...


class Entry(NamedTuple):
    """What one step did to one row; `step` is its place in the list."""

    row: int
    step: int
    outcome: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Cleaned:
    """The texts as they are now, and what the ledger says.

    texts: as many as were given; those of rows that left are masked. entries: by step, then by row; one at most for
    each of both. gone: rows that were refused. emptied: rows of which a text that said something says nothing now.
    flags: of rows that bear some, in the order in which they were found.
    """

    texts: list[str]
    entries: list[Entry]
    gone: frozenset[int]
    emptied: frozenset[int]
    flags: dict[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def touched(self) -> set[int]:
        """The rows that something happened to."""
        return {entry.row for entry in self.entries}


def stage_names(steps: Sequence[TextStep]) -> list[str]:
    """The stages of these steps: their names, numbered where one is named again."""
    names, seen = [], dict[str, int]()
    for step in steps:
        name = name_of(step)
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return names


def clean_texts(steps: Sequence[TextStep], texts: Sequence[str], rows: Sequence[int] | None = None) -> Cleaned:
    """Apply the steps to the texts, in batches.

    Args:
        steps: in their order.
        texts: of whatever rows.
        rows: the row of each text, ascending, where a row has several; else each text is a row.
    """
    now, masks = list(texts), guard(steps)
    entries: list[Entry] = []
    gone, flags = set[int](), dict[int, tuple[str, ...]]()
    for place, step in enumerate(steps):
        quoted = None if isinstance(step, Masks) else masks
        whole = rows is not None and getattr(step, "whole", False)
        left = (
            range(len(now))
            if not gone
            else [i for i in range(len(now)) if (i if rows is None else rows[i]) not in gone]
        )
        given = _joined(now, rows, left) if whole and rows is not None else ((i, now[i]) for i in left)
        found: dict[int, list[tuple[str, Edit]]] = {}
        for i, before, edit in _edits(step, given):
            if edit.text == before and not edit.flags and not edit.refused:
                continue
            row = i if rows is None else rows[i]
            found.setdefault(row, []).append((before, edit))
            if not whole:
                now[i] = edit.text
        for row, edits in found.items():
            entries.append(_entry(row, place, step, edits, quoted))
            new = [flag for _, edit in edits for flag in edit.flags]
            if new:
                flags[row] = tuple(dict.fromkeys([*flags.get(row, ()), *new]))
            if any(edit.refused for _, edit in edits):
                gone.add(row)
    emptied = set[int]()
    for i, text in enumerate(now):
        row = i if rows is None else rows[i]
        if row in gone:
            now[i] = masks(text)
        elif not text and texts[i].strip():
            emptied.add(row)
    return Cleaned(now, entries, frozenset(gone), frozenset(emptied), flags)


def _edits(step: TextStep, given: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str, Edit]]:
    places: list[int] = []
    batch: list[str] = []

    def done() -> Iterator[tuple[int, str, Edit]]:
        for i, text, edit in zip(places, batch, step(batch), strict=True):
            if edit is not None:
                yield i, text, edit

    for i, text in given:
        places.append(i)
        batch.append(text)
        if len(batch) == BATCH:
            yield from done()
            places, batch = [], []
    if batch:
        yield from done()


def _joined(texts: Sequence[str], rows: Sequence[int], left: Iterable[int]) -> Iterator[tuple[int, str]]:
    """All texts of a row as one, under the place of its first."""
    first, parts = -1, list[str]()
    for i in left:
        if first >= 0 and rows[i] != rows[first]:
            yield first, "\n".join(parts)
            first, parts = -1, []
        first = i if first < 0 else first
        parts.append(texts[i])
    if first >= 0:
        yield first, "\n".join(parts)


def _entry(
    row: int, place: int, step: TextStep, edits: list[tuple[str, Edit]], masks: Callable[[str], str] | None
) -> Entry:
    refused = next((edit for _, edit in edits if edit.refused), None)
    if refused is not None:
        return Entry(row, place, "dropped", refused.refused, refused.detail)
    details = list(dict.fromkeys(edit.detail for _, edit in edits if edit.detail))
    changed = [(before, edit.text) for before, edit in edits if edit.text != before]
    if changed and masks is not None:
        details.append(difference(masks(changed[0][0]), masks(changed[0][1])))
    reason = step.reason if changed else f"{step.reason}_flagged"
    return Entry(row, place, "changed", reason, "; ".join(detail for detail in details if detail))


def guard(steps: Sequence[object]) -> Callable[[str], str]:
    """What a text goes through before it is quoted: the masks of all steps that have one."""
    masks = [step.masked for step in steps if isinstance(step, Masks)]

    def masked(text: str) -> str:
        for mask in masks:
            text = mask(text)
        return text

    return masked if masks else str


def difference(before: str, after: str) -> str:
    """Where two texts part, with a little of what stands around it; what cannot be seen is written as an escape."""
    if before == after:
        return ""
    start = _common(before, after)
    tail = _common(before[start:][::-1], after[start:][::-1])
    parts = []
    for name, text in (("was", before), ("now", after)):
        low, high = max(start - _AROUND, 0), min(len(text) - tail + _AROUND, len(text))
        cut = min(high, low + _QUOTED)
        shown = repr(text[low:cut])[1:-1]
        parts.append(f"{name}: {'…' if low else ''}{shown}{'…' if cut < len(text) else ''}")
    return " | ".join(parts)


def _common(a: str, b: str) -> int:
    """How many characters two texts begin with alike."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low


def apply(steps: Sequence[TextStep], drafts: list[Draft], target: Target, journal: Journal) -> list[Draft]:
    """Clean every text of every row, and give each row its id and comparison key; a stage in the journal for each step.

    Texts that stand inside a row (messages of a conversation) are cleaned one by one. Steps that judge (`whole`) see all
    texts of a row as one.
    """
    texts, rows = _gathered(drafts, target)
    cleaned = clean_texts(steps, texts, rows if len(texts) != len(drafts) else None)
    _put_back(drafts, target, texts, cleaned.texts, rows)
    shown = guard(steps)
    for row, draft in enumerate(drafts):
        draft.id = content_id(composed(draft.text), None if draft.pair is None else composed(draft.pair))
        if row in cleaned.flags:
            draft.flags = tuple(dict.fromkeys([*draft.flags, *cleaned.flags[row]]))
        if not draft.text.isascii() and (_LOST in draft.text or LOST_TWICE in draft.text):
            text = shown(journal.shown(draft.text))
            journal.show("replacement_character", draft.source, text, "left as it is: what stood there is lost")
    _tell(steps, drafts, cleaned, journal, shown)
    return _without_emptied(drafts, cleaned, journal)


def _gathered(drafts: Sequence[Draft], target: Target) -> tuple[list[str], list[int]]:
    """Every text of every row, and the row of each."""
    texts: list[str] = []

    def take(text: str) -> str:
        texts.append(text)
        return text

    rows: list[int] = []
    flat = _is_flat(target)
    for row, draft in enumerate(drafts):
        if flat:
            texts.append(draft.text)
            if draft.pair is not None:
                texts.append(draft.pair)
        else:
            target.tidy(draft, take)
        rows.extend([row] * (len(texts) - len(rows)))
    return texts, rows


def _put_back(
    drafts: Sequence[Draft], target: Target, old: Sequence[str], new: Sequence[str], rows: Sequence[int]
) -> None:
    """The cleaned texts in place of the old ones; `tidy` asks for them in the order in which it named them."""
    flat, place = _is_flat(target), 0
    for row, draft in enumerate(drafts):
        start = place
        while place < len(rows) and rows[place] == row:
            place += 1
        if flat or old[start:place] != new[start:place]:
            target.tidy(draft, _said_again(new[start:place]))


def _said_again(texts: Sequence[str]) -> Callable[[str], str]:
    each = iter(texts)
    return lambda _: next(each)


def _is_flat(target: Target) -> bool:
    """Whether a row's texts are its text and its second text, and nothing else."""
    return getattr(type(target), "tidy", None) is ByColumns.tidy


def _tell(
    steps: Sequence[TextStep], drafts: list[Draft], cleaned: Cleaned, journal: Journal, shown: Callable[[str], str]
) -> None:
    by_step: list[list[Entry]] = [[] for _ in steps]
    for entry in cleaned.entries:
        by_step[entry.step].append(entry)
    count = len(drafts)
    for name, entries in zip(stage_names(steps), by_step, strict=True):
        for entry in sorted(entries):
            draft = drafts[entry.row]
            journal.enter(name, entry.outcome, entry.reason, draft, entry.detail, shown(journal.shown(draft.text)))
        left = count - sum(entry.outcome == "dropped" for entry in entries)
        journal.close(name, count, left)
        count = left


def _without_emptied(drafts: list[Draft], cleaned: Cleaned, journal: Journal) -> list[Draft]:
    left = [draft for row, draft in enumerate(drafts) if row not in cleaned.gone]
    if not cleaned.emptied:
        return left
    for row in sorted(cleaned.emptied):
        steps = [entry.reason for entry in cleaned.entries if entry.row == row]
        journal.note("emptied", "dropped", EMPTIED, drafts[row], f"after {listed(steps)}")
    kept = [draft for row, draft in enumerate(drafts) if row not in cleaned.gone and row not in cleaned.emptied]
    journal.close("emptied", len(left), len(kept))
    return kept
