"""What a tagger reads and says of tokens: places of tokens in their texts, scores and hidden states token by token."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tunewright.core.outcomes import Floats
from tunewright.core.tensors import Batch
from tunewright.encoding import Aligned, Example
from tunewright.models.forward import ModelForward
from tunewright.models.scoring import BUDGET, laid


def aligning(tokenizer: Any) -> Aligned:
    """A fast tokenizer as encoding's Aligned: ids, each token's characters, and lengths before truncation."""

    def aligned(texts: Sequence[str], limit: int) -> tuple[list[list[int]], list[list[tuple[int, int]]], list[int]]:
        whole = _tokens(tokenizer, texts, truncation=False)
        full = [len(ids) for ids, _ in whole]
        long = [i for i, n in enumerate(full) if n > limit]
        if long:
            cut = _tokens(tokenizer, [texts[i] for i in long], truncation=True, max_length=limit)
            for i, one in zip(long, cut, strict=True):
                whole[i] = one
        return [ids for ids, _ in whole], [places for _, places in whole], full

    return aligned


def _tokens(tokenizer: Any, texts: Sequence[str], **how: Any) -> list[tuple[list[int], list[tuple[int, int]]]]:
    said = tokenizer(list(texts), return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False, **how)
    parts = zip(said["input_ids"], said["offset_mapping"], said["special_tokens_mask"], strict=True)
    return [
        (ids, [(0, 0) if special else (start, end) for (start, end), special in zip(places, mask, strict=True)])
        for ids, places, mask in parts
    ]


def tag_scores(forward: ModelForward, examples: Sequence[Example], budget: int = BUDGET) -> tuple[list[Floats], Floats]:
    """(m, G) scores of each example's supervised tokens, in the order of `examples`, and the seconds that each took."""
    return _each(forward, forward, examples, budget)


def token_states(
    forward: ModelForward, examples: Sequence[Example], budget: int = BUDGET
) -> tuple[list[Floats], Floats]:
    """(m, D) the body's hidden states of each example's supervised tokens, and the seconds that each took."""
    return _each(forward, forward.hidden, examples, budget)


def _each(
    forward: ModelForward, said: Callable[[Batch], Tensor], examples: Sequence[Example], budget: int
) -> tuple[list[Floats], Floats]:
    found: list[NDArray[Any]] = [np.zeros((0, 1))] * len(examples)
    seconds = np.zeros(len(examples))
    with forward.evaluating():
        for places, batch in laid(examples, budget):
            began = time.perf_counter()
            rows = said(batch).float().cpu().numpy()
            owners = batch.owners().cpu().numpy()
            ends = np.searchsorted(owners, np.arange(len(places) + 1))
            for k, place in enumerate(places):
                found[place] = rows[ends[k] : ends[k + 1]]
            seconds[places] = (time.perf_counter() - began) / len(places)
    return found, seconds
