"""Prompts that several sequences of a batch begin with are computed once.

Two replies to one prompt, or eight, are one prompt and its replies: the prompt's tokens see no reply, so that their hidden
states are the same in every sequence, and what the replies' tokens see of the prompt is its keys and values. In place of
n (P + S) tokens the model reads P + n S. That is exact for causal models, gradients included, where nothing random differs
between the sequences (the two sides of a preference draw alike). As in "prefix sharing" of inference engines (Juravsky et
al. 2024, "Hydragen"; Zheng et al. 2024, "SGLang"), here in training too.

Axes: T tokens of the batch as it is, R tokens that are read.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LEAST = 16
"""Tokens of a prefix, at least: below, the bookkeeping costs more than it spares."""
_WORTH = 0.1
"""The share of the tokens that must be spared."""


@dataclass(frozen=True)
class Cross:
    """Tokens [asking, asking + asks) also see tokens [seen, seen + sees), all of them."""

    asking: int
    asks: int
    seen: int
    sees: int


@dataclass(frozen=True)
class Sharing:
    """How a batch is read.

    take (R,): where each token that is read stands in the batch. of (T,): the token read that stands for each of the
    batch's. segments: lengths of what attends to itself, which sum to R. places (R,): position in the sequence. owners
    (R,): the sequence (of a prefix: the first that has it). crosses: which segments see a prefix too.
    """

    take: Tensor
    of: Tensor
    segments: tuple[int, ...]
    places: Tensor
    owners: Tensor
    crosses: tuple[Cross, ...]


def shared(tokens: Tensor, lengths: Sequence[int], keys: Sequence[int] | None = None) -> Sharing | None:
    """How to read the batch with common prefixes read once; None where that spares less than a tenth.

    A sequence keeps at least one token of its own.

    Args:
        tokens: (T,) sequences end to end.
        lengths: theirs.
        keys: of each sequence, where something random happens in the model: only sequences of one key share.
    """
    if len(lengths) < 2:
        return None
    flat = tokens.detach().cpu().numpy()
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    rows = [flat[a : a + n] for a, n in zip(starts, lengths, strict=True)]
    groups = _groups(rows, keys)
    if sum(prefix * (len(group) - 1) for group, prefix in groups) < _WORTH * len(flat):
        return None
    return _laid(starts, lengths, groups, tokens.device)


def _groups(rows: Sequence[NDArray[np.int64]], keys: Sequence[int] | None) -> list[tuple[list[int], int]]:
    """Sequences and the length of the prefix that they share: neighbours in dictionary order, as long as it pays."""
    order = sorted(range(len(rows)), key=lambda i: (0 if keys is None else keys[i], rows[i].astype(">i8").tobytes()))
    found, group, prefix = list[tuple[list[int], int]](), [order[0]], 0
    for before, i in itertools.pairwise(order):
        same = _common(rows[before], rows[i]) if keys is None or keys[before] == keys[i] else 0
        least = min(same, prefix) if len(group) > 1 else same
        if least >= LEAST and least * len(group) >= prefix * (len(group) - 1):
            group, prefix = [*group, i], least
        else:
            found.append((group, prefix))
            group, prefix = [i], 0
    return [*found, (group, prefix)]


def _common(a: NDArray[np.int64], b: NDArray[np.int64]) -> int:
    """How many tokens both begin with, one less than either has at most."""
    n = min(len(a), len(b)) - 1
    other = np.flatnonzero(a[:n] != b[:n])
    return int(other[0]) if len(other) else n


def _laid(
    starts: NDArray[np.int64], lengths: Sequence[int], groups: Sequence[tuple[list[int], int]], device: torch.device
) -> Sharing:
    take, places, owners = list[NDArray[np.int64]](), list[NDArray[np.int64]](), list[NDArray[np.int64]]()
    of = np.zeros(int(sum(lengths)), np.int64)
    segments, crosses, at = list[int](), list[Cross](), 0

    def read(sequence: int, first: int, last: int) -> None:
        nonlocal at
        n = last - first
        take.append(starts[sequence] + np.arange(first, last))
        places.append(np.arange(first, last))
        owners.append(np.full(n, sequence))
        segments.append(n)
        at += n

    # groups of one kind of length side by side, so that attention can take equal segments together
    for group, prefix in sorted(groups, key=lambda g: (-g[1], -lengths[g[0][0]])):
        seen = at
        if prefix:
            read(group[0], 0, prefix)
        asking = at
        for i in sorted(group, key=lambda i: -lengths[i]):
            of[starts[i] : starts[i] + prefix] = seen + np.arange(prefix)
            of[starts[i] + prefix : starts[i] + lengths[i]] = at + np.arange(lengths[i] - prefix)
            read(i, prefix, int(lengths[i]))
        if prefix:
            crosses.append(Cross(asking, at - asking, seen, prefix))
    tensors = [torch.from_numpy(np.concatenate(x)).to(device) for x in (take, places, owners)]
    return Sharing(tensors[0], torch.from_numpy(of).to(device), tuple(segments), tensors[1], tensors[2], tuple(crosses))
