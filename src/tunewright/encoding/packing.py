"""Batches without padding: the tokens of all examples end to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from tunewright.core.seeds import key
from tunewright.core.tensors import Batch
from tunewright.encoding.examples import Example, Target


def pack(examples: Sequence[Example], *, seed: int | None = None, step: int = 0) -> Batch:
    """One batch of `examples`; an example without a target takes part but is not supervised.

    Args:
        seed: with it, every example gets a key of its own for this step's random numbers.
    """
    supervised = [i for i, e in enumerate(examples) if e.target is not None]
    keys = None
    if seed is not None:
        keys = torch.tensor([key(seed, step, e.id) for e in examples], dtype=torch.int64)
    types = None
    if any(e.types is not None for e in examples):
        parts = [np.zeros(len(e), dtype=np.int64) if e.types is None else e.types for e in examples]
        types = torch.from_numpy(np.concatenate(parts))
    return Batch(
        ids=tuple(e.id for e in examples),
        tokens=torch.from_numpy(np.concatenate([e.tokens for e in examples])),
        lengths=tuple(len(e) for e in examples),
        targets=_targets([examples[i].target for i in supervised]),
        positions=torch.tensor(supervised, dtype=torch.int64),
        unit="example",
        keys=keys,
        types=types,
    )


def _targets(targets: Sequence[Target | None]) -> torch.Tensor:
    if targets and isinstance(targets[0], np.ndarray):
        return torch.from_numpy(np.stack(targets))  # type: ignore[arg-type]
    return torch.tensor(targets, dtype=torch.int64)


def collate(examples: Mapping[str, Example], seed: int) -> Callable[[Sequence[str], int], Batch]:
    """What a window calls: (ids, step) -> the packed batch with this step's keys."""
    return lambda ids, step: pack([examples[i] for i in ids], seed=seed, step=step)
