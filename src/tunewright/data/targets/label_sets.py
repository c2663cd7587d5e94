"""Several labels a row: a list, names with a separator between them, or one column of 0 and 1 for each label.

An empty cell is a row that nobody labelled; `[]`, or 0 in every column, is the answer that no label applies.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from tunewright.core.errors import Problem, listed
from tunewright.core.records import Record
from tunewright.data.journal import Draft, Journal
from tunewright.data.rows import Columns, UnfitError, as_text
from tunewright.data.targets import joined
from tunewright.data.targets.classes import class_name
from tunewright.data.targets.names import FEW, near_labels, not_in_train, unknown, unused
from tunewright.data.targets.protocol import ByColumns, Settled, most_frequent, read_answers, too_few

YES = frozenset({"1", "1.0", "true", "yes"})
NO = frozenset({"0", "0.0", "false", "no"})


@dataclass(frozen=True)
class LabelSets(ByColumns):
    """A record's label is a JSON array of sorted, distinct names: `["anger","joy"]`.

    `separator` and `lists` (whether the cells are lists) are found out by `settle` where the separator is not given.
    """

    columns: Columns
    label_map: Mapping[str, str] = field(default_factory=dict)
    separator: str | None = None
    lists: bool = False
    task: str = "multilabel"
    conflict: str = "conflict"

    def cell(self, value: Any, names: tuple[str, ...] | None) -> str | None:
        """A list as JSON, each ClassLabel's number in it as its name."""
        if not isinstance(value, (list, tuple)):
            return as_text(value, "label") if self._flags else class_name(value, names)
        return json.dumps([class_name(item, names) for item in value], ensure_ascii=False)

    def answer(self, raw: str) -> str | None:
        return canonical(self.label_map.get(name, name) for name in self._names(raw))

    def knows(self, answer: str, labels: Collection[str]) -> bool:
        return set(names_in(answer)) <= set(labels)

    @property
    def _flags(self) -> bool:
        return isinstance(self.columns.label, tuple)

    def _names(self, raw: str) -> list[str]:
        """The names in a row's label before the map."""
        if self._flags:
            return self._marked(json.loads(raw))
        if not self.lists and raw.strip() != "[]":
            return joined.split(raw, self.separator)
        names = joined.listed(raw)
        if names is None:
            raise UnfitError("bad_list", f"{raw[:80]!r} is no list of names")
        for name in names:
            as_text(name, "label")
        return names

    def _marked(self, cells: Sequence[str | None]) -> list[str]:
        bad = [f"{name!r} is {cell!r}" for name, cell in zip(self.columns.labels, cells, strict=True)
               if cell is not None and cell.strip().lower() not in YES | NO]  # fmt: skip
        if bad:
            raise UnfitError("not_0_or_1", listed(bad, 3))
        empty = [repr(name) for name, cell in zip(self.columns.labels, cells, strict=True) if cell is None]
        if empty:
            raise UnfitError("partial_label", f"no value in {listed(empty, 3)}")
        return [
            name for name, cell in zip(self.columns.labels, cells, strict=True) if (cell or "").strip().lower() in YES
        ]

    def found_out(self, raws: Collection[str]) -> LabelSets:
        """With separator and lists as these labels have them."""
        if self._flags or self.separator is not None or not raws:
            return self
        if sum(map(joined.bracketed, raws)) * 2 > len(raws):
            return replace(self, lists=True)
        return replace(self, separator=joined.separator_of([raw for raw in raws if raw.strip() != "[]"]))

    def settle(self, drafts: list[Draft], journal: Journal) -> Settled:
        raws = Counter(draft.label for draft in drafts if draft.label is not None and draft.label.strip())
        target = self.found_out(raws)
        read = read_answers(drafts, target.answer, journal)
        journal.close("label", len(drafts), len(read.drafts))
        counts = target._counts(raws)
        to_do = "write 0 or 1 in every label column" if self._flags else 'write a list such as ["joy", "anger"]'
        errors, warnings = read.problems(f"data, {self.columns.said()}", "no set of labels", to_do)
        return Settled(
            target, read.drafts, near_labels(counts, self.label_map) + errors,
            unused(self.label_map, counts) + warnings, (target._said(),) if raws else (),
        )  # fmt: skip

    def _counts(self, raws: Counter[str]) -> Counter[str]:
        """How many rows have each name, before the map."""
        counts: Counter[str] = Counter()
        for raw, rows in raws.items():
            try:
                counts.update(dict.fromkeys(self._names(raw), rows))
            except UnfitError:
                continue
        return counts

    def _said(self) -> str:
        where = self.columns.said()
        if self._flags:
            return f"{where}: one label a column, where it says 1"
        if self.lists:
            return f"{where}: lists of labels"
        mark = {None: "every cell is one label: no separator makes fewer", "\t": "labels are separated by a tab"}
        return f"{where}: {mark.get(self.separator) or f'labels are separated by {self.separator!r}'}"

    def conflicts(self, clusters: list[list[Draft]], drafts: Sequence[Draft]) -> list[list[Draft]]:
        return clusters

    def majority(self, cluster: Sequence[Draft]) -> str | None:
        return most_frequent(cluster)

    def refuse(self, drafts: Sequence[Draft]) -> list[Problem]:
        sets = {draft.label or "[]" for draft in drafts}
        where, errors = f"data, {self.columns.said()}", too_few(drafts)
        if sets == {"[]"}:
            errors.append(Problem(where=where, found="no row has any label", allowed="at least one label that some have",
                                  to_do="check that this is the label column"))  # fmt: skip
        elif len(sets) == 1:
            errors.append(Problem(where=where, found=f"every row has the labels {sets.pop()}",
                                  allowed="at least two different sets", to_do="check that this is the label column"))  # fmt: skip
        return errors

    def measurable(
        self, splits: Mapping[str, list[Draft]], journal: Journal
    ) -> tuple[dict[str, list[Draft]], list[Problem]]:
        """Rows with a label that no training row has cannot be judged: the model has no score for it."""
        known = list(self.names(splits))
        learnt = set(known)
        left: dict[str, list[Draft]] = {}
        for part, rows in splits.items():
            left[part] = []
            for draft in rows:
                missing = [name for name in names_in(draft.label) if name not in learnt] if part != "train" else []
                if missing:
                    detail = "; ".join(not_in_train(name, known) for name in missing)
                    journal.note("unknown", "quarantined", "unknown_label", draft, detail)
                else:
                    left[part].append(draft)
        journal.close("unknown", sum(map(len, splits.values())), sum(map(len, left.values())))
        return left, unknown(journal)

    def doubts(self, splits: Mapping[str, Sequence[Draft]]) -> list[Problem]:
        """Labels that few or all training rows have, that held-out rows lack, and rows of one label throughout."""
        where, train = f"data, {self.columns.said()}", splits["train"]
        counts = {part: counted_names(draft.label for draft in rows) for part, rows in splits.items()}
        names = sorted(counts["train"])
        out = []
        few = [f"{name!r} ({counts['train'][name]})" for name in names if counts["train"][name] < FEW]
        if few:
            out.append(Problem(where=where, found=f"labels with fewer than {FEW} rows in train: {listed(few)}",
                               to_do="bring more rows of them; their figures will say little"))  # fmt: skip
        always = [repr(name) for name in names if counts["train"][name] == len(train)]
        if always:
            out.append(Problem(where=where, found=f"every row of train has {listed(always)}",
                               to_do="nothing can be learnt about these labels"))  # fmt: skip
        if all(len(names_in(draft.label)) < 2 for draft in train):
            out.append(Problem(where=where, found="no row has more than one label", to_do="set data.separator, or "
                               "task: classification if a row can have but one"))  # fmt: skip
        for part in ("validation", "test"):
            without = [repr(name) for name in names if splits[part] and not counts[part][name]]
            if without:
                out.append(Problem(where=where, found=f"no row of {listed(without)} in {part}",
                                   to_do="these labels go unmeasured there"))  # fmt: skip
        return out

    def names(self, splits: Mapping[str, Sequence[Draft]]) -> tuple[str, ...]:
        return tuple(sorted({name for draft in splits["train"] for name in names_in(draft.label)}))

    def card(self, splits: Mapping[str, Sequence[Record]], names: Sequence[str]) -> dict[str, Any]:
        counts = {part: counted_names(record.label for record in rows) for part, rows in splits.items()}
        sizes = np.array([len(names_in(record.label)) for rows in splits.values() for record in rows] or [0])
        total = max(1, sum(map(len, splits.values())))
        return {
            "task": self.task,
            "separator": self.separator,
            "classes": [
                {
                    "label": name,
                    **{part: counts[part][name] for part in ("train", "validation", "test")},
                    "share": sum(count[name] for count in counts.values()) / total,
                }
                for name in names
            ],
            "labels_per_item": {
                "mean": float(sizes.mean()),
                "median": float(np.median(sizes)),
                "max": int(sizes.max()),
                "none": int((sizes == 0).sum()),
            },
        }


def canonical(names: Iterable[str]) -> str:
    """`["anger","joy"]`: sorted, distinct, without spaces between; a name that the map made empty is left out."""
    return json.dumps(sorted({name for name in names if name}), ensure_ascii=False, separators=(",", ":"))


@lru_cache(maxsize=1 << 16)
def _parsed(answer: str) -> tuple[str, ...]:
    return tuple(json.loads(answer))


def names_in(answer: str | None) -> tuple[str, ...]:
    """The names in a canonical answer; none where a row is not labelled."""
    return () if answer is None else _parsed(answer)


def counted_names(answers: Iterable[str | None]) -> Counter[str]:
    """How many of these answers have each name."""
    counts: Counter[str] = Counter()
    for answer, times in Counter(answers).items():
        counts.update(dict.fromkeys(names_in(answer), times))
    return counts
