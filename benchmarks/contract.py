"""What a contender is given and what it must give back. Standard library alone: the parent process stays light.

A contender is a function `(train_texts, train_labels, valid_texts, settings) -> Outcome`. It runs in a process
of its own, so that its imports, its memory and its threads are its own too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import resource
import struct
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WARM_UP_STEPS = 2
PASSES = 3
PROBE_ROWS = 32


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every contender must do alike.

    `model` is a folder with the initial weights, the new head included; `rate` falls linearly to 0 without
    warm-up; AdamW leaves biases and norms without decay; `probe` asks for the loss and the gradient at step 0.
    """

    model: str
    labels: int
    seed: int
    epochs: int = 1
    batch: int = 32
    rate: float = 1e-4
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    clip: float = 1.0
    max_length: int = 512
    tutorial_steps: int = 200
    probe: bool = True

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Settings:
        """The settings that `dataclasses.asdict` and JSON made `values` of."""
        return cls(**{**values, "betas": tuple(values["betas"])})


@dataclass(frozen=True)
class Step:
    """One optimizer step: wall and CPU seconds since the step before, what it saw, and its loss.

    `tokens` counts real tokens (special ones too, padding not); `squares` is the sum of squared lengths.
    """

    seconds: float
    cpu_seconds: float
    examples: int
    tokens: int
    squares: int
    loss: float


@dataclass(frozen=True)
class Probe:
    """Loss and gradient norm of the initial model on the first training rows, every dropout at 0."""

    loss: float
    gradient_norm: float
    rows: int


@dataclass(frozen=True)
class Finish:
    """The moment when the predictions are there; take it before anything that is not part of the job."""

    at: float
    cpu_seconds: float
    peak_mib: float

    @classmethod
    def now(cls) -> Finish:
        """Wall clock (`time.monotonic`), CPU seconds and peak resident memory of this process so far."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return cls(at=time.monotonic(), cpu_seconds=used.ru_utime + used.ru_stime, peak_mib=peak_mib())


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a contender measured.

    `seconds` names the stages (imports, load, encode, train, predict), `predictions` are label indices in
    the rows' order, empty where the contender does not predict; `passes` holds the seconds of every timed
    prediction pass (token ids in, label indices in the rows' order out) by the name of its setting, after a warm-up.
    """

    precision: str
    options: dict[str, Any]
    seconds: dict[str, float]
    train_cpu_seconds: float
    steps: list[Step]
    predictions: list[int]
    passes: dict[str, list[float]]
    finish: Finish
    tokens_digest: str
    probe: Probe | None = None

    def as_json(self) -> dict[str, Any]:
        """The outcome as plain values."""
        return dataclasses.asdict(self)


@dataclass
class Ticks:
    """Wall and CPU clock at the start of training and after each optimizer step; nothing else while it runs."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def tick(self) -> None:
        """Call once when training begins, then after every optimizer step."""
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())

    def steps(self, lengths: Sequence[Sequence[int]], losses: Sequence[float]) -> list[Step]:
        """The steps, when training is over. `lengths`: each step's example lengths; `losses`: its mean loss.

        Raises:
            ValueError: there are not as many lengths and losses as steps.
        """
        if not len(self.wall) - 1 == len(lengths) == len(losses):
            raise ValueError(f"{len(self.wall) - 1} steps, {len(lengths)} groups of lengths, {len(losses)} losses")
        return [
            Step(
                seconds=self.wall[i + 1] - self.wall[i],
                cpu_seconds=self.cpu[i + 1] - self.cpu[i],
                examples=len(lengths[i]),
                tokens=sum(lengths[i]),
                squares=sum(n * n for n in lengths[i]),
                loss=float(losses[i]),
            )
            for i in range(len(losses))
        ]


def peak_mib() -> float:
    """Peak resident memory of this process in MiB.

    Linux carries the parent's peak over into `ru_maxrss` when a child is started; the kernel's own high-water
    mark begins anew with the program, so it is preferred where there is one.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    scale = 1024 * 1024 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def tokens_digest(rows: Iterable[Sequence[int]]) -> str:
    """A hash of unpadded token ids, row by row, so that contenders can be shown to have read the same."""
    digest = hashlib.blake2b(digest_size=16)
    for row in rows:
        digest.update(struct.pack(f"<{len(row) + 1}q", len(row), *row))
    return digest.hexdigest()
