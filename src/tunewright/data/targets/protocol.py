"""What the data side asks of a kind of answer, and what more than one kind needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from tunewright.core.errors import Problem, counted, listed
from tunewright.core.records import Record, content_id
from tunewright.data.folders import Member, members
from tunewright.data.journal import Draft, Journal, folded
from tunewright.data.rows import Form, Reader, Table, UnfitError
from tunewright.data.tables import open_member

Pick = Callable[[Any], tuple[str, str | None, str | None]]
"""A row's cells to its text, its label and its second text; raises UnfitError."""

LEAST_ROWS = 10
_SHOWN = 3


@dataclass(frozen=True)
class Settled:
    """Rows with their labels in canonical form, problems that must stop the run, doubts, and the target as found out."""

    target: Target
    drafts: list[Draft]
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    notes: tuple[str, ...] = ()


class Target(Protocol):
    """A kind of answer. Immutable: what is found out from the rows is in the copy that `settle` hands back.

    Answers are texts in one canonical form each, so that equal answers are equal texts.
    """

    @property
    def task(self) -> str:
        """The recipe's name for it."""
        ...

    @property
    def conflict(self) -> str:
        """The reason code of one text with several answers."""
        ...

    @property
    def needs_label(self) -> bool:
        """Whether rows without a label are kept aside; what needs none learns the text itself."""
        ...

    def files(self, path: str | Path) -> list[Member]:
        """The files to read for a path of the recipe.

        Raises:
            DataError: nothing there that can be read.
        """
        ...

    def table(self, member: Member, form: Form, only: tuple[str, ...] | None) -> Table:
        """One of these files as a table; `only` are the columns that will be asked for, where they are known."""
        ...

    def reader(self, sample: Sequence[Mapping[str, Any]], file: str) -> Reader | None:
        """How rows such as these are read as a whole; None where the text and label columns are all there is to read.

        Raises:
            DataError: they cannot be rows of this kind.
        """
        ...

    def read_as(self, forms: Sequence[str]) -> Target:
        """The target that knows in which forms its rows stood."""
        ...

    def tidy(self, draft: Draft, mend: Callable[[str], str]) -> None:
        """Pass every text of a row through `mend`, and set the comparison key."""
        ...

    def shown(self, text: str) -> str:
        """A record's text as people read it."""
        ...

    def cell(self, value: Any, names: tuple[str, ...] | None) -> str | None:
        """A typed cell of a label column as text; `names` are those of a ClassLabel column.

        Raises:
            UnfitError: it can be no part of an answer.
        """
        ...

    def answer(self, raw: str) -> str | None:
        """The canonical form of a row's label; None where it says nothing.

        Raises:
            UnfitError: it is no answer of this kind.
        """
        ...

    def found_out(self, raws: Collection[str]) -> Target:
        """The target with what labels as they stand in a file show of their form; itself where nothing is open."""
        ...

    def knows(self, answer: str, labels: Collection[str]) -> bool:
        """Whether a model for `labels` can give this answer."""
        ...

    def settle(self, drafts: list[Draft], journal: Journal) -> Settled:
        """Put every label into its canonical form; set aside the rows whose label is no answer. Closes a stage."""
        ...

    def conflicts(self, clusters: list[list[Draft]], drafts: Sequence[Draft]) -> list[list[Draft]]:
        """Of clusters of one text under several answers, those that contradict themselves; `drafts` are all rows."""
        ...

    def majority(self, cluster: Sequence[Draft]) -> str | None:
        """The answer that a cluster agrees on; None where there is none."""
        ...

    def refuse(self, drafts: Sequence[Draft]) -> list[Problem]:
        """What makes learning these answers impossible."""
        ...

    def measurable(
        self, splits: Mapping[str, list[Draft]], journal: Journal
    ) -> tuple[dict[str, list[Draft]], list[Problem]]:
        """Set aside held-out rows whose answer cannot be learnt from train, and say which. May close a stage."""
        ...

    def doubts(self, splits: Mapping[str, Sequence[Draft]]) -> list[Problem]:
        """What makes learning or measuring these answers doubtful."""
        ...

    def names(self, splits: Mapping[str, Sequence[Draft]]) -> tuple[str, ...]:
        """The classes, the labels or the targets."""
        ...

    def card(self, splits: Mapping[str, Sequence[Record]], names: Sequence[str]) -> dict[str, Any]:
        """What the data card says of the answers."""
        ...


