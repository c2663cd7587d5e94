"""Chat, and sequence to sequence: replies that are learnt token by token and judged as texts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from tunewright.core.conversations import prompt_text
from tunewright.core.errors import DataError, Problem
from tunewright.core.outcomes import Judged, Texts
from tunewright.core.records import Record
from tunewright.core.tensors import Facts
from tunewright.encoding import Example, record_of, token_counts, weighted
from tunewright.encoding.chat import Supervise, TooLong, conversations, prompts
from tunewright.encoding.sequences import aligned_sequences, causal_sequences
from tunewright.evaluation import Contender
from tunewright.evaluation.ladders import RUNGS
from tunewright.evaluation.text_baselines import gold_text
from tunewright.kinds.answers import Answer
from tunewright.kinds.base import Base, by_record, decoder, without
from tunewright.kinds.protocol import Encoded, Splits
from tunewright.kinds.untuned import untuned
from tunewright.kinds.writing import Writing
from tunewright.models.codecs import Plain, controls_of, layout_of
from tunewright.models.forward import ModelForward
from tunewright.models.generation import Generated
from tunewright.models.loading import Found, Loaded, language_problem, load, tokenizing
from tunewright.models.own_replies import OwnReplies
from tunewright.models.saving import Saved
from tunewright.models.scoring import likelihoods
from tunewright.models.templates import template_of
from tunewright.recipe import Recipe
from tunewright.tasks import TASKS, Task

CONVERSATION = 1024
"""Tokens of a conversation, where the recipe says nothing."""


@dataclass(frozen=True)
class TextPrediction:
    """What a model writes to a text. `truncated`: it was cut at its greatest length."""

    text: str
    truncated: bool

    def as_json(self) -> dict[str, Any]:
        """The prediction as plain values."""
        return {"reply": self.text, "truncated": self.truncated}

    def cells(self) -> list[str]:
        """As the kind's `columns` names them."""
        return [self.text, str(self.truncated).lower()]


class Replies(Base):
    """What chat and sequence to sequence share. How a record becomes tokens is theirs."""

    task: Task
    columns = ("reply", "truncated")

    def __init__(self, loaded: Loaded, limit: int, writing: Writing) -> None:
        self.loaded, self.limit, self.writing = loaded, limit, writing

    @property
    def ends(self) -> Sequence[int]:
        """The tokens that end a reply."""
        raise NotImplementedError

    def encode(self, records: Sequence[Record], learn: bool = True) -> Encoded:
        raise NotImplementedError

    def asked(self, records: Sequence[Record]) -> list[Record]:
        """Texts that somebody typed, as records."""
        return list(records)

    def greedy(self) -> Self | None:
        """The same with greedy texts; None where they are already."""
        if self.writing.options.method == "greedy":
            return None
        other = copy.copy(self)
        other.writing = replace(self.writing, options=replace(self.writing.options, method="greedy"))
        return other

    def facts(self, examples: Sequence[Example]) -> Facts:
        own = OwnReplies(
            self.loaded.model, self.loaded.tokenizer, self.ends, self.writing.seed, self.writing.options.max_new_tokens
        )
        return Facts((), token_counts(examples), sampled=own)

    def validated(self, forward: ModelForward, encoded: Encoded) -> Judged:
        return self._judged(forward, encoded, "tuned", "validation", None)

    def judged(self, forward: ModelForward, encoded: Encoded, contender: str, split: str) -> Judged:
        chosen = self.writing.chosen([r.id for r in encoded.records])
        part = Encoded(
            [r for r in encoded.records if r.id in chosen],
            [e for e in encoded.examples if record_of(e.id) in chosen],
            prompts=[p for p in encoded.prompts if p.id in chosen],
        )
        told = self.writing.write(forward, self.loaded, part.prompts, self.ends, self.between)
        return self._judged(forward, part, contender, split, {g.id: g for g in told})

    def _judged(
        self, forward: ModelForward, encoded: Encoded, contender: str, split: str, told: Mapping[str, Generated] | None
    ) -> Texts:
        costs, counts, seconds = likelihoods(forward, encoded.examples)
        records = encoded.records
        summed = by_record(records, encoded.examples)
        nll, tokens = summed(costs[:, 0]), summed(counts[:, 0]).astype(np.int64)
        spent = summed(seconds) if told is None else np.array([told[r.id].seconds for r in records])
        return Texts(
            contender, split, (), tuple(r.id for r in records),
            gold=tuple(gold_text(r, self.task.name) for r in records),
            output=tuple("" if told is None else told[r.id].text for r in records),
            nll=np.where(tokens > 0, nll, np.nan), tokens=tokens, seconds=spent,
            truncated=None if told is None else np.array([told[r.id].truncated for r in records], np.bool_),
            task=self.task.name,
        )  # fmt: skip

    def baseline(
        self, name: str, recipe: Recipe, splits: Splits, encoded: Callable[[], Mapping[str, Encoded]]
    ) -> Contender:
        if name == "untuned":
            return untuned(self, recipe, encoded()["test"])
        chosen = self.writing.chosen([r.id for r in splits["test"]])
        items = [r for r in splits["test"] if r.id in chosen]
        return RUNGS[self.task.name][name](splits["train"], items, recipe.seed)

    def card(self) -> dict[str, Any]:
        return {"task": self.task.name, **self.writing.card()}

    def answers(self, forward: ModelForward, records: Sequence[Record]) -> list[Answer]:
        encoded = self.encode(self.asked(records))
        if encoded.left:
            raise DataError(
                *(Problem(where=f"text {int(one.id) + 1}", found=one.detail, to_do="shorten it, or leave it out")
                  for one in encoded.left[:20])
            )  # fmt: skip
        told = self.writing.write(forward, self.loaded, encoded.prompts, self.ends, self.between)
        return [TextPrediction(one.text, one.truncated) for one in told]


