"""Documents that are learnt as they are: `language_modeling`. A record's text is one document; it needs no label."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, Problem, listed
from tunewright.core.records import Record
from tunewright.data.conversations.protocol import cell, first
from tunewright.data.folders import Member, is_text, members
from tunewright.data.journal import Draft, Journal
from tunewright.data.plain import LONGEST, open_text
from tunewright.data.rows import Columns, Form, Reader, Table, Taken, as_text, need_columns
from tunewright.data.tables import open_member
from tunewright.data.targets.protocol import ByColumns, Settled, too_few

NAMES = (
    "text",
    "content",
    "document",
    "body",
    "article",
    "passage",
    "raw_content",
    "code",
    "story",
    "文本",
    "内容",
    "正文",
)
"""Columns that hold documents, where the recipe names none."""


@dataclass(frozen=True)
class Documents(ByColumns):
    """`columns.text` is the column of tables, where it is named; plain texts have none."""

    columns: Columns = Columns()
    task: str = "language_modeling"
    conflict: str = "conflict"
    needs_label: bool = False

    def files(self, path: str | Path) -> list[Member]:
        """A folder may hold plain texts: one document a file."""
        return members(path, texts=True)

    def table(self, member: Member, form: Form, only: tuple[str, ...] | None) -> Table:
        if form.format == "text" or (form.format is None and (member.whole or is_text(member.path))):
            return open_text(member.path, form, member.whole)
        only = None if self.columns.text is None else self.columns.names
        return open_member(member, replace(form, max_line=max(form.max_line, LONGEST)), only)

    def reader(self, sample: Sequence[Mapping[str, Any]], file: str) -> Reader:
        known = tuple(dict.fromkeys(str(name) for row in sample for name in row))
        if known == ("text",) or self.columns.text is None:
            name = self._column(sample, known, file)
        else:
            name = self.columns.text
            need_columns(Columns(name), known, file)

        def take(row: Mapping[str, Any]) -> Taken:
            return Taken(as_text(cell(row, name), name) or "", None)

        return Reader(take)

    def _column(self, sample: Sequence[Mapping[str, Any]], known: tuple[str, ...], file: str) -> str:
        """The column that is named like one of documents, or the only one that holds texts."""
        named = first(dict.fromkeys(known), NAMES)
        if named is not None:
            return named
        texts = [name for name in known if any(isinstance(row.get(name), str) for row in sample)]
        if len(texts) == 1:
            return texts[0]
        raise DataError(
            Problem(where=file, found=f"no column of documents among {listed([repr(name) for name in known], 30)}",
                    allowed=f"{listed(NAMES)}, or a single column of texts", to_do="name the column by `text:`")
        )  # fmt: skip

    def cell(self, value: Any, names: tuple[str, ...] | None) -> str | None:
        return None

    def answer(self, raw: str) -> str | None:
        return None

    def found_out(self, raws: Collection[str]) -> Documents:
        return self

    def knows(self, answer: str, labels: Collection[str]) -> bool:
        return True

    def settle(self, drafts: list[Draft], journal: Journal) -> Settled:
        journal.close("label", len(drafts), len(drafts))
        return Settled(self, drafts)

    def conflicts(self, clusters: list[list[Draft]], drafts: Sequence[Draft]) -> list[list[Draft]]:
        return []

    def majority(self, cluster: Sequence[Draft]) -> str | None:
        return None

    def refuse(self, drafts: Sequence[Draft]) -> list[Problem]:
        return too_few(drafts)

    def measurable(
        self, splits: Mapping[str, list[Draft]], journal: Journal
    ) -> tuple[dict[str, list[Draft]], list[Problem]]:
        return dict(splits), []

    def doubts(self, splits: Mapping[str, Sequence[Draft]]) -> list[Problem]:
        return []

    def names(self, splits: Mapping[str, Sequence[Draft]]) -> tuple[str, ...]:
        return ()

    def card(self, splits: Mapping[str, Sequence[Record]], names: Sequence[str]) -> dict[str, Any]:
        """Documents, characters and bytes of every split."""
        sizes = {
            name: {
                "documents": len(part),
                "characters": sum(len(record.text) for record in part),
                "bytes": sum(len(record.text.encode()) for record in part),
            }
            for name, part in splits.items()
        }
        return {"task": self.task, "classes": [], "sizes": sizes}
