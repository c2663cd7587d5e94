"""The baselines of each task, by the same three names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from tunewright.core.records import Record
from tunewright.evaluation import baselines, entity_baselines, multilabel_baselines, regression_baselines
from tunewright.evaluation.predictions import Contender


class Ladder(Protocol):
    """What a task's module of baselines offers: the trivial answer, counted words, and the frozen base model."""

    def majority(
        self,
        train: Sequence[Record],
        items: Sequence[Record],
        *,
        validation: Sequence[Record] | None = None,
        labels: Sequence[str] | None = None,
        split: str = "test",
    ) -> Contender:
        """The best answer that does not look at an item."""

    def tfidf(
        self,
        train: Sequence[Record],
        items: Sequence[Record],
        seed: int = 0,
        *,
        validation: Sequence[Record] | None = None,
        labels: Sequence[str] | None = None,
        split: str = "test",
    ) -> Contender:
        """A linear model of the words and characters."""

    def linear(
        self,
        train_features: Any,
        train: Sequence[Record],
        features: Any,
        items: Sequence[Record],
        seed: int = 0,
        *,
        validation_features: Any = None,
        validation: Sequence[Record] | None = None,
        labels: Sequence[str] | None = None,
        split: str = "test",
        seconds: float = 0.0,
    ) -> Contender:
        """A linear model of what the base model, left as it is, says of an item."""


LADDERS: dict[str, Ladder] = {
    "classification": baselines,
    "multilabel": multilabel_baselines,
    "regression": regression_baselines,
    "token_classification": entity_baselines,
}
