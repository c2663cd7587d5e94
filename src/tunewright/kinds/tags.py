"""Token classification: a tag for every token, and of these the spans of a text."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from tunewright.core.outcomes import Entities, Judged
from tunewright.core.records import Record
from tunewright.core.spans import Spans, parsed, tags_of
from tunewright.core.tensors import IGNORED, Facts
from tunewright.encoding import Example, decode_spans, encode_spans
from tunewright.encoding import spans as coded
from tunewright.evaluation import Contender
from tunewright.evaluation.entity_baselines import TokenFeatures, lexicon, linear, tfidf
from tunewright.kinds.answers import Answer
from tunewright.kinds.protocol import DEFAULT_LIMIT, Encoded, Splits
from tunewright.kinds.untuned import standing
from tunewright.models.codecs import aligning
from tunewright.models.forward import ModelForward
from tunewright.models.loading import Found, Loaded, load
from tunewright.models.saving import Saved
from tunewright.models.scoring import token_features, token_scores
from tunewright.recipe import Recipe
from tunewright.tasks import TASKS, Task


@dataclass(frozen=True)
class SpansPrediction:
    """The spans of a text: start and end (exclusive, in characters), type, and what stands there."""

    spans: tuple[tuple[int, int, str, str], ...]

    def as_json(self) -> dict[str, Any]:
        """The prediction as plain values."""
        return {"spans": [{"start": a, "end": b, "type": kind, "text": text} for a, b, kind, text in self.spans]}

    def cells(self) -> list[str]:
        """As the kind's `columns` names them."""
        return ["; ".join(f"{kind}: {text}" for _, _, kind, text in self.spans)]


class Tags:
    """Spans as tags of tokens: the beginning and the inside of each type, and what is outside of all."""

    task: Task = TASKS["token_classification"]
    scale: tuple[Sequence[float], Sequence[float]] | None = None
    altered: Callable[[Example, int], Example] | None = None
    between: Callable[[], None] | None = None
    columns = ("spans",)

    def __init__(self, loaded: Loaded, types: Sequence[str], limit: int) -> None:
        self.loaded, self.types, self.limit = loaded, tuple(types), limit

    @classmethod
    def begin(cls, recipe: Recipe, found: Found, splits: Splits) -> Self:
        types = sorted({kind for r in splits["train"] for _, _, kind in parsed(r.label or "[]")})
        loaded = load(found, tags_of(types), recipe.seed, "token_classification", recipe.model.weights)
        types = [tag[2:] for tag in loaded.labels if tag.startswith("B-")]  # in the order of the checkpoint's head
        if loaded.labels != tags_of(types):
            loaded = load(found, tags_of(types), recipe.seed, "token_classification", recipe.model.weights)
        return cls(loaded, types, min(recipe.model.max_tokens or DEFAULT_LIMIT, loaded.limit))

    @classmethod
    def reopen(cls, saved: Saved, recipe: Recipe | None = None) -> Self:
        types = [tag[2:] for tag in saved.labels if tag.startswith("B-")]
        return cls(saved, types, int(saved.card.get("max_tokens") or saved.limit))

    def _coded(self, records: Sequence[Record]) -> coded.Encoded:
        return encode_spans(records, aligning(self.loaded.tokenizer), self.types, self.limit)

    def encode(self, records: Sequence[Record], learn: bool = True) -> Encoded:
        examples = self._coded(records).examples
        return Encoded(list(records), examples, cut=sum(e.full > self.limit for e in examples))

    def ready(self, splits: Mapping[str, Encoded], recipe: Recipe, kept: Path, key: str) -> dict[str, Encoded]:
        return dict(splits)

    def notes(self) -> tuple[str, ...]:
        return ()

    def facts(self, examples: Sequence[Example]) -> Facts:
        tags = tags_of(self.types)
        found = [np.asarray(e.target) for e in examples if e.target is not None]
        flat = np.concatenate(found) if found else np.zeros(0, np.int64)
        counts = np.bincount(flat[flat != IGNORED], minlength=len(tags))
        return Facts(tags, tuple(int(n) for n in counts))

    def groups(self, examples: Sequence[Example]) -> list[str | None] | None:
        return None

    def settle(self, forward: ModelForward, encoded: Encoded) -> None:
        """Nothing is to be settled."""

    def validated(self, forward: ModelForward, encoded: Encoded) -> Judged:
        return self.judged(forward, encoded, "tuned", "validation")

    def judged(self, forward: ModelForward, encoded: Encoded, contender: str, split: str) -> Judged:
        found, seconds = self._spans(forward, encoded.records)
        ids = tuple(r.id for r in encoded.records)
        gold = tuple(None if r.label is None else parsed(r.label) for r in encoded.records)
        return Entities(contender, split, self.types, ids, gold, tuple(found), seconds)

    def _spans(self, forward: ModelForward, records: Sequence[Record]) -> tuple[list[Spans], Any]:
        made = self._coded(records)
        scores, seconds = token_scores(forward, made.asked())
        return decode_spans(scores, made.offsets, [r.text for r in records], self.types), seconds

    def baseline(
        self, name: str, recipe: Recipe, splits: Splits, encoded: Callable[[], Mapping[str, Encoded]]
    ) -> Contender:
        train, held, test = splits["train"], splits["validation"] or None, splits["test"]
        if name == "lexicon":
            return lexicon(train, test, validation=held, labels=self.types)
        if name == "tfidf":
            return tfidf(train, test, recipe.seed, validation=held, labels=self.types)
        with standing(self.loaded, recipe) as forward:

            def features(records: Sequence[Record]) -> list[TokenFeatures]:
                made = self._coded(records)
                return [
                    TokenFeatures(v, at)
                    for v, at in zip(token_features(forward, made.asked()), made.offsets, strict=True)
                ]

            learnt = features(train), features(held) if held else None
            began = time.perf_counter()
            told = features(test)
            spent = (time.perf_counter() - began) / max(len(test), 1)
        return linear(
            learnt[0], train, told, test, recipe.seed, validation_features=learnt[1], validation=held, labels=self.types,
            seconds=spent,
        )  # fmt: skip

    def card(self) -> dict[str, Any]:
        return {"task": self.task.name, "problem": "token_classification"}

    def answers(self, forward: ModelForward, records: Sequence[Record]) -> list[Answer]:
        found, _ = self._spans(forward, records)
        return [
            SpansPrediction(tuple((a, b, kind, record.text[a:b]) for a, b, kind in spans))
            for record, spans in zip(records, found, strict=True)
        ]
