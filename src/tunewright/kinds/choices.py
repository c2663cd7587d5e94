"""Preferences: which of two replies is better, or whether one is good; learnt by a policy, or by a reward model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from tunewright.core.files import read_lines, write_lines
from tunewright.core.outcomes import Floats, Judged, Margins
from tunewright.core.records import Record
from tunewright.core.tensors import Facts
from tunewright.encoding import Example, Refused, weighted
from tunewright.encoding.chat import TooLong
from tunewright.encoding.preferences import preferences
from tunewright.evaluation import Contender
from tunewright.evaluation.ladders import RUNGS
from tunewright.kinds.answers import Answer
from tunewright.kinds.base import Base, decoder, without
from tunewright.kinds.protocol import Encoded, Splits
from tunewright.kinds.replies import CONVERSATION, Chat
from tunewright.kinds.untuned import NAME, standing, untuned
from tunewright.kinds.writing import Writing
from tunewright.models.forward import ModelForward
from tunewright.models.loading import Found, Loaded, load
from tunewright.models.saving import Saved
from tunewright.models.scoring import likelihoods, rewards
from tunewright.models.templates import template_of
from tunewright.recipe import Recipe
from tunewright.tasks import TASKS, Task

REFERENCE = "reference"
"""What the base model gives the reply: log p, in nats. An objective finds it in `Batch.given`."""


class Choices(Base):
    """What a policy and a reward model share."""

    task: Task
    default_limit = CONVERSATION
    writes = True

    def __init__(self, loaded: Loaded, limit: int, too_long: TooLong) -> None:
        self.loaded, self.limit, self.too_long = loaded, limit, too_long
        self.template = template_of(loaded.tokenizer)

    def encode(self, records: Sequence[Record], learn: bool = True) -> Encoded:
        examples, refused = preferences(
            records, self.template, limit=self.limit, too_long=self.too_long, written=self.writes
        )
        return Encoded(without(records, refused), weighted(examples, records), refused)

    def notes(self) -> tuple[str, ...]:
        return self.template.remarks()

    def facts(self, examples: Sequence[Example]) -> Facts:
        return Facts((), ())

    def _margins(self, encoded: Encoded, contender: str, split: str, scores: Floats, seconds: Floats) -> Margins:
        """Margins of the scores (N, 2) of both sides; a single reply stands on the side of its thumb."""
        chosen, rejected = scores[:, 0].copy(), scores[:, 1].copy()
        for i, example in enumerate(encoded.examples):
            if example.other is None:
                good = example.given.get("good", 1.0) > 0
                chosen[i], rejected[i] = (scores[i, 0], np.nan) if good else (np.nan, scores[i, 0])
        ids = tuple(r.id for r in encoded.records)
        return Margins(contender, split, (), ids, chosen, rejected, seconds, task=self.task.name)

    def baseline(
        self, name: str, recipe: Recipe, splits: Splits, encoded: Callable[[], Mapping[str, Encoded]]
    ) -> Contender:
        if name == "untuned":
            return untuned(self, recipe, encoded()["test"])
        held = splits["validation"] or None
        return RUNGS[self.task.name][name](splits["train"], splits["test"], recipe.seed, validation=held)

    def card(self) -> dict[str, Any]:
        return {"task": self.task.name, "too_long": self.too_long, "template": self.template.card()}


class Preferences(Choices):
    """A language model that learns to prefer: its reward of a reply is how much likelier it is than under the base model.

    The base model's log-probabilities are computed once and kept in the run folder.
    """

    task = TASKS["preference"]
    columns = Chat.columns

    def __init__(self, loaded: Loaded, limit: int, too_long: TooLong, writing: Writing) -> None:
        super().__init__(loaded, limit, too_long)
        self.writing = writing

    @classmethod
    def begin(cls, recipe: Recipe, found: Found, splits: Splits) -> Self:
        decoder(found, "choose another model")
        loaded = load(found, (), recipe.seed, "causal_lm", recipe.model.weights, recipe.stores)
        return cls(loaded, cls.limit_for(recipe, loaded), recipe.data.too_long, Writing.of(None))

    @classmethod
    def reopen(cls, saved: Saved, recipe: Recipe | None = None) -> Self:
        kind = cls(saved, cls.limit_of(saved), saved.card.get("too_long", "drop"), Writing.from_card(saved.card))
        kind.template.agree(saved.card["template"], saved.found.name)
        return kind

    def ready(self, splits: Mapping[str, Encoded], recipe: Recipe, kept: Path, key: str) -> dict[str, Encoded]:
        known = {row["id"]: row for row in read_lines(kept / "reference.jsonl") if row.get("key") == key}
        lacking = [e for part in splits.values() for e in part.examples if e.id not in known]
        if lacking:
            with standing(self.loaded, recipe) as forward:
                costs, _, _ = likelihoods(forward, lacking)
            for example, cost in zip(lacking, costs.tolist(), strict=True):
                known[example.id] = {"id": example.id, "key": key, "nll": cost}
            write_lines(kept / "reference.jsonl", known.values())

        def given(example: Example, side: int = 0) -> Example:
            other = None if example.other is None else given(replace(example.other, id=example.id), 1)
            score = -float(known[example.id]["nll"][side])
            return replace(example, other=other, given={**example.given, REFERENCE: score})

        return {name: replace(part, examples=[given(e) for e in part.examples]) for name, part in splits.items()}

    def judged(self, forward: ModelForward, encoded: Encoded, contender: str, split: str) -> Judged:
        costs, _, seconds = likelihoods(forward, encoded.examples)
        base = np.zeros_like(costs)
        if contender != NAME:
            for i, example in enumerate(encoded.examples):
                base[i, 0] = example.given.get(REFERENCE, 0.0)
                base[i, 1] = 0.0 if example.other is None else example.other.given.get(REFERENCE, 0.0)
        return self._margins(encoded, contender, split, -costs - base, seconds)

    def card(self) -> dict[str, Any]:
        return {**super().card(), "problem": "causal_lm", **self.writing.card()}

    def answers(self, forward: ModelForward, records: Sequence[Record]) -> list[Answer]:
        chat = Chat(self.loaded, self.limit, self.writing)
        chat.between = self.between
        return chat.answers(forward, records)


@dataclass(frozen=True)
class RewardPrediction:
    """How good a reward model finds a text."""

    reward: float

    def as_json(self) -> dict[str, Any]:
        """The prediction as plain values."""
        return {"reward": self.reward}

    def cells(self) -> list[str]:
        """As the kind's `columns` names them."""
        return [f"{self.reward:.6g}"]


