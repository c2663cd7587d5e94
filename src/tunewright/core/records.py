"""Rows and what happened to them. Knows neither tensors nor files."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import DataError, Problem


class Source(NamedTuple):
    """Where a row came from: file, 1-based line, byte offset and byte length.

    A tuple, as one is made for every row that is read: a frozen dataclass takes five times as long.
    """

    file: str
    line: int
    offset: int = 0
    length: int = 0


@dataclass(frozen=True, slots=True)
class Annotation:
    """What one annotator said of a row; `time` as it stood in the file."""

    by: str
    label: str
    time: str | None = None

    def as_json(self) -> dict[str, str]:
        """The annotation as plain values, without an empty time."""
        row = {"by": self.by, "label": self.label}
        return row if self.time is None else {**row, "time": self.time}


@dataclass(frozen=True, slots=True)
class Record:
    """One row as the user gave it.

    `id` is a hash of the canonical content, so that the same text has the same id in every file and
    order; a repeated content gets `-2`, `-3`, ... in reading order.

    `soft` is what is believed of the label: (label, probability) of every label that may be right, where it is not sure;
    `weight` its factor in the loss. `cluster` is the id of the group of near copies that it is in, `group` and `time` the
    cells by which splits are made. `difficulty` are measures by name, for curricula.
    """

    id: str
    text: str
    label: str | None
    source: Source
    pair: str | None = None
    split: str | None = None
    flags: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    soft: tuple[tuple[str, float], ...] = ()
    weight: float = 1.0
    cluster: str | None = None
    group: str | None = None
    time: str | None = None
    difficulty: tuple[tuple[str, float], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The record as plain values, without empty fields."""
        row: dict[str, Any] = {"id": self.id, "text": self.text, "label": self.label}
        if self.pair is not None:
            row["pair"] = self.pair
        if self.split is not None:
            row["split"] = self.split
        if self.flags:
            row["flags"] = list(self.flags)
        if self.parents:
            row["parents"] = list(self.parents)
        if self.annotations:
            row["annotations"] = [one.as_json() for one in self.annotations]
        for name, pairs in (("soft", self.soft), ("difficulty", self.difficulty)):
            if pairs:
                row[name] = dict(pairs)
        if self.weight != 1.0:
            row["weight"] = self.weight
        for name in ("cluster", "group", "time"):
            value = getattr(self, name)
            if value is not None:
                row[name] = value
        row["source"] = {
            "file": self.source.file, "line": self.source.line, "offset": self.source.offset, "length": self.source.length,
        }  # fmt: skip
        return row


def content_id(*parts: str | None) -> str:
    """Sixteen hexadecimal digits that depend on the given content alone (BLAKE2b, 64 bits)."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        encoded = b"\xff" if part is None else part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Event:
    """What a stage did to one row: `outcome` is changed, dropped, duplicate, leaked or quarantined."""

    stage: str
    outcome: str
    reason: str
    source: Source
    record: str | None = None
    detail: str = ""


LOST = frozenset({"dropped", "duplicate", "leaked"})
OUTCOMES = LOST | {"changed", "quarantined"}


@dataclass(frozen=True)
class Stage:
    """One line of the ledger's sums: `entered + added = left + dropped + quarantined`."""

    name: str
    entered: int
    added: int
    left: int
    dropped: int
    quarantined: int
    changed: int
    reasons: Mapping[str, int]

    @property
    def balances(self) -> bool:
        return self.entered + self.added == self.left + self.dropped + self.quarantined


@dataclass
class Ledger:
    """What happened to every row. `close` refuses a stage whose sums do not balance."""

    stages: list[Stage] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def close(self, name: str, *, entered: int, left: int, events: Sequence[Event] = (), added: int = 0) -> Stage:
        """Enter a finished stage.

        Raises:
            DataError: rows were lost or made without a reason; this is a bug and must stop the run.
        """
        unknown = {event.outcome for event in events} - OUTCOMES
        if unknown:
            raise ValueError(f"unknown outcomes {sorted(unknown)}")
        stage = Stage(
            name=name,
            entered=entered,
            added=added,
            left=left,
            dropped=sum(event.outcome in LOST for event in events),
            quarantined=sum(event.outcome == "quarantined" for event in events),
            changed=sum(event.outcome == "changed" for event in events),
            reasons=dict(Counter(event.reason for event in events)),
        )
        if not stage.balances:
            raise DataError(
                Problem(
                    where=f"ledger, stage {name!r}",
                    found=f"{entered} rows in + {added} added, but {left} out + {stage.dropped} dropped "
                    f"+ {stage.quarantined} quarantined",
                    allowed="every row that enters leaves, or is entered with a reason",
                    to_do="this is a defect of the stage: please report it with the file that shows it",
                )
            )
        self.stages.append(stage)
        self.events.extend(events)
        return stage

    def as_json(self) -> dict[str, Any]:
        """The sums of every stage as plain values; the rows themselves are in `events`."""
        return {
            "stages": [
                {
                    "name": s.name,
                    "in": s.entered,
                    "added": s.added,
                    "out": s.left,
                    "dropped": s.dropped,
                    "quarantined": s.quarantined,
                    "changed": s.changed,
                    "reasons": dict(s.reasons),
                    "balances": s.balances,
                }
                for s in self.stages
            ]
        }


@dataclass(frozen=True)
class Predictions:
    """What one contender said about every item of one split.

    `gold (N,)` and `output (N,)` are indices into `labels`; `gold` is -1 where an item has no label.
    `scores (N, C)` are probabilities whose rows sum to one. `seconds (N,)` is the time spent an item.
    """

    contender: str
    split: str
    labels: tuple[str, ...]
    ids: tuple[str, ...]
    gold: NDArray[np.int64]
    output: NDArray[np.int64]
    scores: NDArray[np.float64]
    seconds: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __post_init__(self) -> None:
        n, c = len(self.ids), len(self.labels)
        if self.gold.shape != (n,) or self.output.shape != (n,) or self.scores.shape != (n, c):
            raise ValueError(
                f"predictions of {self.contender!r}: {n} ids and {c} labels, but gold {self.gold.shape}, "
                f"output {self.output.shape}, scores {self.scores.shape}"
            )
        if self.seconds is not None and self.seconds.shape != (n,):
            raise ValueError(f"predictions of {self.contender!r}: {n} ids, but seconds {self.seconds.shape}")

    def known(self) -> NDArray[np.bool_]:
        """(N,) whether an item has a label."""
        return self.gold >= 0

    def taken(self, rows: NDArray[np.int64]) -> Predictions:
        """The items at these places, in this order."""
        return replace(
            self,
            ids=tuple(self.ids[i] for i in rows),
            gold=self.gold[rows],
            output=self.output[rows],
            scores=self.scores[rows],
            seconds=None if self.seconds is None else self.seconds[rows],
        )

    def supervised(self) -> Predictions:
        """The items that have a label."""
        keep = self.known()
        return self if keep.all() else self.taken(np.flatnonzero(keep))

    def gold_of(self, row: int) -> object:
        """One item's label; None where it has none."""
        return None if self.gold[row] < 0 else self.labels[self.gold[row]]
