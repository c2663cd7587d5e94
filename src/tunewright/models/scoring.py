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
    order = sorted(range(len(examples)), key=lambda i: -len(examples[i]))
    start = 0
    while start < len(order):
        stop, used = start, 0
        while stop < len(order) and (stop == start or used + len(examples[order[stop]]) <= budget):
            used += len(examples[order[stop]])
            stop += 1
        places = order[start:stop]
        yield places, pack([_supervised(examples[i]) for i in places])
        start = stop


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
