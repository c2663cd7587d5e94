"""The baselines of each task.

`LADDERS` holds the tasks with a list of labels, whose baselines go by the same three names; `RUNGS` the others, each with
names of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from tunewright.core.records import Record
from tunewright.evaluation import (
    baselines,
    entity_baselines,
    likelihood_baselines,
    multilabel_baselines,
    preference_baselines,
    regression_baselines,
    text_baselines,
)
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


class Rung(Protocol):
    """A baseline that needs nothing but rows."""

    def __call__(
        self,
        train: Sequence[Record],
        items: Sequence[Record],
        seed: int = 0,
        *,
        validation: Sequence[Record] | None = None,
        split: str = "test",
    ) -> Contender:
        """The baseline, learnt from `train`, with its predictions of `items`; its strength is chosen on `validation`."""


def _plain(fit: Callable[..., Contender], *given: str) -> Rung:
    """A baseline that has no strength to choose and throws no dice."""

    def rung(
        train: Sequence[Record],
        items: Sequence[Record],
        seed: int = 0,
        *,
        validation: Sequence[Record] | None = None,
        split: str = "test",
    ) -> Contender:
        return fit(*given, train, items, split)

    return rung


RUNGS: Mapping[str, Mapping[str, Rung]] = {
    "language_modeling": {
        "unigram": _plain(likelihood_baselines.unigram),
        "words": _plain(likelihood_baselines.words),
    },
    **{
        task: {name: _plain(getattr(text_baselines, name), task) for name in ("majority", "copy", "lead")}
        for task in ("chat", "seq2seq")
    },
    **{
        task: {"length": _plain(preference_baselines.length, task), "tfidf": partial(preference_baselines.tfidf, task)}
        for task in ("preference", "reward")
    },
}
