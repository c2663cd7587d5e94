"""Spans with types in a text (named entities): from tags of tokens or from offsets.

Cleaning may have changed the text since: the spans are moved with it, or the row is set aside.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from tunewright.core.errors import Problem, listed
from tunewright.core.outcomes import Span
from tunewright.core.records import Record
from tunewright.core.spans import canonical, fault, parsed, trimmed
from tunewright.data import span_rows
from tunewright.data.journal import Draft, Journal, folded
from tunewright.data.rows import Columns, Table, UnfitError, as_text
from tunewright.data.tag_schemes import broken, scheme_of, spans_of
from tunewright.data.targets.names import FEW, near_labels, not_in_train, unknown, unused
from tunewright.data.targets.protocol import ByColumns, Pick, Read, Settled, most_frequent, too_few

OFFSETS = "offsets"
"""What stands in the card in place of a scheme where the spans were given by their offsets."""


@dataclass(frozen=True)
class Spans(ByColumns):
    """A record's label is a JSON array of sorted spans that do not overlap: `[[0,2,"NAME"],[5,8,"ORG"]]`.

    `scheme` is that of the tags, found out by `settle`.
    """

    columns: Columns = Columns("text")
    label_map: Mapping[str, str] = field(default_factory=dict)
    scheme: str = ""
    task: str = "token_classification"
    conflict: str = "conflict"

    def picker(self, table: Table, names: Mapping[str, tuple[str, ...]]) -> Pick:
        """What reads a whole row of this table: its text, its label as `span_rows` writes it, and no second text."""
        columns = Columns("tokens", "tags") if table.format == "conll" else self.columns

        def pick(values: Any) -> tuple[str, str | None, str | None]:
            row = values if isinstance(values, dict) else dict(zip(table.columns or (), values, strict=False))
            text, label = span_rows.row_of(row, columns, names, table.joined)
            return text, label, None

        return pick

    def cell(self, value: Any, names: tuple[str, ...] | None) -> str | None:
        return (
            json.dumps(value, ensure_ascii=False) if isinstance(value, (list, tuple, dict)) else as_text(value, "label")
        )

    def answer(self, raw: str) -> str | None:
        """The spans on the text without white space around it."""
        found = self._read(raw)
        return canonical(moved(found.spans, found.text, found.text.strip()))

    def _read(self, raw: str) -> _Found:
        """What a row's label says.

        Raises:
            UnfitError: tags that are none, spans that are out of range, overlap or hold nothing but white space.
        """
        said = json.loads(raw)
        text, notes = said["text"], list[tuple[str, str]]()
        if "tags" in said:
            tagging, pieces = spans_of(said["tags"]), said["pieces"]
            given = [(pieces[a][0], pieces[b - 1][1], kind) for a, b, kind in tagging.spans]
            notes += [("broken_tags", detail) for detail in broken(said["tags"], tagging, self.scheme)]
        else:
            given = [(start, end, kind) for start, end, kind in said["spans"]]
        given.sort()
        whole = list(dict.fromkeys(given))
        if len(whole) < len(given):
            notes.append(("span_twice", f"{len(given) - len(whole)} spans stand there twice"))
        _refuse(whole, len(text))
        spans = []
        for start, end, kind in whole:
            place = trimmed(text, start, end)
            if place[0] == place[1]:
                raise UnfitError("empty_span", f"{kind} at {start} to {end} holds nothing but white space")
            if place != (start, end):
                notes.append(("span_space", f"{kind} at {start} to {end} became {place[0]} to {place[1]}"))
            spans.append((*place, kind))
        mapped = [(start, end, self.label_map.get(kind, kind)) for start, end, kind in spans]
        if mapped != spans:
            notes.append(("label_map", ", ".join(sorted({k for _, _, k in spans if self.label_map.get(k, k) != k}))))
        return _Found(text, [span for span in mapped if span[2]], notes, Counter(kind for _, _, kind in spans))

    def found_out(self, raws: Collection[str]) -> Spans:
        """With the scheme of these labels."""
        said = (json.loads(raw) for raw in raws)
        tags = [one["tags"] for one in said if "tags" in one]
        return replace(self, scheme=(scheme_of(tags) or "IOB2") if tags else OFFSETS if raws else "")

    def knows(self, answer: str, labels: Collection[str]) -> bool:
        return {kind for _, _, kind in parsed(answer)} <= set(labels)

    def settle(self, drafts: list[Draft], journal: Journal) -> Settled:
        target = self.found_out([draft.label for draft in drafts if draft.label])
        read, counts = Read(), Counter[str]()
        for draft in drafts:
            if draft.label is None:
                read.drafts.append(draft)
                continue
            read.labelled += 1
            try:
                found = target._read(draft.label)
                label = canonical(moved(found.spans, found.text, draft.text))
            except UnfitError as unfit:
                draft.label = None
                read.unfit.setdefault(unfit.reason, []).append((draft, unfit.detail))
                journal.note("label", "quarantined", unfit.reason, draft, unfit.detail)
                continue
            counts.update(found.types)
            draft.label = label
            for reason in dict.fromkeys(reason for reason, _ in found.notes):
                details = [detail for other, detail in found.notes if other == reason]
                journal.note("label", "changed", reason, draft, listed(details, 3))
            read.drafts.append(draft)
        journal.close("label", len(drafts), len(read.drafts))
        errors, warnings = read.problems(
            "data, spans", "no spans", "see the quarantine for the rows and their lines; offsets count characters of the text, "
            "the end exclusive, and spans do not overlap"
        )  # fmt: skip
        return Settled(
            target, read.drafts, near_labels(counts, self.label_map) + errors,
            unused(self.label_map, counts) + warnings, (target.said(),) if counts else (),
        )  # fmt: skip

    def said(self) -> str:
        """The scheme in words."""
        return "spans by their offsets" if self.scheme == OFFSETS else f"tags in the scheme {self.scheme}"

    def conflicts(self, clusters: list[list[Draft]], drafts: Sequence[Draft]) -> list[list[Draft]]:
        """Clusters whose rows name different things; offsets that differ by white space alone are no contradiction."""
        return [cluster for cluster in clusters if len({_named(draft) for draft in cluster}) > 1]

    def majority(self, cluster: Sequence[Draft]) -> str | None:
        return most_frequent(cluster)

    def refuse(self, drafts: Sequence[Draft]) -> list[Problem]:
        errors = too_few(drafts)
        if drafts and all(draft.label == "[]" for draft in drafts):
            errors.append(
                Problem(where="data, spans", found="no row has any span", allowed="at least one type that some have",
                        to_do="check that this is the column of the tags or the spans")
            )  # fmt: skip
        return errors

    def measurable(
        self, splits: Mapping[str, list[Draft]], journal: Journal
    ) -> tuple[dict[str, list[Draft]], list[Problem]]:
        """Held-out rows with a type that no training row has cannot be judged: the model has no tag for it."""
        known = list(self.names(splits))
        left: dict[str, list[Draft]] = {}
        for part, rows in splits.items():
            left[part] = []
            for draft in rows:
                missing = sorted(set(_types(draft)) - set(known)) if part != "train" else []
                if missing:
                    detail = "; ".join(not_in_train(name, known) for name in missing)
                    journal.note("unknown", "quarantined", "unknown_label", draft, detail)
                else:
                    left[part].append(draft)
        journal.close("unknown", sum(map(len, splits.values())), sum(map(len, left.values())))
        return left, unknown(journal)

    def doubts(self, splits: Mapping[str, Sequence[Draft]]) -> list[Problem]:
        """Types with few spans to learn from, and types that held-out rows lack."""
        counts = {part: counted_types(draft.label for draft in rows) for part, rows in splits.items()}
        names, out = sorted(counts["train"]), list[Problem]()
        few = [f"{name!r} ({counts['train'][name]})" for name in names if counts["train"][name] < FEW]
        if few:
            out.append(Problem(where="data, spans", found=f"types with fewer than {FEW} spans in train: {listed(few)}",
                               to_do="bring more of them; their figures will say little"))  # fmt: skip
        for part in ("validation", "test"):
            without = [repr(name) for name in names if splits[part] and not counts[part][name]]
            if without:
                out.append(Problem(where="data, spans", found=f"no span of {listed(without)} in {part}",
                                   to_do="these types go unmeasured there"))  # fmt: skip
        return out

    def names(self, splits: Mapping[str, Sequence[Draft]]) -> tuple[str, ...]:
        return tuple(sorted({kind for draft in splits["train"] for kind in _types(draft)}))

    def card(self, splits: Mapping[str, Sequence[Record]], names: Sequence[str]) -> dict[str, Any]:
        """Spans of each type in each split, how many a row has, and the scheme that was found."""
        counts = {part: counted_types(record.label for record in rows) for part, rows in splits.items()}
        sizes = np.array([len(parsed(r.label or "[]")) for rows in splits.values() for r in rows] or [0])
        total = max(1, sum(sum(count.values()) for count in counts.values()))
        return {
            "task": self.task,
            "classes": [],
            "scheme": self.scheme,
            "types": [
                {
                    "type": name,
                    **{part: counts[part][name] for part in ("train", "validation", "test")},
                    "share": sum(count[name] for count in counts.values()) / total,
                }
                for name in names
            ],
            "spans_per_item": {
                "mean": float(sizes.mean()),
                "median": float(np.median(sizes)),
                "max": int(sizes.max()),
                "none": int((sizes == 0).sum()),
            },
        }


@dataclass(frozen=True)
class _Found:
    """The text of a row as it was read, its spans after the map, what was mended (code, words), types before the map."""

    text: str
    spans: list[Span]
    notes: list[tuple[str, str]]
    types: Counter[str]


def _refuse(spans: Sequence[Span], length: int) -> None:
    wrong = fault(spans, length)
    if wrong is not None:
        raise UnfitError(*wrong)


def moved(spans: Sequence[Span], before: str, after: str) -> list[Span]:
    """Spans of the text `before` on the text `after` that cleaning made of it.

    Raises:
        UnfitError: a span begins or ends within what was changed.
    """
    if before == after or not spans:
        return list(spans)
    if before.strip() == after:
        gone = len(before) - len(before.lstrip())
        return [(start - gone, end - gone, kind) for start, end, kind in spans]
    places: dict[int, int] = {}
    for a, b, size in SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks():
        places.update({a + k: b + k for k in range(size + 1)})
    lost = [span for span in spans if span[0] not in places or span[1] not in places]
    out = [] if lost else [(places[start], places[end], kind) for start, end, kind in spans]
    if lost or fault(out, len(after)) is not None:
        start, end, kind = (lost or spans)[0]
        raise UnfitError("span_in_repair", f"{kind} at {start} to {end} stands where the encoding was repaired")
    return out


def _types(draft: Draft) -> list[str]:
    return [kind for _, _, kind in parsed(draft.label or "[]")]


def _named(draft: Draft) -> tuple[tuple[str, str], ...]:
    return tuple((folded(draft.text[start:end]), kind) for start, end, kind in parsed(draft.label or "[]"))


def counted_types(answers: Iterable[str | None]) -> Counter[str]:
    """How many spans of each type these answers hold."""
    return Counter(kind for answer in answers for _, _, kind in parsed(answer or "[]"))
