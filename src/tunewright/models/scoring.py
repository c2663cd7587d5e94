"""Scores of many examples: sorted by length, packed to a token budget, back in the given order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tunewright.core.tensors import Batch
from tunewright.encoding import Example, pack
from tunewright.models.forward import ModelForward

BUDGET = 8192


def batches(examples: Sequence[Example], budget: int = BUDGET) -> Iterator[tuple[list[int], Batch]]:
    """Places and packed batches, longest first, each of at most `budget` tokens (or one example)."""
    for places in _cut([len(e) for e in examples], budget):
        yield places, pack([_supervised(examples[i]) for i in places])


def _supervised(example: Example) -> Example:
    """Scores are made at supervised units only; what the target is does not matter here, so all get a stand-in."""
    return Example(example.id, example.tokens, 0, example.full, example.types)


Activation = Literal["softmax", "sigmoid", "none"]
_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "softmax": lambda x: torch.softmax(x, -1),
    "sigmoid": torch.sigmoid,
    "none": lambda x: x,
}


def score(
    forward: ModelForward, examples: Sequence[Example], budget: int = BUDGET, activation: Activation = "softmax"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Answers (N, C) in the order of `examples`, and the seconds that each took (its share of its batch).

    "softmax" gives the classes' probabilities, "sigmoid" each label's own, "none" the scores as they are.
    """
    answers = np.zeros((len(examples), forward.inner.config.num_labels))
    seconds = np.zeros(len(examples))
    with forward.evaluating():
        for places, batch in batches(examples, budget):
            began = time.perf_counter()
            answers[places] = _ACTIVATIONS[activation](forward(batch).double()).cpu().numpy()
            seconds[places] = (time.perf_counter() - began) / len(places)
    return answers, seconds


def features(forward: ModelForward, examples: Sequence[Example], budget: int = BUDGET) -> NDArray[np.float32]:
    """(N, D) the body's mean-pooled hidden states, in the order of `examples`."""
    out: NDArray[np.float32] | None = None
    with forward.evaluating():
        for places, batch in batches(examples, budget):
            hidden = forward.features(batch).float().cpu().numpy()
            if out is None:
                out = np.zeros((len(examples), hidden.shape[1]), dtype=np.float32)
            out[places] = hidden
    return out if out is not None else np.zeros((0, 1), dtype=np.float32)


def likelihoods(
    forward: ModelForward, examples: Sequence[Example], budget: int = BUDGET
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """What the supervised tokens cost, in the order of `examples`.

    Returns:
        (N, 2) sums of -log p in nats, of an example and of its other side (0 where it has none); (N, 2) how many tokens
        these are; (N,) seconds.
    """
    costs, counts = np.zeros((len(examples), 2)), np.zeros((len(examples), 2), np.int64)
    seconds = np.zeros(len(examples))
    with forward.evaluating():
        for places, batch in laid(examples, budget):
            began = time.perf_counter()
            found = forward.losses(batch).double().cpu()
            sequences = batch.sequences().cpu()
            sums = torch.zeros(len(batch.lengths), dtype=torch.float64).index_add_(0, sequences, found)
            n = torch.bincount(sequences, minlength=len(batch.lengths))
            costs[places, : batch.sides] = sums.view(-1, batch.sides).numpy()
            counts[places, : batch.sides] = n.view(-1, batch.sides).numpy()
            seconds[places] = (time.perf_counter() - began) / len(places)
    return costs, counts, seconds


def rewards(
    forward: ModelForward, examples: Sequence[Example], budget: int = BUDGET
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, 2) the score of both sides of each example, and (N,) seconds."""
    scores, seconds = np.zeros((len(examples), 2)), np.zeros(len(examples))
    with forward.evaluating():
        for places, batch in laid(examples, budget):
            began = time.perf_counter()
            scores[places] = forward(batch).double().cpu().view(len(places), -1).numpy()
            seconds[places] = (time.perf_counter() - began) / len(places)
    return scores, seconds


def laid(examples: Sequence[Example], budget: int = BUDGET) -> Iterator[tuple[list[int], Batch]]:
    """Places and packed batches as the examples are supervised, longest first; those of one and of two sides apart."""
    for two in (False, True):
        own = [i for i, e in enumerate(examples) if (e.other is not None) == two]
        for places in _cut([len(examples[i]) for i in own], budget):
            chosen = [own[i] for i in places]
            yield chosen, pack([examples[i] for i in chosen])


def _cut(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Places of examples that go together, longest first: at most `budget` tokens, or one example."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    start = 0
    while start < len(order):
        stop, used = start, 0
        while stop < len(order) and (stop == start or used + lengths[order[stop]] <= budget):
            used += lengths[order[stop]]
            stop += 1
        yield order[start:stop]
        start = stop
