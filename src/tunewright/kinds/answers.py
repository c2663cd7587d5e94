"""What a tuned model says of one text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol


class Answer(Protocol):
    """A prediction, as plain values and as the cells of a table."""

    def as_json(self) -> dict[str, Any]: ...
    def cells(self) -> list[str]: ...


@dataclass(frozen=True)
class Prediction:
    """What the model says of one text: the label, its probability, and every label's probability."""

    label: str
    probability: float
    scores: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """The prediction as plain values."""
        return {"label": self.label, "probability": self.probability, "scores": self.scores}

    def cells(self) -> list[str]:
        """The prediction as the cells of a table, as the kind's `columns` names them."""
        return [self.label, f"{self.probability:.6f}", *(f"{x:.6f}" for x in self.scores.values())]


@dataclass(frozen=True)
class LabelsPrediction:
    """What a multi-label model says of one text: the labels it has, and every label's own probability."""

    labels: tuple[str, ...]
    scores: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """The prediction as plain values."""
        return {"labels": list(self.labels), "scores": self.scores}

    def cells(self) -> list[str]:
        """As `Prediction.cells`; the labels as a JSON list."""
        return [json.dumps(self.labels, ensure_ascii=False), *(f"{x:.6f}" for x in self.scores.values())]


@dataclass(frozen=True)
class NumbersPrediction:
    """What a regression says of one text: a number for each target, in the target's own unit."""

    values: dict[str, float]

    @property
    def value(self) -> float:
        """The first target's number."""
        return next(iter(self.values.values()))

    def as_json(self) -> dict[str, Any]:
        """The prediction as plain values."""
        return {"values": self.values}

    def cells(self) -> list[str]:
        """As `Prediction.cells`."""
        return [f"{x:.6g}" for x in self.values.values()]


@dataclass(frozen=True)
class EntitiesPrediction:
    """What the model finds in one text: the spans that are entities, with their types."""

    text: str
    spans: tuple[tuple[int, int, str], ...]

    def as_json(self) -> dict[str, Any]:
        """The prediction as plain values; offsets count code points, the end exclusive."""
        return {"entities": [{"start": s, "end": e, "type": t, "text": self.text[s:e]} for s, e, t in self.spans]}

    def cells(self) -> list[str]:
        """As `Prediction.cells`; all entities as a JSON list."""
        return [json.dumps(self.as_json()["entities"], ensure_ascii=False)]
