"""One number a target: regression with one target or several, each a column."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import Problem, listed
from tunewright.core.records import Record
from tunewright.data.journal import Draft, Journal
from tunewright.data.rows import Columns, UnfitError, as_text
from tunewright.data.targets.protocol import ByColumns, Settled, read_answers, too_few

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NO_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
LARGEST = 1e30
"""Squares and sums of numbers up to this are finite in double precision, and the number itself is in single."""

TOLERANCE = 0.05
"""Two numbers for one text contradict each other where they are further apart than this share of the target's standard
deviation over all rows; nearer ones both stay, as two readings of the same thing."""

_BINS = 20


@dataclass(frozen=True)
class Numbers(ByColumns):
    """A record's label is a JSON array of one number a target: `[3.5]`."""

    columns: Columns
    label_map: Mapping[str, str] = field(default_factory=dict)
    tolerance: float = TOLERANCE
    task: str = "regression"
    conflict: str = "number_conflict"

    def cell(self, value: Any, names: tuple[str, ...] | None) -> str | None:
        return as_text(value, "label")

    def answer(self, raw: str) -> str | None:
        cells = json.loads(raw) if isinstance(self.columns.label, tuple) else [raw]
        texts = [self.label_map.get(cell, cell).strip() if cell is not None else "" for cell in cells]
        empty = [repr(name) for name, text in zip(self.columns.labels, texts, strict=True) if not text]
        if len(empty) == len(texts):
            return None
        if empty:
            raise UnfitError("partial_label", f"no number in {listed(empty, 3)}")
        return canonical([number(text) for text in texts])

    def found_out(self, raws: Collection[str]) -> Numbers:
        return self

    def knows(self, answer: str, labels: Collection[str]) -> bool:
        return len(json.loads(answer)) == len(labels)

    def settle(self, drafts: list[Draft], journal: Journal) -> Settled:
        where = f"data, {self.columns.said()}"
        read = read_answers(drafts, self.answer, journal)
        journal.close("label", len(drafts), len(read.drafts))
        errors, warnings = read.problems(
            where, "no number", "write numbers such as 3.5 or 1e-3, with a point and without units, or map what stands "
            "for none to an empty text by `label_map`"
        )  # fmt: skip
        return Settled(self, read.drafts, errors, warnings)

    def conflicts(self, clusters: list[list[Draft]], drafts: Sequence[Draft]) -> list[list[Draft]]:
        """Clusters in which a target's numbers lie further apart than `tolerance` of its standard deviation."""
        if not clusters:
            return []
        apart = self.tolerance * values(drafts).std(axis=0)
        return [cluster for cluster in clusters if (np.ptp(values(cluster), axis=0) > apart).any()]

    def majority(self, cluster: Sequence[Draft]) -> str | None:
        """The median of each target, to twelve digits: that of 4.2 and 4.4 is 4.3."""
        return canonical([float(f"{x:.12g}") for x in np.median(values(cluster), axis=0)])

    def refuse(self, drafts: Sequence[Draft]) -> list[Problem]:
        errors, where = too_few(drafts), f"data, {self.columns.said()}"
        if drafts:
            found = values(drafts)
            errors += [
                Problem(where=where, found=f"{name!r} is {column[0]:g} in every row", allowed="numbers that differ",
                        to_do="check that this is the label column, or leave the target out")
                for name, column in zip(self.columns.labels, found.T, strict=True) if column.min() == column.max()
            ]  # fmt: skip
        return errors

    def measurable(
        self, splits: Mapping[str, list[Draft]], journal: Journal
    ) -> tuple[dict[str, list[Draft]], list[Problem]]:
        return dict(splits), []

    def doubts(self, splits: Mapping[str, Sequence[Draft]]) -> list[Problem]:
        """Targets that do not vary within a split, and those that take two values and may be classes."""
        where, out = f"data, {self.columns.said()}", []
        for i, name in enumerate(self.columns.labels):
            parts = {part: values(rows)[:, i] for part, rows in splits.items() if rows}
            distinct = np.unique(np.concatenate(list(parts.values())))
            if len(distinct) == 2:
                out.append(Problem(where=where, found=f"{name!r} takes two values, {distinct[0]:g} and {distinct[1]:g}",
                                   to_do="task: classification may be meant"))  # fmt: skip
            out += [
                Problem(where=where, found=f"{name!r} is {column[0]:g} in every row of {part}",
                        to_do="no correlation can be computed there: bring more rows")
                for part, column in parts.items() if column.min() == column.max()
            ]  # fmt: skip
        return out

    def names(self, splits: Mapping[str, Sequence[Draft]]) -> tuple[str, ...]:
        return self.columns.labels

    def card(self, splits: Mapping[str, Sequence[Record]], names: Sequence[str]) -> dict[str, Any]:
        """Mean, standard deviation (of the rows as they are: divided by N), range and histogram of each target."""
        found = values([record for rows in splits.values() for record in rows])
        targets = [described(name, column) for name, column in zip(names, found.T, strict=False)]
        return {"task": self.task, "classes": [], "targets": targets}


def number(text: str) -> float:
    """A number as people write it in a table: 3, -3.5, .5, 1e-3.

    Raises:
        UnfitError: anything else; NaN, infinity, or a number too large to compute with.
    """
    if not NUMBER.fullmatch(text):
        if _NO_FINITE.fullmatch(text):
            raise UnfitError("not_a_number", f"{text!r} is not finite")
        raise UnfitError("bad_number", f"{text[:80]!r} is no number")
    value = float(text)
    if not math.isfinite(value) or abs(value) > LARGEST:
        raise UnfitError("bad_number", f"{text[:80]!r} is too large: at most {LARGEST:g}")
    return value + 0.0  # without the sign of a zero


def canonical(numbers: Sequence[float]) -> str:
    """`[3.5,1.0]`: every digit that tells the numbers from others."""
    return json.dumps(numbers, separators=(",", ":"), allow_nan=False)


def values(rows: Sequence[Draft] | Sequence[Record]) -> NDArray[np.float64]:
    """(N, K) the numbers of labelled rows."""
    return np.array([json.loads(row.label or "[]") for row in rows], np.float64).reshape(len(rows), -1)


def described(name: str, column: NDArray[np.float64]) -> dict[str, Any]:
    """A target for the data card."""
    edges = _edges(column)
    return {
        "name": name,
        "mean": float(column.mean()),
        "sd": float(column.std()),
        "low": float(column.min()),
        "median": float(np.median(column)),
        "high": float(column.max()),
        "histogram": {
            "edges": [float(edge) for edge in edges],
            "counts": [int(count) for count in np.histogram(column, edges)[0]],
        },
    }


def _edges(column: NDArray[np.float64]) -> NDArray[np.float64]:
    """Twenty bins of equal width, or one for each whole number where there are only a few."""
    low, high = float(column.min()), float(column.max())
    if high - low < _BINS and (column == np.round(column)).all():
        edges = np.arange(low - 0.5, high + 1)
    else:
        edges = np.linspace(low, high, _BINS + 1)
    good = len(edges) > 1 and bool((np.diff(edges) > 0).all())
    return edges if good else np.array([low, max(high, math.nextafter(low, math.inf))])
