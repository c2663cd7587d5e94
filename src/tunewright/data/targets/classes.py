"""One label a row: mapped where the recipe says so, never merged by guess; rows without one are kept aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunewright.core.errors import Problem, counted, listed
from tunewright.core.records import Record
from tunewright.data.journal import Draft, Journal
from tunewright.data.rows import Columns, UnfitError, as_text
from tunewright.data.targets.names import FEW, near_labels, not_in_train, unknown, unused
from tunewright.data.targets.protocol import ByColumns, Settled, most_frequent, too_few


@dataclass(frozen=True)
class Classes(ByColumns):
    """A record's label is the class itself; the classes are sorted."""

    columns: Columns = Columns("text")
    label_map: Mapping[str, str] = field(default_factory=dict)
    task: str = "classification"
    conflict: str = "conflict"

    def cell(self, value: Any, names: tuple[str, ...] | None) -> str | None:
        """A label; a ClassLabel's number as its name, -1 as missing."""
        return class_name(value, names)

    def answer(self, raw: str) -> str | None:
        mapped = self.label_map.get(raw)
        return (raw.strip() or None) if mapped is None else mapped

    def found_out(self, raws: Collection[str]) -> Classes:
        return self

    def knows(self, answer: str, labels: Collection[str]) -> bool:
        return answer in labels

    def settle(self, drafts: list[Draft], journal: Journal) -> Settled:
        """Apply the map, strip lone variants, set labels of given splits that train lacks aside."""
        counts = Counter(draft.label for draft in drafts if draft.label is not None and draft.label.strip())
        errors = near_labels(counts, self.label_map)
        for draft in drafts:
            raw = draft.label
            if raw is None or not raw.strip():
                draft.label = None
                continue
            draft.label = self.answer(raw)
            if draft.label != raw:
                reason = "label_map" if raw in self.label_map else "label_space"
                journal.note("label", "changed", reason, draft, f"{raw!r} became {draft.label!r}")
        left = _known_in_train(drafts, journal)
        journal.close("label", len(drafts), len(left))
        return Settled(self, left, errors, unused(self.label_map, counts) + unknown(journal))

    def conflicts(self, clusters: list[list[Draft]], drafts: Sequence[Draft]) -> list[list[Draft]]:
        return clusters

    def majority(self, cluster: Sequence[Draft]) -> str | None:
        return most_frequent(cluster)

    def refuse(self, drafts: Sequence[Draft]) -> list[Problem]:
        counts = Counter(draft.label or "" for draft in drafts)
        where, errors = f"data, {self.columns.said()}", too_few(drafts)
        if len(counts) == 1:
            errors.append(
                Problem(where=where, found=f"every row has the label {next(iter(counts))!r}",
                        allowed="at least two classes", to_do="check that this is the label column")
            )  # fmt: skip
        lonely = sorted(label for label, count in counts.items() if count < 2)
        if lonely and len(counts) > 1:
            errors.append(
                Problem(where=where, found=f"classes of a single row: {listed([repr(name) for name in lonely])}",
                        allowed=f"at least 2 rows a class, better {FEW} and more",
                        to_do="bring more rows of them, or merge them by `label_map`")
            )  # fmt: skip
        return errors

    def measurable(
        self, splits: Mapping[str, list[Draft]], journal: Journal
    ) -> tuple[dict[str, list[Draft]], list[Problem]]:
        return dict(splits), []

    def doubts(self, splits: Mapping[str, Sequence[Draft]]) -> list[Problem]:
        """A warning for each class that has fewer than five rows to learn from, or none to be measured on."""
        counts = {name: Counter(draft.label or "" for draft in rows) for name, rows in splits.items()}
        labels = sorted(set().union(*counts.values())) if counts else []
        where = f"data, {self.columns.said()}"
        warnings = [
            Problem(where=where, found=f"class {label!r} has {counted(counts['train'][label], 'row')} in train",
                    allowed=f"at least {FEW}", to_do="bring more rows of it; its figures will say little")
            for label in labels
            if counts["train"][label] < FEW
        ]  # fmt: skip
        for name in ("validation", "test"):
            without = [repr(label) for label in labels if splits[name] and not counts[name][label]]
            if without:
                warnings.append(
                    Problem(where=where, found=f"no row of {listed(without)} in {name}",
                            to_do="nothing is moved, so that the split stays stable; these classes go unmeasured there")
                )  # fmt: skip
        return warnings

    def names(self, splits: Mapping[str, Sequence[Draft]]) -> tuple[str, ...]:
        return tuple(sorted({draft.label or "" for part in splits.values() for draft in part}))

    def card(self, splits: Mapping[str, Sequence[Record]], names: Sequence[str]) -> dict[str, Any]:
        counts = {name: Counter(record.label for record in part) for name, part in splits.items()}
        total = sum(sum(count.values()) for count in counts.values())
        return {
            "classes": [
                {
                    "label": label,
                    **{name: counts[name][label] for name in ("train", "validation", "test")},
                    "share": sum(count[label] for count in counts.values()) / total,
                }
                for label in names
            ]
        }


def class_name(value: Any, names: tuple[str, ...] | None) -> str | None:
    """A name; a ClassLabel's number as its name, -1 as missing.

    Raises:
        UnfitError: a number without a name, or no text.
    """
    if names is None or not isinstance(value, int) or isinstance(value, bool):
        return as_text(value, "label") or None
    if value == -1:
        return None
    if not 0 <= value < len(names):
        raise UnfitError("unknown_label", f"class number {value}; there are {len(names)} names")
    return names[value]


def _known_in_train(drafts: list[Draft], journal: Journal) -> list[Draft]:
    known = {draft.label for draft in drafts if draft.split in (None, "train")} - {None}
    left = []
    for draft in drafts:
        if draft.split in (None, "train") or draft.label is None or draft.label in known:
            left.append(draft)
            continue
        detail = not_in_train(draft.label, [name for name in known if name is not None])
        journal.note("label", "quarantined", "unknown_label", draft, detail)
    return left
