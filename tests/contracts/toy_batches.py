"""Small packed batches for the contract suites: of examples, tokens, pairs or thumbs, some without a target."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tunewright.core.sampled import Candidate, Measure
from tunewright.core.seeds import key
from tunewright.core.tensors import IGNORED, At, Batch, Gradient, Report
from tunewright.models.toy import VOCABULARY, Toy

CLASSES = 3
Kind = Literal["example", "token", "unsure", "vocabulary", "pairs", "rewards", "thumbs", "mismatched"]
"""What is supervised: examples or tokens with a class, examples whose class may be unsure; tokens of the vocabulary; pairs
by tokens or by one score each;
replies that are good or bad, alone or beside a reply of another row."""
CLASSED: tuple[Kind, ...] = ("example", "token", "unsure")
TWO_SIDED = ("pairs", "rewards", "mismatched")


@dataclass(frozen=True)
class Row:
    """One example; `targets` has one entry (unit "example") or one a token; None where nothing is supervised."""

    id: str
    tokens: tuple[int, ...]
    targets: tuple[int | None, ...]
    weight: float = 1.0
    other: Row | None = None
    given: Mapping[str, float] = field(default_factory=dict)
    soft: tuple[float, ...] | None = None

    def masked(self) -> Row:
        nothing = tuple(None for _ in self.targets)
        return replace(self, targets=nothing, other=self.other and self.other.masked())


def rows(n: int = 16, kind: Kind = "example", seed: int = 0, longest: int = 7) -> list[Row]:
    """`n` rows of 1 to `longest` tokens; every fifth is without a target."""
    rng = random.Random(seed)
    if kind not in CLASSED:
        made = [_replied(f"r{i}", kind, rng, longest) for i in range(n)]
        return [row.masked() if i % 5 == 4 and kind != "rewards" else row for i, row in enumerate(made)]
    out = []
    for i in range(n):
        length = rng.randint(1, longest)
        count = length if kind == "token" else 1
        targets = tuple(
            None if i % 5 == 4 or (kind == "token" and rng.random() < 0.4) else rng.randrange(CLASSES)
            for _ in range(count)
        )
        tokens = tuple(rng.randrange(VOCABULARY) for _ in range(length))
        weight = rng.uniform(0.5, 2.0)
        soft = None
        if kind == "unsure" and i % 3:
            parts = [rng.random() for _ in range(CLASSES)]
            soft = tuple(part / sum(parts) for part in parts)
        out.append(Row(f"r{i}", tokens, targets, weight, soft=soft))
    return out


def _replied(name: str, kind: Kind, rng: random.Random, longest: int) -> Row:
    """A prompt with a reply (of few different tokens, so that some come twice), or with two."""
    prompt, sides = [rng.randrange(8) for _ in range(rng.randint(1, 3))], []
    for _ in range(2 if kind in TWO_SIDED else 1):
        reply = [rng.randrange(8) for _ in range(rng.randint(1, longest - 3))]
        tokens = [*prompt, *reply]
        targets = [t if i >= len(prompt) else None for i, t in enumerate(tokens)][1:]
        given = {"reference": -3.7 * len(reply) + rng.uniform(-2, 2)}
        sides.append(Row(name, tuple(tokens), (*targets, None), rng.uniform(0.5, 2.0), given=given))
    given = {"reference": sides[0].given["reference"]}
    if kind in ("thumbs", "mismatched"):
        given["good"] = float(rng.random() < 0.5)
    if kind == "rewards":
        given["margin"] = rng.uniform(0, 1)
    return replace(sides[0], other=sides[1] if len(sides) == 2 else None, given=given)


def batch(chosen: Sequence[Row], kind: Kind = "example", *, seed: int | None = None, weighted: bool = False) -> Batch:
    """The rows laid end to end, by plain Python loops."""
    positions, targets, weights, soft, start = [], [], [], [], 0
    sequences = [side for row in chosen for side in ((row, row.other) if row.other is not None else (row,))]
    sides = 2 if chosen and chosen[0].other is not None else 1
    for i, row in enumerate(sequences):
        for j, target in enumerate(row.targets if kind != "rewards" else (0,)):
            if target is not None:
                positions.append(i if kind in ("example", "unsure", "rewards") else start + j)
                targets.append(target)
                soft.append(row.soft)
                weights.append(chosen[i // sides].weight)
        start += len(row.tokens)
    given = {}
    for name in chosen[0].given if chosen else ():
        having = sequences if all(name in row.given for row in sequences) else chosen
        given[name] = torch.tensor([row.given[name] for row in having], dtype=torch.float64)
    answers = torch.tensor(targets, dtype=torch.int64)
    if any(found is not None for found in soft):
        sure = F.one_hot(answers, CLASSES).double().tolist()
        answers = torch.tensor([own or one for own, one in zip(soft, sure, strict=True)], dtype=torch.float64)
    return Batch(
        ids=tuple(row.id for row in chosen),
        tokens=torch.tensor([token for row in sequences for token in row.tokens]),
        lengths=tuple(len(row.tokens) for row in sequences),
        targets=answers,
        positions=torch.tensor(positions, dtype=torch.int64),
        unit="example" if kind in ("example", "unsure") else "pair" if kind == "rewards" else "token",
        keys=None if seed is None else torch.tensor([key(seed, row.id) for row in chosen]),
        weights=torch.tensor(weights, dtype=torch.float64) if weighted else None,
        sides=sides,
        given=given,
    )


def cut(chosen: Sequence[Row], pieces: int) -> list[list[Row]]:
    """The rows in `pieces` parts of clearly unequal size."""
    edges = sorted({round(len(chosen) * (i / pieces) ** 1.7) for i in range(pieces + 1)} | set(range(1)))
    while len(edges) < pieces + 1:
        edges = sorted({*edges, next(i for i in range(len(chosen)) if i not in edges)})
    return [list(chosen[a:b]) for a, b in itertools.pairwise(edges)]


def toy(layout: Literal["packed", "padded"] = "packed", p: float = 0.0, kind: Kind = "example") -> Toy:
    scores = CLASSES if kind in CLASSED else 1 if kind == "rewards" else VOCABULARY
    return Toy(scores, seed=1, p=p, layout=layout).double().train()


class Drawn:
    """Samples of a model that is not asked: replies drawn by the step and the example's id alone, some of them alike."""

    def ready(self, measure: Measure) -> None:
        """Any will do."""

    def draw(self, batch: Batch, at: At, count: int) -> list[list[Candidate]]:
        starts = [0, *itertools.accumulate(batch.lengths)]
        out = []
        for i, id_ in enumerate(batch.ids):
            rng, prompt = random.Random(f"{at.step} {id_}"), int(batch.tokens[starts[i]])
            out.append([self._one(prompt, rng) for _ in range(count)])
        return out

    @staticmethod
    def _one(prompt: int, rng: random.Random) -> Candidate:
        reply = [rng.randrange(4) for _ in range(rng.randint(1, 3))]
        target = np.array([*reply, IGNORED])
        return Candidate(" ".join(map(str, reply)), np.array([prompt, *reply]), target)

    def score(self, measure: Measure, example: str, output: str) -> float:
        return random.Random(f"{measure} {example} {output}").random()


class Still:
    """An update that asks for the gradient and changes nothing."""

    def step(self, gradient: Gradient, at: At) -> Report:
        return gradient()

    def state(self) -> dict[str, object]:
        return {}

    def load(self, state: Mapping[str, object]) -> None:
        """Nothing to load."""


class Given:
    """A forward whose scores are given, whatever the batch holds: for references and extremes."""

    def __init__(self, scores: Tensor) -> None:
        self.scores = scores

    def __call__(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        moved = self.scores[batch.positions]
        return moved if nudge is None else moved + nudge.sum()

    def losses(self, batch: Batch, nudge: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        return F.cross_entropy(self(batch, nudge), batch.targets, label_smoothing=smoothing, reduction="none")

    def nudge_like(self, batch: Batch) -> Tensor:
        return torch.zeros(len(batch.tokens), 4, dtype=self.scores.dtype)


def endless(window: Sequence[Batch]) -> Iterator[Sequence[Batch]]:
    while True:
        yield window
