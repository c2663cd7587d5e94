"""Tasks whose answer is made of one score for each class, label or target of a text."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from tunewright.core.outcomes import Judged
from tunewright.core.records import Record
from tunewright.core.tensors import Facts
from tunewright.encoding import Example, encode
from tunewright.evaluation import Contender
from tunewright.evaluation.ladders import LADDERS
from tunewright.kinds.answers import Answer, LabelsPrediction, NumbersPrediction, Prediction
from tunewright.kinds.base import Base
from tunewright.kinds.protocol import Encoded, Splits
from tunewright.models.forward import ModelForward
from tunewright.models.heads import start_from
from tunewright.models.loading import Found, Loaded, load, tokenizing
from tunewright.models.precision import chosen, chosen_device
from tunewright.models.saving import Saved
from tunewright.models.scoring import features, score
from tunewright.recipe import Recipe
from tunewright.tasks import TASKS, Bound, Task, labels_of


class Scores(Base):
    """Classification, several labels, numbers."""

    def __init__(self, loaded: Loaded, bound: Bound, limit: int) -> None:
        self.loaded, self.bound, self.limit = loaded, bound, limit

    @classmethod
    def begin(cls, recipe: Recipe, found: Found, splits: Splits) -> Self:
        given = [r.label for r in splits["train"] if r.label is not None]
        task = TASKS[recipe.task]
        assert task.problem is not None
        labels = labels_of(task.name, recipe.data.label, given)
        loaded = load(found, labels, recipe.seed, task.problem, recipe.model.weights, recipe.stores)
        bound = Bound.of(task.name, loaded.labels, given)
        if loaded.head == "new":
            biases = bound.biases([t for t in map(bound.target, given) if t is not None])
            if biases is not None:
                start_from(loaded.model, biases)
        return cls(loaded, bound, cls.limit_for(recipe, loaded))

    @classmethod
    def reopen(cls, saved: Saved, recipe: Recipe | None = None) -> Self:
        return cls(saved, Bound.from_card(saved.card), cls.limit_of(saved))

    @property
    def task(self) -> Task:
        return self.bound.task

    @property
    def scale(self) -> tuple[Sequence[float], Sequence[float]] | None:
        return self.bound.scale

    def encode(self, records: Sequence[Record], learn: bool = True) -> Encoded:
        bound = self.bound
        examples = encode(records, tokenizing(self.loaded.tokenizer), bound.target, self.limit, bound.soft)
        return Encoded(list(records), examples, cut=sum(e.full > self.limit for e in examples))

    def facts(self, examples: Sequence[Example]) -> Facts:
        return self.bound.facts([e.target for e in examples if e.target is not None])

    def groups(self, examples: Sequence[Example]) -> list[str | None] | None:
        return self.bound.groups([e.target for e in examples if e.target is not None])

    def settle(self, forward: ModelForward, encoded: Encoded) -> None:
        if encoded.examples and self.task.fits == "labels":
            answers, _ = score(forward, encoded.examples, activation=self.task.activation)
            self.bound = self.bound.settled(encoded.examples, answers)

    def validated(self, forward: ModelForward, encoded: Encoded) -> Judged:
        answers, seconds = score(forward, encoded.examples, activation=self.task.activation)
        bound = self.bound.settled(encoded.examples, answers)
        return bound.judged("tuned", "validation", encoded.examples, answers, seconds)

    def judged(self, forward: ModelForward, encoded: Encoded, contender: str, split: str) -> Judged:
        answers, seconds = score(forward, encoded.examples, activation=self.task.activation)
        return self.bound.judged(contender, split, encoded.examples, answers, seconds)

    def baseline(
        self, name: str, recipe: Recipe, splits: Splits, encoded: Callable[[], Mapping[str, Encoded]]
    ) -> Contender:
        train, held, test = splits["train"], splits["validation"] or None, splits["test"]
        ladder = LADDERS[self.task.name]
        if name == "majority":
            return ladder.majority(train, test, validation=held, labels=self.bound.labels)
        if name == "tfidf":
            return ladder.tfidf(train, test, recipe.seed, validation=held, labels=self.bound.labels)
        return self._linear(recipe, splits, {name: part.examples for name, part in encoded().items()})

    def _linear(self, recipe: Recipe, splits: Splits, examples: Mapping[str, Sequence[Example]]) -> Contender:
        self.loaded.model.to(chosen_device(recipe.model.device))
        forward = ModelForward(self.loaded.model, precision=chosen(recipe.model.precision, recipe.model.device))
        found = {name: features(forward, part) for name, part in examples.items() if name != "test"}
        began = time.perf_counter()
        found["test"] = features(forward, examples["test"])
        spent = (time.perf_counter() - began) / max(len(examples["test"]), 1)
        forward.release()
        held = splits["validation"]
        return LADDERS[self.task.name].linear(
            found["train"], splits["train"], found["test"], splits["test"], recipe.seed,
            validation_features=found["validation"] if held else None, validation=held or None,
            labels=self.bound.labels, seconds=spent,
        )  # fmt: skip

    def card(self) -> dict[str, Any]:
        return self.bound.card()

    @property
    def columns(self) -> list[str]:
        kind = self.task.fits
        if kind == "numbers":
            return list(self.bound.labels)
        first = ["label", "probability"] if kind == "classes" else ["labels"]
        return [*first, *(f"p_{label}" for label in self.bound.labels)]

    def answers(self, forward: ModelForward, records: Sequence[Record]) -> list[Answer]:
        scores, _ = score(forward, self.encode(records).examples, activation=self.task.activation)
        return [self._one(row) for row in scores]

    def _one(self, row: Any) -> Answer:
        named = {n: float(x) for n, x in zip(self.bound.labels, row, strict=True)}
        if self.task.fits == "numbers":
            return NumbersPrediction(named)
        if self.task.fits == "labels":
            has = self.bound.has(row)
            return LabelsPrediction(tuple(n for n, yes in zip(self.bound.labels, has, strict=True) if yes), named)
        best = int(row.argmax())
        return Prediction(self.bound.labels[best], float(row[best]), named)
