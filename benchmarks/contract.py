"""What a contender is given and what it must give back. Standard library alone: the parent process stays light.

A contender is a function `(rows..., settings) -> Outcome`. It runs in a process of its own, so that its imports, its
memory and its threads are its own too.
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
from typing import Any, Self

WARM_UP_STEPS = 2
PASSES = 3
PROBE_ROWS = 32
KEPT = "over the cache"
"""The name of passes that begin from what frozen layers have made of the same rows before."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every contender of every benchmark must do alike.

    `model` is a folder with the initial weights; `rate` falls linearly to 0 without warm-up; AdamW leaves biases and
    norms without decay; `probe` asks for the loss and the gradient at step 0.
    """

    model: str = ""
    seed: int = 0
    epochs: int = 1
    batch: int = 32
    rate: float = 1e-4
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    clip: float = 1.0
    max_length: int = 512
    probe: bool = True

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The settings that `dataclasses.asdict` and JSON made `values` of."""
        return cls(**{**values, "betas": tuple(values["betas"])})


@dataclass(frozen=True, kw_only=True)
class EncoderSettings(Settings):
    """`model` holds a new head for `labels`; `tutorial_steps` micro steps of the tutorial's contender are played.

    `adaptation` is what a recipe says; `adapter` the folder of a LoRA's initial weights; `cache` the folder in which the
    frozen layers' outputs are kept, empty for memory. `rate` may be "auto". A `survey` asks for what is saved in place of
    step 0 and timed predictions.
    """

    labels: int
    tutorial_steps: int = 200
    adaptation: Any = "full"
    adapter: str = ""
    cache: str = ""
    rate: float | str = 1e-4
    survey: bool = False


@dataclass(frozen=True, kw_only=True)
class CausalSettings(Settings):
    """`adaptation` is full or lora, the latter with `rank` and `alpha` on every linear layer of the body and without
    dropout; `adapter` is the folder of its initial weights, `steps` an upper limit of steps where it is not 0. Where
    rows are packed beforehand, `packs` of them hold about as many tokens as `batch` rows.
    """

    batch: int = 8
    weight_decay: float = 0.0
    adaptation: str = "full"
    lora_rate: float = 2e-3
    rank: int = 16
    alpha: float = 32.0
    adapter: str = ""
    steps: int = 0
    packs: int = 8
    device: str = "cpu"


@dataclass(frozen=True)
class Step:
    """One optimizer step: wall and CPU seconds since the step before, what it saw, and its loss.

    `tokens` counts real tokens (special ones too, padding not); `squares` is the sum of squared lengths; `supervised`
    counts the tokens that the loss is taken of, where it is taken of tokens.
    """

    seconds: float
    cpu_seconds: float
    examples: int
    tokens: int
    squares: int
    loss: float
    supervised: int = 0


@dataclass(frozen=True)
class Probe:
    """Loss and gradient norm of the initial model on the first training rows, every dropout at 0."""

    loss: float
    gradient_norm: float
    rows: int


@dataclass(frozen=True)
class Finish:
    """The moment when the result is there; take it before anything that is not part of the job.

    `device_mib` is the peak of a GPU's memory, where one is used.
    """

    at: float
    cpu_seconds: float
    peak_mib: float
    device_mib: float | None = None

    @classmethod
    def now(cls, device_mib: float | None = None) -> Finish:
        """Wall clock (`time.monotonic`), CPU seconds and peak resident memory of this process so far."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        spent = used.ru_utime + used.ru_stime
        return cls(at=time.monotonic(), cpu_seconds=spent, peak_mib=peak_mib(), device_mib=device_mib)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a contender measured.

    `seconds` names the stages (imports, load, encode, train, predict), `predictions` are label indices in
    the rows' order, empty where the contender does not predict; `passes` holds the seconds of every timed
    prediction pass (token ids in, label indices in the rows' order out) by the name of its setting, after a warm-up.
    `held_out` has the nats and the tokens of every held-out row, for what predicts tokens. `learns` counts the parameters
    that learn, `stored` the bytes of the weights that are saved.
    """

    precision: str
    options: dict[str, Any]
    seconds: dict[str, float]
    train_cpu_seconds: float
    steps: list[Step]
    finish: Finish
    tokens_digest: str
    predictions: list[int] = field(default_factory=list)
    passes: dict[str, list[float]] = field(default_factory=dict)
    held_out: list[tuple[float, int]] = field(default_factory=list)
    probe: Probe | None = None
    learns: int = 0
    stored: int = 0

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

    def steps(
        self, lengths: Sequence[Sequence[int]], losses: Sequence[float], supervised: Sequence[int] = ()
    ) -> list[Step]:
        """The steps, when training is over.

        Args:
            lengths: each step's example lengths.
            losses: its mean loss.
            supervised: its supervised tokens, where the loss is taken of tokens.

        Raises:
            ValueError: there are not as many of each as steps.
        """
        supervised = supervised or [0] * len(losses)
        if not len(self.wall) - 1 == len(lengths) == len(losses) == len(supervised):
            raise ValueError(f"{len(self.wall) - 1} steps, {len(lengths)} groups of lengths, {len(losses)} losses")
        return [
            Step(
                seconds=self.wall[i + 1] - self.wall[i],
                cpu_seconds=self.cpu[i + 1] - self.cpu[i],
                examples=len(lengths[i]),
                tokens=sum(lengths[i]),
                squares=sum(n * n for n in lengths[i]),
                loss=float(losses[i]),
                supervised=supervised[i],
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
