"""Replies that a model in training draws itself, and what they are worth: `core.sampled.Sampled` at work.

Everything is taken from the batch: the prompt is what stands before the last run of supervised tokens of an example (the
source of an encoder-decoder), the gold text is what that run says. A draw depends on the run's seed, the step, the
example's id and the number of the draw, so not on the batch. Cost: a text of at most `longest` tokens for each draw, with
the model in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tunewright.core.errors import ModelError, Problem, RecipeError, closest, listed
from tunewright.core.sampled import Candidate, Measure
from tunewright.core.seeds import key
from tunewright.core.tensors import IGNORED, At, Batch
from tunewright.metrics.pairs import SCORES, score_pair
from tunewright.models.generation import Generated, Prompt, generate
from tunewright.models.options import Generation

Ids = NDArray[np.int64]


@dataclass
class OwnReplies:
    """Draws by `model` in `precision`; `end`: the tokens that end a reply, of which the first is learnt."""

    model: Any
    tokenizer: Any
    end: Sequence[int]
    seed: int
    longest: int = 128
    precision: Any = "float32"
    _texts: dict[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    _judges: dict[str, Entailment] = field(default_factory=dict, repr=False)

    def draw(self, batch: Batch, at: At, count: int) -> list[list[Candidate]]:
        """`count` replies to each supervised example, none to the others."""
        asked = [self._asked(batch, i) for i in range(len(batch.ids))]
        prompts = [
            Prompt(f"{id_}#{j}", one.prompt)
            for id_, one in zip(batch.ids, asked, strict=True) if one is not None for j in range(count)
        ]  # fmt: skip
        options = Generation(max_new_tokens=self.longest, method="sampling")
        told = iter(
            generate(
                self.model, prompts, options, seed=key(self.seed, "own replies", at.step), tokenizer=self.tokenizer,
                end=self.end, precision=self.precision,
            )
        )  # fmt: skip
        out: list[list[Candidate]] = []
        for id_, one in zip(batch.ids, asked, strict=True):
            if one is None:
                out.append([])
                continue
            self._texts[id_] = self._text(one.prompt), self._text(one.gold)
            out.append([self._candidate(one, next(told)) for _ in range(count)])
        return out

    def ready(self, measure: Measure) -> None:
        """Loads what `measure` needs.

        Raises:
            RecipeError: there is no such metric, or it is not one of which more is better.
            ModelError: the folder holds no entailment model.
        """
        if measure.name == "entailment":
            name = str(measure.model)
            if name not in self._judges:
                self._judges[name] = Entailment.of(name)
            return
        if measure.name not in SCORES:
            raise RecipeError(
                Problem(where="objective.minimum_risk.metric", found=measure.name, allowed=listed(sorted(SCORES), 20),
                        to_do=closest(measure.name, SCORES) or "choose one")
            )  # fmt: skip

    def score(self, measure: Measure, example: str, output: str) -> float:
        """What `output` is worth for an example that was drawn for."""
        source, gold = self._texts[example]
        self.ready(measure)
        if measure.name == "entailment":
            return self._judges[str(measure.model)].probability(source, output)
        return score_pair(measure.name, gold, output)

    def _text(self, tokens: Ids) -> str:
        return str(self.tokenizer.decode(tokens.tolist(), skip_special_tokens=True))

    def _asked(self, batch: Batch, i: int) -> _Asked | None:
        """What stands before the last run of supervised tokens of example i, and what the run says."""
        mine = (batch.owners() == i).nonzero()[:, 0].cpu()
        if not len(mine):
            return None
        places, targets = batch.positions.cpu()[mine].numpy(), batch.targets.cpu()[mine].numpy()
        breaks = np.flatnonzero(np.diff(places) != 1)
        first = int(breaks[-1]) + 1 if len(breaks) else 0
        start = sum(batch.lengths[:i])
        tokens = batch.tokens[start : start + batch.lengths[i]].cpu().numpy()
        if batch.decoder is None:
            return _Asked(tokens[: int(places[first]) - start + 1], targets[first:], None)
        begin = sum(batch.decoder.lengths[:i])
        return _Asked(tokens, targets, int(batch.decoder.tokens[begin]))

    def _candidate(self, asked: _Asked, told: Generated) -> Candidate:
        reply = np.array(told.tokens, np.int64)
        last = np.array([IGNORED if told.truncated else self.end[0]], np.int64)
        target = np.concatenate([reply, last])
        if asked.start is not None:
            return Candidate(told.text, asked.prompt, target, np.concatenate([[asked.start], reply]))
        before = np.full(len(asked.prompt) - 1, IGNORED)
        return Candidate(told.text, np.concatenate([asked.prompt, reply]), np.concatenate([before, target]))


@dataclass(frozen=True)
class _Asked:
    """prompt and gold (n,) tokens; start: an encoder-decoder's first token of the decoder's side."""

    prompt: Ids
    gold: Ids
    start: int | None


@dataclass(frozen=True)
class Entailment:
    """A local sequence classifier that says whether a text follows from another."""

    model: Any
    tokenizer: Any
    label: int

    @classmethod
    def of(cls, folder: str) -> Entailment:
        """The model in a folder.

        Raises:
            ModelError: there is none, or none of its labels is "entailment".
        """
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        if not Path(folder).is_dir():
            raise ModelError(Problem(where="objective.factual_consistency.model", found=f"no folder {folder}",
                                     allowed="the folder of an entailment model"))  # fmt: skip
        model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
        labels = {int(i): str(name) for i, name in model.config.id2label.items()}
        found = [i for i, name in labels.items() if name.lower() == "entailment"]
        if not found:
            raise ModelError(Problem(where="objective.factual_consistency.model", found=listed(list(labels.values())),
                                     allowed="a label named entailment"))  # fmt: skip
        return cls(model, AutoTokenizer.from_pretrained(folder, local_files_only=True), found[0])

    def probability(self, source: str, output: str) -> float:
        """That `output` follows from `source`."""
        read = self.tokenizer(source, output, truncation="longest_first", return_tensors="pt")
        with torch.inference_mode():
            return float(self.model(**read).logits.float().softmax(-1)[0, self.label])
