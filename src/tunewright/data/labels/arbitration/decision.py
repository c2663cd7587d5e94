"""What arbitration hands back: a decision an item, and what it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunewright.data.labels.intervals import Figure


@dataclass(frozen=True, slots=True)
class Decision:
    """One item. `label` is None where there is a tie; `soft` is the probability of each label that has any.

    how: the method, or "gold". queue: why people shall decide it ("tie", "unsure", "spread"), empty where they need not.
    spread: standard deviation of the votes on a scale with an order.
    """

    item: str
    label: str | None
    probability: float | None
    soft: tuple[tuple[str, float], ...]
    votes: tuple[tuple[str, int], ...]
    how: str
    queue: str = ""
    spread: float | None = None
    opinion: tuple[tuple[str, float], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The decision as plain values, without empty fields."""
        row: dict[str, Any] = {"item": self.item, "label": self.label, "probability": self.probability,
                               "soft": dict(self.soft), "votes": dict(self.votes), "how": self.how}  # fmt: skip
        if self.queue:
            row["queue"] = self.queue
        if self.spread is not None:
            row["spread"] = self.spread
        if self.opinion:
            row["opinion"] = dict(self.opinion)
        return row


@dataclass(frozen=True)
class Reliability:
    """One annotator in the model: how often right, by which answers, and the spammer score (0: does not look)."""

    name: str
    answers: int
    accuracy: float
    score: float
    confusion: tuple[tuple[float, ...], ...]

    def as_json(self) -> dict[str, Any]:
        """The annotator as plain values."""
        return {"annotator": self.name, "answers": self.answers, "accuracy": self.accuracy, "spammer_score": self.score,
                "confusion": [list(row) for row in self.confusion]}  # fmt: skip


@dataclass(frozen=True)
class Arbitrated:
    """All items, in their own order. converged and iterations are those of a model that was fitted; None of the others.

    agrees: how often the decision is what most say, of the items where that is one label.
    """

    method: str
    labels: tuple[str, ...]
    decisions: tuple[Decision, ...]
    annotators: tuple[Reliability, ...] = ()
    prior: Mapping[str, float] = field(default_factory=dict)
    iterations: int | None = None
    converged: bool | None = None
    notes: tuple[str, ...] = ()

    @property
    def queued(self) -> tuple[Decision, ...]:
        return tuple(d for d in self.decisions if d.queue)

    @property
    def ties(self) -> int:
        return sum(d.queue == "tie" for d in self.decisions)

    def as_json(self) -> dict[str, Any]:
        """The sums as plain values; the decisions go to a file of their own."""
        return {
            "method": self.method, "items": len(self.decisions), "labels": list(self.labels), "ties": self.ties,
            "queued": len(self.queued), "iterations": self.iterations, "converged": self.converged,
            "prior": dict(self.prior), "annotators": [a.as_json() for a in self.annotators], "notes": list(self.notes),
        }  # fmt: skip


@dataclass(frozen=True)
class Held:
    """A method against known truth, beside the majority: shares right with their intervals, and the exact sign test's p.

    A tie counts as wrong.
    """

    items: int
    right: Figure
    majority: Figure
    gained: int
    lost: int
    p: float

    def as_json(self) -> dict[str, Any]:
        """The comparison as plain values."""
        return {"items": self.items, "right": self.right.as_json(), "majority": self.majority.as_json(),
                "gained": self.gained, "lost": self.lost, "p": self.p}  # fmt: skip