class ByColumns:
    """What all kinds share whose rows are a text, maybe a second one, and label columns."""

    needs_label: bool = True

    def files(self, path: str | Path) -> list[Member]:
        return members(path)

    def table(self, member: Member, form: Form, only: tuple[str, ...] | None) -> Table:
        return open_member(member, form, only)

    def reader(self, sample: Sequence[Mapping[str, Any]], file: str) -> Reader | None:
        return None

    def read_as(self, forms: Sequence[str]) -> Self:
        return self

    def tidy(self, draft: Draft, mend: Callable[[str], str]) -> None:
        draft.text = mend(draft.text)
        draft.pair = None if draft.pair is None else mend(draft.pair)
        draft.key = content_id(folded(draft.text), None if draft.pair is None else folded(draft.pair))

    def shown(self, text: str) -> str:
        return text


@runtime_checkable
class ReadsRows(Protocol):
    """A kind of answer that reads rows by itself, as text and answer stand in columns of its own."""

    def picker(self, table: Table, names: Mapping[str, tuple[str, ...]]) -> Pick:
        """What reads the rows of this table; `names` are those of its ClassLabel columns."""
        ...


def too_few(drafts: Sequence[Draft]) -> list[Problem]:
    """A problem where fewer rows are left than anything can be learnt from."""
    if len(drafts) >= LEAST_ROWS:
        return []
    return [
        Problem(where="data", found=counted(len(drafts), "usable row"), allowed=f"at least {LEAST_ROWS}",
                to_do="see the ledger for what became of the others, or bring more rows")
    ]  # fmt: skip


def most_frequent(cluster: Sequence[Draft]) -> str | None:
    """The answer of most rows, None where two are equally frequent."""
    votes = Counter(draft.label or "" for draft in cluster).most_common(2)
    return votes[0][0] if len(votes) == 1 or votes[0][1] > votes[1][1] else None


@dataclass
class Read:
    """Rows whose labels were put into canonical form, and what those that are no answer said, by reason."""

    drafts: list[Draft] = field(default_factory=list)
    unfit: dict[str, list[tuple[Draft, str]]] = field(default_factory=dict)
    labelled: int = 0

    def problems(self, where: str, what: str, to_do: str) -> tuple[list[Problem], list[Problem]]:
        """The rows that are no answers as one problem: an error where they are more than half, else a warning."""
        bad = [(draft, detail) for found in self.unfit.values() for draft, detail in found]
        if not bad:
            return [], []
        bad.sort(key=lambda pair: (pair[0].source.file, pair[0].source.line))
        shown = [f"{detail} (line {draft.source.line})" for draft, detail in bad[:_SHOWN]]
        of = f"{len(bad):,} of {counted(self.labelled, 'labelled row')}"
        found = f"{what} in {of}: {listed(shown)}{', ...' if len(bad) > _SHOWN else ''}"
        if 2 * len(bad) > self.labelled:
            return [Problem(where=where, found=found, to_do=to_do)], []
        return [], [Problem(where=where, found=f"{found}; set aside", to_do=to_do)]


def read_answers(drafts: list[Draft], answer: Callable[[str], str | None], journal: Journal) -> Read:
    """Put every label into its canonical form by `answer`, which is asked once for each text; note what is none."""
    done, known = Read(), dict[str, str | UnfitError | None]()
    for draft in drafts:
        raw = draft.label
        if raw is None or not raw.strip():
            draft.label = None
            done.drafts.append(draft)
            continue
        if raw not in known:
            try:
                known[raw] = answer(raw)
            except UnfitError as unfit:
                known[raw] = unfit
        found = known[raw]
        if isinstance(found, UnfitError):
            done.labelled += 1
            done.unfit.setdefault(found.reason, []).append((draft, found.detail))
            journal.note("label", "quarantined", found.reason, draft, found.detail)
            continue
        done.labelled += found is not None
        draft.label = found
        done.drafts.append(draft)
    return done
