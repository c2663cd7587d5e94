"""What flows through the loop: batches, terms and reports, and the protocols of the families.

Axes: T tokens in all, B examples, U supervised units, C scores a unit, K targets a unit, D model width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from tunewright.core.seeds import key

Unit = Literal["token", "example", "pair", "step"]
Fits = Literal["classes", "labels", "numbers"]
"""What an objective's targets are: class indices (U,), 0 and 1 for every label (U, C), or numbers (U, K)."""


@dataclass(frozen=True)
class At:
    """A point in time: optimizer step `step` of `steps`, counted from 0."""

    step: int
    steps: int

    @property
    def fraction(self) -> float:
        """Share of the run that is done, from 0 to below 1."""
        return self.step / max(self.steps, 1)


@dataclass(frozen=True)
class Batch:
    """Examples laid end to end, without padding.

    tokens (T,): token ids. lengths: B lengths that sum to T. ids: B stable example ids.
    targets (U,) or (U, K): what the supervised units should be. positions (U,): where they are, an
    index into the tokens when `unit` is "token", into the examples when it is "example".
    keys (B,): int64, what this step's random numbers of each example are drawn from; None outside training.
    types (T,): token types where the model has them. weights (U,): factors of the units' losses.
    """

    ids: tuple[str, ...]
    tokens: Tensor
    lengths: tuple[int, ...]
    targets: Tensor
    positions: Tensor
    unit: Unit = "example"
    keys: Tensor | None = None
    types: Tensor | None = None
    weights: Tensor | None = None

    def counts(self) -> dict[Unit, int]:
        """How many of each unit are supervised here; what the loop divides by."""
        n = int(self.positions.numel())
        if self.unit == "token":
            owners = torch.bucketize(self.positions, self.ends(), right=True)
            return {"token": n, "example": int(torch.bincount(owners).count_nonzero()), "step": 1}
        return {self.unit: n, "step": 1}

    def ends(self) -> Tensor:
        """(B,) index one past the last token of each example."""
        return torch.tensor(self.lengths, device=self.tokens.device).cumsum(0)

    def owners(self) -> Tensor:
        """(U,) the example that each supervised unit belongs to."""
        if self.unit == "token":
            return torch.bucketize(self.positions, self.ends(), right=True)
        return self.positions

    def view(self, salt: int) -> Batch:
        """The same examples with other random draws: another view of them for consistency objectives."""
        if self.keys is None:
            return self
        return replace(self, keys=torch.tensor([key(int(k), salt) for k in self.keys], dtype=torch.int64))

    def to(self, device: torch.device) -> Batch:
        """The batch with its tensors on `device`."""

        def move(t: Tensor | None) -> Tensor | None:
            return None if t is None else t.to(device, non_blocking=True)

        return replace(
            self,
            tokens=self.tokens.to(device),
            targets=self.targets.to(device),
            positions=self.positions.to(device),
            keys=move(self.keys),
            types=move(self.types),
            weights=move(self.weights),
        )


@dataclass(frozen=True)
class Term:
    """One part of the loss: a SUM over `unit`. Only the loop divides, by the total over the whole step.

    total (): the sum, with its graph. scale: a factor without unit. rows (B,): detached, each example's
    own mean loss, for samplers and curricula.
    """

    name: str
    total: Tensor
    unit: Unit
    scale: float = 1.0
    rows: Tensor | None = None


@dataclass(frozen=True)
class Report:
    """What one optimizer step did. Plain numbers: the only copy from the device has been made.

    rows: each supervised example's own loss; one without a target is not in it, as it would look easy.
    """

    step: int
    loss: float
    parts: Mapping[str, float]
    totals: Mapping[str, int]
    rows: Mapping[str, float] = field(default_factory=dict)
    gradient_norm: float = 0.0
    rate: float = 0.0


@runtime_checkable
class Forward(Protocol):
    """A model behind one call."""

    def __call__(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        """Scores (U, C) at the supervised units; `nudge` (T, D) is added to the token embeddings."""
        ...

    def nudge_like(self, batch: Batch) -> Tensor:
        """Zeros (T, D) in the embeddings' precision and place."""
        ...


class Objective(Protocol):
    """What is minimised. Never averages; asks the loop to divide by naming a unit."""

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]: ...


class Penalty(Protocol):
    """A function of parameters, with the unit "step"."""

    def __call__(self, parameters: Mapping[str, Tensor], at: At) -> Term: ...


class Schedule(Protocol):
    """A number over time."""

    def __call__(self, at: At) -> float: ...


Number = float | Schedule


def value(number: float | Schedule, at: At) -> float:
    """A number that may be a schedule, at this point in time."""
    return number(at) if callable(number) else float(number)


@dataclass(frozen=True)
class Pool:
    """What a sampler may know about the examples it draws from: ids, labels and lengths, in one order."""

    ids: Sequence[str]
    labels: Sequence[str | None] | None = None
    lengths: Sequence[int] | None = None


class BoundSampler(Protocol):
    """A sampler at work: holds the state that `state` saves and `load` restores exactly."""

    def draw(self, n: int) -> list[str]: ...
    def observe(self, report: Report) -> None: ...
    def state(self) -> dict[str, Any]: ...
    def load(self, state: Mapping[str, Any]) -> None: ...


class Sampler(Protocol):
    """Which example comes next."""

    def bind(self, pool: Pool, seed: int) -> BoundSampler: ...


Gradient = Callable[[], Report]
Parameters = Mapping[str, torch.nn.Parameter]


class BoundUpdate(Protocol):
    """An update at work on its parameters; tensors of its state are saved beside the numbers."""

    def step(self, gradient: Gradient, at: At) -> Report: ...
    def state(self) -> dict[str, Any]: ...
    def load(self, state: Mapping[str, Any]) -> None: ...


class Update(Protocol):
    """What a gradient does to the parameters."""

    def bind(self, parameters: Parameters) -> BoundUpdate: ...


class Adaptation(Protocol):
    """Which parameters learn. `attach` may replace modules; `merge` folds what was learnt into plain weights."""

    def attach(self, model: torch.nn.Module, seed: int) -> torch.nn.Module: ...
    def merge(self, model: torch.nn.Module) -> torch.nn.Module: ...


@dataclass(frozen=True)
class Facts:
    """What an objective may know of the training set: the classes, labels or targets, and how often each occurs.

    For numbers, `mean` and `spread` (standard deviation, never 0) are those of each target.
    """

    labels: tuple[str, ...]
    counts: tuple[int, ...]
    mean: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()


def summed(name: str, losses: Tensor, batch: Batch, scale: float = 1.0) -> Term:
    """The term of per-unit `losses` (U,): weighted by the batch's own weights, summed, with each example's mean.

    An empty batch (nothing supervised) gives a zero that can still be differentiated.
    """
    if batch.weights is not None:
        losses = losses * batch.weights
    owners = batch.owners()
    rows = losses.new_zeros(len(batch.ids), dtype=losses.dtype).index_add_(0, owners, losses.detach())
    if batch.unit == "token":
        rows /= torch.bincount(owners, minlength=len(batch.ids)).clamp(min=1)
    return Term(name, losses.sum(), batch.unit, scale, rows)


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters that learn, by name, in the model's own order."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def total(terms: Iterable[Term]) -> Tensor:
    """The undivided weighted sum of terms: for probes such as an adversarial direction, never for a step."""
    return torch.stack([term.scale * term.total for term in terms]).sum()