class Chat(Replies):
    """Conversations, rendered by the tokenizer's own template. One that is too long is left out, not cut."""

    task = TASKS["chat"]
    default_limit = CONVERSATION

    def __init__(
        self, loaded: Loaded, limit: int, writing: Writing, supervise: Supervise = "all", too_long: TooLong = "drop"
    ) -> None:
        super().__init__(loaded, limit, writing)
        self.template = template_of(loaded.tokenizer)
        self.supervise, self.too_long = supervise, too_long

    @classmethod
    def begin(cls, recipe: Recipe, found: Found, splits: Splits) -> Self:
        decoder(found, "choose another model, or task: seq2seq")
        loaded = load(found, (), recipe.seed, "causal_lm", recipe.model.weights, recipe.stores)
        return cls(
            loaded, cls.limit_for(recipe, loaded), Writing.of(recipe), recipe.data.supervise, recipe.data.too_long
        )

    @classmethod
    def reopen(cls, saved: Saved, recipe: Recipe | None = None) -> Self:
        limit = cls.limit_of(saved)
        writing = Writing.from_card(saved.card) if recipe is None else Writing.of(recipe)
        kind = cls(saved, limit, writing, saved.card.get("supervise", "all"), saved.card.get("too_long", "drop"))
        kind.template.agree(saved.card["template"], saved.found.name)
        return kind

    @property
    def ends(self) -> Sequence[int]:
        return self.template.ends

    def encode(self, records: Sequence[Record], learn: bool = True) -> Encoded:
        # judged is the reply that is the answer, however many are learnt
        examples, refused = conversations(
            records,
            self.template,
            supervise=self.supervise if learn else "last",
            limit=self.limit,
            too_long=self.too_long,
        )
        written, unasked = prompts(without(records, refused), self.template, self.limit - 1, too_long=self.too_long)
        gone = {one.id for one in unasked}
        refused = [*refused, *unasked]
        kept = [e for e in examples if record_of(e.id) not in gone]
        return Encoded(without(records, refused), weighted(kept, records), refused, prompts=written)

    def asked(self, records: Sequence[Record]) -> list[Record]:
        def conversation(text: str) -> str:
            held = text.lstrip().startswith('{"messages"')
            return text if held else prompt_text([{"role": "user", "content": text}])

        return [replace(r, text=conversation(r.text)) for r in records]

    def notes(self) -> tuple[str, ...]:
        return self.template.remarks()

    def card(self) -> dict[str, Any]:
        return {**super().card(), "problem": "causal_lm", "supervise": self.supervise, "too_long": self.too_long,
                "template": self.template.card()}  # fmt: skip


class Sequences(Replies):
    """Sources and targets, for encoder-decoders and decoders."""

    task = TASKS["seq2seq"]

    def __init__(self, loaded: Loaded, limit: int, writing: Writing, prefix: str, problem: str) -> None:
        super().__init__(loaded, limit, writing)
        self.prefix, self.problem = prefix, problem

    @classmethod
    def begin(cls, recipe: Recipe, found: Found, splits: Splits) -> Self:
        problem = language_problem(found, masked=False)
        loaded = load(found, (), recipe.seed, problem, recipe.model.weights, recipe.stores)
        return cls(loaded, cls.limit_for(recipe, loaded), Writing.of(recipe), recipe.data.prefix, problem)

    @classmethod
    def reopen(cls, saved: Saved, recipe: Recipe | None = None) -> Self:
        limit = cls.limit_of(saved)
        writing = Writing.from_card(saved.card) if recipe is None else Writing.of(recipe)
        return cls(saved, limit, writing, saved.card.get("prefix", ""), saved.card["problem"])

    @property
    def ends(self) -> Sequence[int]:
        tokenizer = self.loaded.tokenizer
        return [tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id]

    def encode(self, records: Sequence[Record], learn: bool = True) -> Encoded:
        unlabelled = [replace(r, label=None) for r in records]
        (examples, refused), (written, unasked) = self._encoded(records), self._encoded(unlabelled)
        gone = {one.id: one for one in (*refused, *unasked)}
        left = list(gone.values())
        return Encoded(
            without(records, left), weighted([e for e in examples if e.id not in gone], records), left,
            sum(e.full > len(e.tokens) for e in examples), [p for p in written if p.id not in gone],
        )  # fmt: skip

    def _encoded(self, records: Sequence[Record]) -> Any:
        tokenizer = self.loaded.tokenizer
        if self.problem == "causal_lm":
            layout = layout_of(tokenizer, before=self.prefix, source_limit=self.limit // 2)
            return causal_sequences(records, Plain(tokenizer), layout, limit=self.limit, too_long="cut_source")
        return aligned_sequences(
            records, tokenizing(tokenizer), Plain(tokenizer).targets,
            start=int(self.loaded.model.config.decoder_start_token_id), end=self.ends[0], source_limit=self.limit,
            target_limit=self.limit, before=self.prefix, too_long="cut_source",
            controls=controls_of(tokenizer), unknown=tokenizer.unk_token_id,
        )  # fmt: skip

    def card(self) -> dict[str, Any]:
        return {**super().card(), "problem": self.problem, "prefix": self.prefix}
