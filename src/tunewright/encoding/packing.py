"""Batches without padding: the tokens of all examples end to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from tunewright.core.seeds import key
from tunewright.core.tensors import IGNORED, Batch, Decoder
from tunewright.encoding.examples import Example, Target


def pack(examples: Sequence[Example], *, seed: int | None = None, step: int = 0) -> Batch:
    """One batch of `examples`; an example without a target takes part but is not supervised.

    Args:
        seed: with it, every example gets a key of its own for this step's random numbers.

    Raises:
        ValueError: some of the examples have two sides and others one.
    """
    sides = 2 if examples and examples[0].other is not None else 1
    if any((e.other is not None) != (sides == 2) for e in examples):
        raise ValueError("a batch holds examples with two sides or with one, not both")
    sequences = list(examples) if sides == 1 else [s for e in examples for s in (e, e.other) if s is not None]
    keys = None
    if seed is not None:
        keys = torch.tensor([key(seed, step, e.id) for e in examples], dtype=torch.int64)
    types = None
    if any(s.types is not None for s in sequences):
        parts = [np.zeros(len(s.tokens), dtype=np.int64) if s.types is None else s.types for s in sequences]
        types = torch.from_numpy(np.concatenate(parts))
    decoder = None
    if sequences and sequences[0].decoder is not None:
        read = [s.decoder for s in sequences if s.decoder is not None]
        decoder = Decoder(torch.from_numpy(np.concatenate(read)), tuple(len(tokens) for tokens in read))
    unit = examples[0].unit if examples else "example"
    targets, positions = _supervised(sequences, unit)
    batch = Batch(
        ids=tuple(e.id for e in examples),
        tokens=torch.from_numpy(np.concatenate([s.tokens for s in sequences])),
        lengths=tuple(len(s.tokens) for s in sequences),
        targets=targets,
        positions=positions,
        unit=unit,
        keys=keys,
        types=types,
        sides=sides,
        decoder=decoder,
        given=_given(examples, sequences),
    )
    if all(e.weight == 1.0 for e in examples):
        return batch
    weights = torch.tensor([e.weight for e in examples], dtype=torch.float32)
    return replace(batch, weights=weights[batch.owners()])


def _supervised(sequences: Sequence[Example], unit: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets and positions of the supervised units."""
    if unit == "token":
        nothing = np.zeros(0, np.int64)
        flat = np.concatenate(
            [np.asarray(s.target) if s.target is not None else np.full(_places(s), IGNORED) for s in sequences]
            or [nothing]
        )
        places = np.flatnonzero(flat != IGNORED)
        return torch.from_numpy(flat[places].astype(np.int64)), torch.from_numpy(places)
    if unit == "pair":
        return torch.zeros(0), torch.arange(len(sequences))
    known = [i for i, s in enumerate(sequences) if s.target is not None]
    supervised = [sequences[i] for i in known]
    soft = [s.soft for s in supervised if s.soft is not None]
    if soft:
        targets = torch.from_numpy(np.stack([_probabilities(s, len(soft[0])) for s in supervised]))
    else:
        targets = _targets([s.target for s in supervised])
    return targets, torch.tensor(known, dtype=torch.int64)


def _probabilities(example: Example, classes: int) -> NDArray[np.float32]:
    """(C,) how likely each class is to be right: all on the target's where it is sure."""
    return np.eye(classes, dtype=np.float32)[example.target] if example.soft is None else example.soft


def _places(sequence: Example) -> int:
    return len(sequence.tokens if sequence.decoder is None else sequence.decoder)


def _given(examples: Sequence[Example], sequences: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Numbers by name: (B,) of the examples, and (S,) those that the other side has too."""
    found = {}
    for name in examples[0].given if examples else ():
        both = all(name in s.given for s in sequences)
        found[name] = torch.tensor([s.given[name] for s in (sequences if both else examples)], dtype=torch.float64)
    return found


def _targets(targets: Sequence[Target | None]) -> torch.Tensor:
    if targets and isinstance(targets[0], np.ndarray):
        return torch.from_numpy(np.stack(targets))  # type: ignore[arg-type]
    return torch.tensor(targets, dtype=torch.int64)


def collate(
    examples: Mapping[str, Example],
    seed: int,
    altered: Callable[[Example, int], Example] | None = None,
    device: torch.device | None = None,
) -> Callable[[Sequence[str], int], Batch]:
    """What a window calls: (ids, step) -> the packed batch with this step's keys.

    Args:
        examples: by id.
        seed: of the keys.
        altered: makes of an example and its key what this step learns of it (other tokens masked, say).
        device: where the batch goes, so that objectives find its targets beside the scores; None for where it is made.
    """

    def made(ids: Sequence[str], step: int) -> Batch:
        chosen = [examples[i] for i in ids]
        if altered is not None:
            chosen = [altered(e, key(seed, step, e.id)) for e in chosen]
        batch = pack(chosen, seed=seed, step=step)
        return batch if device is None or device.type == "cpu" else batch.to(device)

    return made
