"""Functions of all scores of a unit, without all scores of all units in memory.

Where the vocabulary is large, scores (U, V) are the largest tensor of a step by far. A forward that parts its last
product has `states(batch) -> (U, D)` and `scores(states (u, D)) -> (u, V)`; then scores are made for some units at a time,
used, thrown away, and made again for the gradient. Axes: U supervised units, u units of a chunk, V scores a unit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from tunewright.core.tensors import Batch, Forward

LARGEST = 2**24
"""Scores that are held at once: 64 MiB in float32."""

Scoring = Callable[[Tensor], Tensor]


def parted(forward: Forward, batch: Batch) -> tuple[Tensor, Scoring]:
    """(U, D) states and what makes scores (u, V) of some of them; the scores themselves where nothing is parted."""
    own: Any = forward
    if batch.unit == "token" and hasattr(own, "states") and hasattr(own, "scores"):
        return own.states(batch), own.scores
    return forward(batch), lambda scores: scores


def per_unit(
    function: Callable[..., Tensor],
    scoring: Scoring,
    *states: Tensor,
    beside: tuple[Tensor, ...] = (),
    wide: int = 1,
) -> Tensor:
    """`function(scores, ..., *beside)` (U, ...) over all units, in chunks.

    Args:
        function: of scores (u, V), one for each of `states`, and of `beside` at the same units; gives (u, ...).
        scoring: makes scores of states; as `parted` gives it. Without chance: it is called again for the gradient.
        states: each (U, D).
        beside: tensors (U, ...) that are cut likewise.
        wide: how many numbers a unit `function` needs besides, where these may be more than scores.

    Memory: `LARGEST` scores for each of `states` and what `function` makes of them, whatever U is. Time: above that
    size the scores are made twice.
    """
    units = len(states[0])
    width = max(scoring(states[0][:1].detach()).shape[-1], wide, 1) if units else 1
    size = max(LARGEST // width, 1)

    def chunk(*cut: Tensor) -> Tensor:
        return function(*(scoring(part) for part in cut[: len(states)]), *cut[len(states) :])

    if units <= size:
        return chunk(*states, *beside)
    with set_checkpoint_early_stop(False):  # it stops by an error, which a user's function might take for its own
        made = [
            checkpoint(
                chunk, *(t[i : i + size] for t in (*states, *beside)), use_reentrant=False, preserve_rng_state=False
            )
            for i in range(0, units, size)
        ]
    return torch.cat(made)
