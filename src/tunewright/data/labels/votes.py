"""What annotators said of items, as arrays: the one value that agreement and arbitration read.

Axes: V votes, N items, J annotators, C labels. Items, annotators and labels stand in an order of their own, never that of the
file: whatever is drawn at random from them is the same in any order of rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import DataError, Problem, closest, listed

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Level = Literal["nominal", "ordinal", "interval"]
LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval")


class Vote(NamedTuple):
    """One annotator's word on one item; `time` as it stood in the file."""

    item: str
    by: str
    label: str
    time: str | None = None


@dataclass(frozen=True)
class Votes:
    """item, who, label (V,): places in `items`, `by` and `labels`. At most one vote an item and annotator.

    texts: what the items say, where that is known. times: (V,) seconds, NaN where unknown; empty where none are.
    replaced: earlier votes of an annotator on an item that a later one has taken the place of.
    """

    items: tuple[str, ...]
    by: tuple[str, ...]
    labels: tuple[str, ...]
    item: Ints
    who: Ints
    label: Ints
    level: Level = "nominal"
    texts: Mapping[str, str] = field(default_factory=dict)
    times: tuple[str | None, ...] = ()
    replaced: int = 0

    def __len__(self) -> int:
        return len(self.item)

    @property
    def values(self) -> Floats:
        """(C,) the labels as numbers: their own on an interval scale, else their ranks."""
        if self.level == "interval":
            return np.array([float(name) for name in self.labels])
        return np.arange(len(self.labels), dtype=np.float64)

    def counts(self) -> Floats:
        """(N, C) how many annotators gave each item each label."""
        n, c = len(self.items), len(self.labels)
        return np.bincount(self.item * c + self.label, minlength=n * c).reshape(n, c).astype(np.float64)

    def per_item(self) -> Ints:
        """(N,) votes an item."""
        return np.bincount(self.item, minlength=len(self.items))

    def per_annotator(self) -> Ints:
        """(J,) votes an annotator."""
        return np.bincount(self.who, minlength=len(self.by))


def gathered(
    votes: Iterable[Vote],
    *,
    level: Level = "nominal",
    order: Sequence[str] = (),
    texts: Mapping[str, str] | None = None,
    where: str = "labels",
) -> Votes:
    """The votes as arrays. Of two votes of one annotator on one item the later one in time counts, else that read last.

    Args:
        level: of the labels.
        order: the labels from lowest to highest, for an ordinal scale whose labels are no numbers.
        where: what a problem is said of.

    Raises:
        DataError: no vote; an interval scale whose labels are no numbers; an ordinal one whose order cannot be known.
    """
    latest: dict[tuple[str, str], Vote] = {}
    read = 0
    for vote in votes:
        read += 1
        place = (vote.item, vote.by)
        before = latest.get(place)
        if before is None or not _earlier(vote.time, before.time):
            latest[place] = vote
    if not latest:
        raise DataError(Problem(where=where, found="no votes", allowed="rows with an item, an annotator and a label"))
    chosen = [latest[place] for place in sorted(latest)]
    labels = _ordered({vote.label for vote in chosen}, level, order, where)
    items, by = sorted({vote.item for vote in chosen}), sorted({vote.by for vote in chosen})
    places = [{name: i for i, name in enumerate(names)} for names in (items, by, labels)]
    return Votes(
        tuple(items), tuple(by), tuple(labels),
        np.array([places[0][v.item] for v in chosen], np.int64),
        np.array([places[1][v.by] for v in chosen], np.int64),
        np.array([places[2][v.label] for v in chosen], np.int64),
        level, texts or {}, tuple(v.time for v in chosen) if any(v.time for v in chosen) else (), read - len(chosen),
    )  # fmt: skip


def _earlier(time: str | None, other: str | None) -> bool:
    """Whether one time is before the other, where both are known."""
    if time is None or other is None:
        return False
    a, b = number(time), number(other)
    return time < other if a is None or b is None else a < b


def number(text: str) -> float | None:
    """A finite number, None where the text is none."""
    if not re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", text, re.ASCII):
        return None
    found = float(text)
    return found if math.isfinite(found) else None


def _ordered(labels: set[str], level: Level, order: Sequence[str], where: str) -> list[str]:
    """The labels in the order of the scale; by name on a nominal one."""
    unnamed = sorted(labels - set(order))
    if order:
        if unnamed:
            raise DataError(
                *(Problem(where=f"{where}, order", found=f"label {name!r} has no place", allowed=listed(order),
                          to_do=closest(name, order) or "name every label, from lowest to highest") for name in unnamed[:5])
            )  # fmt: skip
        return list(dict.fromkeys(order))
    numbers = {name: number(name) for name in labels}
    words = sorted(name for name, value in numbers.items() if value is None)
    if level == "nominal" or (level == "ordinal" and len(labels) == 1):
        return sorted(labels) if words else sorted(labels, key=lambda name: (float(name), name))
    if words:
        raise DataError(
            Problem(where=where, found=f"{len(words)} labels are no numbers: {listed([repr(w) for w in words], 5)}",
                    allowed="numbers" if level == "interval" else "numbers, or labels whose order is said",
                    to_do="choose --level nominal" + (", or say --order lowest,...,highest" if level == "ordinal" else ""))
        )  # fmt: skip
    return _merged_numbers(labels, where)


def _merged_numbers(labels: set[str], where: str) -> list[str]:
    """Numbers from low to high.

    Raises:
        DataError: one number stands there in two spellings.
    """
    spelt: dict[float, list[str]] = {}
    for name in sorted(labels):
        spelt.setdefault(float(name), []).append(name)
    twice = [names for _, names in sorted(spelt.items()) if len(names) > 1]
    if twice:
        raise DataError(
            *(Problem(where=where, found=f"one number in several spellings: {listed([repr(n) for n in names])}",
                      allowed="one spelling for each", to_do="write it alike everywhere") for names in twice[:5])
        )  # fmt: skip
    return [names[0] for _, names in sorted(spelt.items())]
