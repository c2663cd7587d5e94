"""Small packed batches for the contract suites: of examples or of tokens, some of them without a target."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tunewright.core.seeds import key
from tunewright.core.tensors import At, Batch, Gradient, Report
from tunewright.models.toy import VOCABULARY, Toy

CLASSES = 3
Kind = Literal["example", "token"]


@dataclass(frozen=True)
class Row:
    """One example; `targets` has one entry (unit "example") or one a token; None where nothing is supervised."""

    id: str
    tokens: tuple[int, ...]
    targets: tuple[int | None, ...]
    weight: float = 1.0

    def masked(self) -> Row:
        return Row(self.id, self.tokens, tuple(None for _ in self.targets), self.weight)


def rows(n: int = 16, unit: Kind = "example", seed: int = 0, longest: int = 7) -> list[Row]:
    """`n` rows of 1 to `longest` tokens; every fifth is without a target."""
    rng = random.Random(seed)
    out = []
    for i in range(n):
        length = rng.randint(1, longest)
        count = 1 if unit == "example" else length
        targets = tuple(
            None if i % 5 == 4 or (unit == "token" and rng.random() < 0.4) else rng.randrange(CLASSES)
            for _ in range(count)
        )
        tokens = tuple(rng.randrange(VOCABULARY) for _ in range(length))
        out.append(Row(f"r{i}", tokens, targets, rng.uniform(0.5, 2.0)))
    return out


def batch(chosen: Sequence[Row], unit: Kind = "example", *, seed: int | None = None, weighted: bool = False) -> Batch:
    """The rows laid end to end, by plain Python loops."""
    positions, targets, weights, start = [], [], [], 0
    for i, row in enumerate(chosen):
        for j, target in enumerate(row.targets):
            if target is not None:
                positions.append(i if unit == "example" else start + j)
                targets.append(target)
                weights.append(row.weight)
        start += len(row.tokens)
    return Batch(
        ids=tuple(row.id for row in chosen),
        tokens=torch.tensor([token for row in chosen for token in row.tokens]),
        lengths=tuple(len(row.tokens) for row in chosen),
        targets=torch.tensor(targets, dtype=torch.int64),
        positions=torch.tensor(positions, dtype=torch.int64),
        unit=unit,
        keys=None if seed is None else torch.tensor([key(seed, row.id) for row in chosen]),
        weights=torch.tensor(weights, dtype=torch.float64) if weighted else None,
    )


def cut(chosen: Sequence[Row], pieces: int) -> list[list[Row]]:
    """The rows in `pieces` parts of clearly unequal size."""
    edges = sorted({round(len(chosen) * (i / pieces) ** 1.7) for i in range(pieces + 1)} | set(range(1)))
    while len(edges) < pieces + 1:
        edges = sorted({*edges, next(i for i in range(len(chosen)) if i not in edges)})
    return [list(chosen[a:b]) for a, b in itertools.pairwise(edges)]


def toy(layout: Literal["packed", "padded"] = "packed", p: float = 0.0) -> Toy:
    return Toy(CLASSES, seed=1, p=p, layout=layout).double().train()


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

    def nudge_like(self, batch: Batch) -> Tensor:
        return torch.zeros(len(batch.tokens), 4, dtype=self.scores.dtype)


def endless(window: Sequence[Batch]) -> Iterator[Sequence[Batch]]:
    while True:
        yield window
