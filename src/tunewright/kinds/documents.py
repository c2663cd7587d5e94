"""Language modelling: documents, whose tokens are predicted, or those that were masked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from tunewright.core.errors import ModelError, Problem
from tunewright.core.outcomes import Judged, Likelihoods
from tunewright.core.records import Record
from tunewright.core.seeds import key
from tunewright.core.tensors import Facts
from tunewright.encoding import Example, token_counts, weighted
from tunewright.encoding.documents import Masking, pieces, windows
from tunewright.evaluation import Contender
from tunewright.evaluation.ladders import RUNGS
from tunewright.kinds.answers import Answer
from tunewright.kinds.base import Base, by_record, without
from tunewright.kinds.protocol import Encoded, Splits
from tunewright.kinds.untuned import untuned
from tunewright.models.codecs import Plain, borders_of, masking_of, start_of
from tunewright.models.forward import ModelForward
from tunewright.models.loading import Found, Loaded, Problems, language_problem, load
from tunewright.models.saving import Saved
from tunewright.models.scoring import likelihoods
from tunewright.recipe import Recipe
from tunewright.tasks import TASKS, Task

EVALUATED = 0
"""The seed of the masks by which models are judged: the same for all."""


@dataclass(frozen=True)
class DocumentPrediction:
    """How probable a model finds a text."""

    bits_per_byte: float
    perplexity: float
    tokens: int

    def as_json(self) -> dict[str, Any]:
        """The prediction as plain values."""
        return {"bits_per_byte": self.bits_per_byte, "perplexity": self.perplexity, "tokens": self.tokens}

    def cells(self) -> list[str]:
        """As the kind's `columns` names them."""
        return [f"{self.bits_per_byte:.6g}", f"{self.perplexity:.6g}", str(self.tokens)]


class Documents(Base):
    """Causal models read windows of the context's length; encoders pieces with masked tokens."""

    task: Task = TASKS["language_modeling"]
    columns = ("bits_per_byte", "perplexity", "tokens")

    def __init__(self, loaded: Loaded, problem: Problems, limit: int) -> None:
        self.loaded, self.problem, self.limit = loaded, problem, limit
        self.altered: Masking | None = None
        if problem == "masked_lm":
            if loaded.tokenizer.mask_token_id is None:
                raise ModelError(
                    Problem(where=f"model {loaded.found.name}", found="its tokenizer has no mask token",
                            allowed="an encoder with one, or a decoder", to_do="choose another model")
                )  # fmt: skip
            self.altered = masking_of(loaded.tokenizer)

    @classmethod
    def begin(cls, recipe: Recipe, found: Found, splits: Splits) -> Self:
        problem = language_problem(found)
        if problem == "seq2seq_lm":
            raise ModelError(
                Problem(where=f"model {found.name}", found="an encoder-decoder", allowed="a decoder, or an encoder",
                        to_do="choose another model, or task: seq2seq")
            )  # fmt: skip
        loaded = load(found, (), recipe.seed, problem, recipe.model.weights, recipe.stores)
        return cls(loaded, problem, cls.limit_for(recipe, loaded))

    @classmethod
    def reopen(cls, saved: Saved, recipe: Recipe | None = None) -> Self:
        return cls(saved, saved.card["problem"], cls.limit_of(saved))

    def encode(self, records: Sequence[Record], learn: bool = True) -> Encoded:
        tokenizer, spans = self.loaded.tokenizer, Plain(self.loaded.tokenizer).spans
        if self.altered is None:
            start, end = start_of(tokenizer), tokenizer.eos_token_id
            if start is None:  # so that a document's first token is predicted too
                start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else end
            examples, refused = windows(records, spans, limit=self.limit, start=start, end=end)
        else:
            before, after = borders_of(tokenizer)
            examples, refused = pieces(records, spans, limit=self.limit, before=before, after=after)
        return Encoded(without(records, refused), weighted(examples, records), refused)

    def notes(self) -> tuple[str, ...]:
        if self.altered is None:
            return ()
        share = f"{self.altered.share:.0%}"
        return (f"{share} of the tokens are masked, anew at every step; models are judged on the same fixed masks.",)

    def facts(self, examples: Sequence[Example]) -> Facts:
        return Facts((), token_counts(examples))

    def judged(self, forward: ModelForward, encoded: Encoded, contender: str, split: str) -> Judged:
        examples = encoded.examples
        if self.altered is not None:
            examples = [self.altered(e, key(EVALUATED, e.id)) for e in examples]
        costs, counts, seconds = likelihoods(forward, examples)
        summed = by_record(encoded.records, examples)
        nll, tokens = summed(costs[:, 0]), summed(counts[:, 0])
        if self.altered is not None:  # what the document would cost at the rate of its masked tokens
            special = list(self.altered.special)
            own = summed([int((~np.isin(e.tokens, special)).sum()) for e in encoded.examples])
            nll, tokens = nll * own / np.maximum(tokens, 1), own
        sizes = np.array([len(r.text.encode("utf-8", "surrogatepass")) for r in encoded.records], np.int64)
        return Likelihoods(
            contender, split, (), tuple(r.id for r in encoded.records), nll, tokens.astype(np.int64), sizes,
            summed(seconds),
        )  # fmt: skip

    def baseline(
        self, name: str, recipe: Recipe, splits: Splits, encoded: Callable[[], Mapping[str, Encoded]]
    ) -> Contender:
        if name == "untuned":
            return untuned(self, recipe, encoded()["test"])
        return RUNGS[self.task.name][name](splits["train"], splits["test"], recipe.seed)

    def card(self) -> dict[str, Any]:
        return {"task": self.task.name, "problem": self.problem}

    def answers(self, forward: ModelForward, records: Sequence[Record]) -> list[Answer]:
        found = self.judged(forward, self.encode(records), "tuned", "asked")
        assert isinstance(found, Likelihoods)
        told = {
            i: DocumentPrediction(
                float(nll / max(size, 1) / np.log(2)), float(np.exp(nll / max(tokens, 1))), int(tokens)
            )
            for i, nll, tokens, size in zip(found.ids, found.nll, found.tokens, found.bytes, strict=True)
        }
        return [told.get(r.id, DocumentPrediction(float("nan"), float("nan"), 0)) for r in records]
