"""Named entities: a tag for every token, and the spans that the likeliest valid tags make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from tunewright.core import outcomes
from tunewright.core.errors import counted
from tunewright.core.outcomes import Ints
from tunewright.core.records import Record
from tunewright.core.spans import IGNORED, Spans, parsed, tags_of
from tunewright.core.tensors import Facts
from tunewright.encoding import Example, decode_spans, encode_spans
from tunewright.encoding.spans import Encoded as Tagged
from tunewright.encoding.spans import Lost
from tunewright.evaluation import Contender, entity_baselines
from tunewright.evaluation.entity_baselines import TokenFeatures
from tunewright.kinds.answers import Answer, EntitiesPrediction
from tunewright.kinds.base import Base
from tunewright.kinds.protocol import Encoded, Splits
from tunewright.kinds.untuned import standing
from tunewright.models.forward import ModelForward
from tunewright.models.loading import Found, Loaded, load
from tunewright.models.saving import Saved
from tunewright.models.tagging import aligning, tag_scores, token_states
from tunewright.recipe import Recipe
from tunewright.tasks import TASKS, Task


@dataclass(frozen=True)
class Placed(Encoded):
    """A split with `asked`, its examples with every token to be scored, and `offsets`, the tokens' characters."""

    asked: list[Example] = field(default_factory=list)
    offsets: list[Ints] = field(default_factory=list)


class Entities(Base):
    """Token classification. The head's tags are those of `core.spans.tags_of`, in the order of the head's own labels."""

    task: Task = TASKS["token_classification"]

    def __init__(self, loaded: Loaded, types: Sequence[str], limit: int) -> None:
        self.loaded, self.types, self.limit = loaded, tuple(types), limit
        self.order = np.array([loaded.labels.index(tag) for tag in tags_of(types)], np.int64)
        self.lost = Lost()

    @classmethod
    def begin(cls, recipe: Recipe, found: Found, splits: Splits) -> Self:
        types = sorted({kind for r in splits["train"] for _, _, kind in parsed(r.label or "[]")})
        loaded = load(found, tags_of(types), recipe.seed, "token_classification", recipe.model.weights, recipe.stores)
        return cls(loaded, types, cls.limit_for(recipe, loaded))

    @classmethod
    def reopen(cls, saved: Saved, recipe: Recipe | None = None) -> Self:
        return cls(saved, saved.card["types"], cls.limit_of(saved))

    def _tagged(self, records: Sequence[Record]) -> Tagged:
        return encode_spans(records, aligning(self.loaded.tokenizer), self.types, self.limit)

    def encode(self, records: Sequence[Record], learn: bool = True) -> Placed:
        found = self._tagged(records)
        lost, before = found.lost, self.lost
        self.lost = Lost(before.spans + lost.spans, before.cut + lost.cut, before.blurred + lost.blurred)
        return Placed(
            list(records),
            [self._ordered(example) for example in found.examples],
            cut=sum(e.full > self.limit for e in found.examples),
            asked=found.asked(),
            offsets=found.offsets,
        )

    def _ordered(self, example: Example) -> Example:
        """The example with its tags in the head's order."""
        if example.target is None:
            return example
        tags = np.asarray(example.target)
        return replace(example, target=np.where(tags == IGNORED, IGNORED, self.order[np.maximum(tags, 0)]))

    def notes(self) -> tuple[str, ...]:
        said = []
        if self.lost.cut:
            said.append(f"{self.lost.cut} of {counted(self.lost.spans, 'span')} reach beyond {self.limit} tokens: no answer "
                        "can hold them, and they count as missed")  # fmt: skip
        if self.lost.blurred:
            said.append(f"{self.lost.blurred} of {counted(self.lost.spans, 'span')} begin or end within a token of this "
                        "model's tokenizer: no answer can be exactly these")  # fmt: skip
        return tuple(said)

    def facts(self, examples: Sequence[Example]) -> Facts:
        tags = [np.asarray(e.target) for e in examples if e.target is not None]
        flat = np.concatenate(tags) if tags else np.zeros(0, np.int64)
        counts = np.bincount(flat[flat != IGNORED], minlength=len(self.loaded.labels))
        return Facts(tuple(self.loaded.labels), tuple(int(n) for n in counts))

    def judged(self, forward: ModelForward, encoded: Encoded, contender: str, split: str) -> outcomes.Entities:
        found, seconds = self._found(forward, self._placed(encoded))
        gold = tuple(None if r.label is None else parsed(r.label) for r in encoded.records)
        ids = tuple(r.id for r in encoded.records)
        return outcomes.Entities(contender, split, self.types, ids, gold, tuple(found), seconds)

    def _placed(self, encoded: Encoded) -> Placed:
        return encoded if isinstance(encoded, Placed) else self.encode(encoded.records)

    def _found(self, forward: ModelForward, placed: Placed) -> tuple[list[Spans], outcomes.Floats]:
        scores, seconds = tag_scores(forward, placed.asked)
        told = [s[:, self.order] if len(s) else np.zeros((0, len(self.order))) for s in scores]
        return decode_spans(told, placed.offsets, [r.text for r in placed.records], self.types), seconds

    def baseline(
        self, name: str, recipe: Recipe, splits: Splits, encoded: Callable[[], Mapping[str, Encoded]]
    ) -> Contender:
        train, held, test = splits["train"], splits["validation"] or None, splits["test"]
        if name == "tfidf":
            return entity_baselines.tfidf(train, test, recipe.seed, validation=held, labels=self.types)
        if name == "linear":
            return self._linear(recipe, {part: self._placed(found) for part, found in encoded().items()})
        plain = entity_baselines.majority if name == "majority" else entity_baselines.lexicon
        return plain(train, test, validation=held, labels=self.types)

    def _linear(self, recipe: Recipe, placed: Mapping[str, Placed]) -> Contender:
        features: dict[str, list[TokenFeatures]] = {}
        records: dict[str, list[Record]] = {}
        spent = 0.0
        with standing(self.loaded, recipe) as forward:
            for part, found in placed.items():
                whole = list(range(len(found.records)))
                sizes = [len(e.tokens) for e in found.asked]
                places = whole if part == "test" else entity_baselines.enough(found.records, sizes, recipe.seed)
                states, seconds = (
                    token_states(forward, [found.asked[i] for i in places]) if whole else ([], np.zeros(0))
                )
                seen = [found.offsets[i][found.offsets[i][:, 1] > found.offsets[i][:, 0]] for i in places]
                features[part] = [TokenFeatures(s, at) for s, at in zip(states, seen, strict=True)]
                records[part] = [found.records[i] for i in places] if whole else []
                if part == "test":
                    spent = float(seconds.mean()) if len(seconds) else 0.0
        held = records.get("validation") or None
        return entity_baselines.linear(
            features["train"], records["train"], features["test"], records["test"], recipe.seed,
            validation_features=features["validation"] if held else None, validation=held, labels=self.types,
            seconds=spent,
        )  # fmt: skip

    def card(self) -> dict[str, Any]:
        return {"task": self.task.name, "problem": self.task.problem, "types": list(self.types)}

    @property
    def columns(self) -> list[str]:
        return ["entities"]

    def answers(self, forward: ModelForward, records: Sequence[Record]) -> list[Answer]:
        found, _ = self._found(forward, self.encode(records))
        return [EntitiesPrediction(r.text, spans) for r, spans in zip(records, found, strict=True)]