class Rewards(Choices):
    """A model with one score a conversation, the higher the better."""

    task = TASKS["reward"]
    columns = ("reward",)
    writes = False

    @classmethod
    def begin(cls, recipe: Recipe, found: Found, splits: Splits) -> Self:
        loaded = load(found, ("reward",), recipe.seed, "reward", recipe.model.weights, recipe.stores)
        return cls(loaded, cls.limit_for(recipe, loaded), recipe.data.too_long)

    @classmethod
    def reopen(cls, saved: Saved, recipe: Recipe | None = None) -> Self:
        kind = cls(saved, cls.limit_of(saved), saved.card.get("too_long", "drop"))
        kind.template.agree(saved.card["template"], saved.found.name)
        return kind

    def encode(self, records: Sequence[Record], learn: bool = True) -> Encoded:
        found = super().encode(records, learn)
        examples, alone = list[Example](), list[Refused]()
        for example in found.examples:
            if example.other is None and "good" in example.given:
                alone.append(Refused(example.id, "no_pair", "a reward model learns from pairs, and this is one reply"))
                continue
            other = None if example.other is None else replace(example.other, unit="pair", target=0)
            examples.append(replace(example, unit="pair", target=0, other=other))
        return Encoded(without(found.records, alone), examples, [*found.left, *alone])

    def judged(self, forward: ModelForward, encoded: Encoded, contender: str, split: str) -> Judged:
        scores, seconds = rewards(forward, encoded.examples)
        return self._margins(encoded, contender, split, scores, seconds)

    def card(self) -> dict[str, Any]:
        return {**super().card(), "problem": "reward"}

    def answers(self, forward: ModelForward, records: Sequence[Record]) -> list[Answer]:
        chat = Chat(self.loaded, self.limit, Writing.of(None))
        examples = [replace(e, unit="pair", target=0) for e in self.encode(chat.asked(records)).examples]
        scores, _ = rewards(forward, examples)
        told = {e.id: RewardPrediction(float(score)) for e, score in zip(examples, scores[:, 0], strict=True)}
        return [told.get(r.id, RewardPrediction(float("nan"))) for r in records]
