"""A source and its target, both plain texts: `seq2seq`. Several targets of one source are references, not conflicts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunewright.core.errors import Problem
from tunewright.core.records import Record
from tunewright.data.folders import Member, members, parallel
from tunewright.data.journal import Draft, Journal
from tunewright.data.plain import open_parallel
from tunewright.data.remote import is_remote
from tunewright.data.rows import Columns, Form, Reader, Table, Taken, UnfitError, as_text
from tunewright.data.tables import open_member
from tunewright.data.targets.prompts import spread
from tunewright.data.targets.protocol import ByColumns, Settled, most_frequent, too_few

_INNER = "translation"


@dataclass(frozen=True)
class Texts(ByColumns):
    """A record's label is the target."""

    columns: Columns
    task: str = "seq2seq"
    conflict: str = "conflict"

    def files(self, path: str | Path) -> list[Member]:
        """Also `train5k` for the files train5k.en and train5k.de, where en and de are text and label."""
        two = None if is_remote(path) else parallel(Path(path), self._pair)
        return members(path) if two is None else [two]

    def table(self, member: Member, form: Form, only: tuple[str, ...] | None) -> Table:
        if member.beside is None:
            return open_member(member, form, only)
        return open_parallel(member.path, member.beside, self._pair, form)

    @property
    def _pair(self) -> tuple[str, str]:
        return self.columns.text or "", self.columns.labels[0] if self.columns.labels else ""

    def reader(self, sample: Sequence[Mapping[str, Any]], file: str) -> Reader | None:
        """Rows with both texts inside `translation`, as data sets for translation have them; else the columns."""
        one, two = self._pair

        def inside(row: Mapping[str, Any]) -> bool:
            inner = row.get(_INNER)
            return isinstance(inner, Mapping) and one in inner and two in inner

        if not any(map(inside, sample)):
            return None

        def take(row: Mapping[str, Any]) -> Taken:
            if not inside(row):
                raise UnfitError("missing_field", f"no {_INNER!r} with {one!r} and {two!r}")
            source, target = (as_text(row[_INNER][name], name) for name in (one, two))
            return Taken(source or "", target or None)

        return Reader(take, note=f"both texts stand in {_INNER!r}")

    def cell(self, value: Any, names: tuple[str, ...] | None) -> str | None:
        return as_text(value, "label") or None

    def answer(self, raw: str) -> str | None:
        return raw.strip() or None

    def found_out(self, raws: Collection[str]) -> Texts:
        return self

    def knows(self, answer: str, labels: Collection[str]) -> bool:
        return True

    def tidy(self, draft: Draft, mend: Callable[[str], str]) -> None:
        super().tidy(draft, mend)
        draft.label = (mend(draft.label) or None) if draft.label else None

    def settle(self, drafts: list[Draft], journal: Journal) -> Settled:
        journal.close("label", len(drafts), len(drafts))
        return Settled(self, drafts)

    def conflicts(self, clusters: list[list[Draft]], drafts: Sequence[Draft]) -> list[list[Draft]]:
        return []

    def majority(self, cluster: Sequence[Draft]) -> str | None:
        return most_frequent(cluster)

    def refuse(self, drafts: Sequence[Draft]) -> list[Problem]:
        return too_few(drafts)

    def measurable(
        self, splits: Mapping[str, list[Draft]], journal: Journal
    ) -> tuple[dict[str, list[Draft]], list[Problem]]:
        return dict(splits), []

    def doubts(self, splits: Mapping[str, Sequence[Draft]]) -> list[Problem]:
        """Sources that are their own targets."""
        rows = [draft for part in splits.values() for draft in part]
        same = sum(draft.text == draft.label for draft in rows)
        if 2 * same <= len(rows):
            return []
        return [
            Problem(where=f"data, {self.columns.said()}", found=f"{same:,} of {len(rows):,} targets are their sources",
                    to_do="check that text and label are two different columns")
        ]  # fmt: skip

    def names(self, splits: Mapping[str, Sequence[Draft]]) -> tuple[str, ...]:
        return ()

    def card(self, splits: Mapping[str, Sequence[Record]], names: Sequence[str]) -> dict[str, Any]:
        """How long sources and targets are in characters, and the mean of target over source."""
        pairs = [(len(r.text), len(r.label)) for part in splits.values() for r in part if r.label]
        ratio = float(np.mean([target / source for source, target in pairs])) if pairs else 0.0
        return {
            "task": self.task,
            "classes": [],
            "characters": {"source": spread([s for s, _ in pairs]), "target": spread([t for _, t in pairs])},
            "ratio": ratio,
        }
