"""Minimum risk training: what the model says by itself is to score well by a metric that has no gradient.

R_b = sum over y in S_b of Q(y) (1 - score(y)),  Q(y) = p(y | x)^a / sum over S_b of p(y' | x)^a
S_b: different replies that the model itself has drawn; score in 0..1 (rougeL, say), the mean over draws is watched as
"sampled". Shen et al. 2016, "Minimum Risk Training for Neural Machine Translation", equations 12 and 13; for summaries and
with a likelihood beside it Edunov et al. 2018, "Classical Structured Prediction Losses for Sequence to Sequence Learning".

What differs: the gold reply is no candidate unless the model says it, as Edunov et al. found it better. Unit: example.
Cost: drawing `samples` replies an example and one forward pass over each, beside the inner objective's; the memory of a
micro-batch grows likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import Tensor

from tunewright.core.errors import Problem, RecipeError
from tunewright.core.registry import component, register
from tunewright.core.sampled import Candidate, Measure, Sampled, known
from tunewright.core.seeds import key
from tunewright.core.tensors import IGNORED, At, Batch, Decoder, Facts, Fits, Forward, Term
from tunewright.objectives.cross_entropy import CrossEntropy
from tunewright.objectives.preferences import log_probabilities, of_examples
from tunewright.objectives.wrapping import Wrapping


@dataclass(frozen=True)
class Risk(Wrapping):
    """What minimum risk and factual consistency share: `samples` replies an example, sharpness `alpha`, `weight`.

    `inner` may be none: the risk alone."""

    fits: ClassVar[tuple[Fits, ...]] = ("tokens",)
    inner: Any = component("objective", optional=True, default=CrossEntropy())
    weight: Annotated[float, Ge(0)] = 1.0
    samples: Annotated[int, Ge(2)] = 8
    alpha: Annotated[float, Gt(0)] = 0.005
    _sampled: Sampled | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Of its term."""
        raise NotImplementedError

    @property
    def measure(self) -> Measure:
        """By what a reply is scored."""
        raise NotImplementedError

    def prepare(self, facts: Facts) -> Self:
        """The same objective with the model's own samples at hand.

        Raises:
            RecipeError: this task has no samples, or they cannot be scored by this measure.
        """
        if not known(facts.sampled):
            raise RecipeError(
                Problem(where=f"objective.{self.name}", found="no replies of the model's own to draw from",
                        allowed="seq2seq or chat")
            )  # fmt: skip
        assert facts.sampled is not None
        facts.sampled.ready(self.measure)
        found = super().prepare(facts)
        object.__setattr__(found, "_sampled", facts.sampled)
        return found

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        if self._sampled is None:
            raise ValueError(f"{self.name} is prepared with samples before it is used")
        terms = () if self.inner is None else self.inner(forward, batch, at)
        drawn = [distinct(c) for c in self._sampled.draw(batch, at, self.samples)]
        drawn = [c if held else [] for c, held in zip(drawn, _held(batch), strict=True)]
        flat = [c for candidates in drawn for c in candidates]
        if not flat:
            nothing = forward.losses(batch).sum() * 0
            return (*terms, Term(self.name, nothing, "example", self.weight, nothing.detach().expand(len(drawn))))
        sums, _ = log_probabilities(forward, laid(drawn, batch))
        scores = sums.new_tensor(
            [
                self._sampled.score(self.measure, id_, c.text)
                for id_, candidates in zip(batch.ids, drawn, strict=True)
                for c in candidates
            ]
        )
        risks, means = expected_risk(sums, scores, [len(c) for c in drawn], self.alpha)
        return (
            *terms,
            of_examples(self.name, risks, batch, "example", scale=self.weight),
            of_examples(f"{self.name}_sampled", means, batch, "example", watched=True),
        )


@register("objective", "minimum_risk")
@dataclass(frozen=True)
class MinimumRisk(Risk):
    """`metric`: a metric of the task by its name, higher is better, in 0..1."""

    metric: str = "rougeL"

    @property
    def name(self) -> str:
        return "minimum_risk"

    @property
    def measure(self) -> Measure:
        return Measure(self.metric)


def expected_risk(sums: Tensor, scores: Tensor, sizes: Sequence[int], alpha: float) -> tuple[Tensor, Tensor]:
    """(B,) expected risk and (B,) mean score of candidates that lie end to end, `sizes` (B,) of them an example.

    sums and scores: (N,) log p and score of each candidate. An example without candidates has 0 and 0.
    """
    counts = torch.tensor(sizes, device=sums.device)
    places = torch.arange(int(counts.max()), device=sums.device) < counts[:, None]
    log_q = sums.new_full(places.shape, float("-inf")).masked_scatter(places, alpha * sums)
    log_q = torch.where(counts[:, None] > 0, log_q, 0.0)  # a row of -inf alone has no softmax
    worth = sums.new_zeros(places.shape).masked_scatter(places, scores)
    risks = (torch.softmax(log_q, -1) * (1 - worth) * places).sum(-1)
    return risks, worth.sum(-1) / counts.clamp(min=1)


def distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates without repetitions, in their order: S is a set."""
    seen: dict[tuple[int, ...], Candidate] = {}
    for c in candidates:
        seen.setdefault(tuple(c.target[c.target != IGNORED].tolist()), c)
    return list(seen.values())


def laid(drawn: Sequence[Sequence[Candidate]], batch: Batch) -> Batch:
    """All candidates as one batch of tokens; each has a key of its own where its example has one."""
    flat = [c for candidates in drawn for c in candidates]
    target = np.concatenate([c.target for c in flat])
    places = np.flatnonzero(target != IGNORED)
    read = [c.decoder for c in flat if c.decoder is not None]
    keys = None
    if batch.keys is not None:
        made = [key(int(k), "sample", j) for k, c in zip(batch.keys, drawn, strict=True) for j in range(len(c))]
        keys = torch.tensor(made, dtype=torch.int64)
    made_of = Batch(
        ids=tuple(f"{id_}#{j}" for id_, c in zip(batch.ids, drawn, strict=True) for j in range(len(c))),
        tokens=torch.from_numpy(np.concatenate([c.tokens for c in flat])),
        lengths=tuple(len(c.tokens) for c in flat),
        targets=torch.from_numpy(target[places].astype(np.int64)),
        positions=torch.from_numpy(places),
        unit="token",
        keys=keys,
        decoder=Decoder(torch.from_numpy(np.concatenate(read)), tuple(map(len, read))) if read else None,
    )
    return made_of.to(batch.tokens.device)


def _held(batch: Batch) -> list[bool]:
    supervised = torch.bincount(batch.owners(), minlength=len(batch.ids))
    return [n > 0 for n in supervised.tolist()]
