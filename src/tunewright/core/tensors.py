"""What flows through the loop: batches, terms and reports, and the protocols of the families.

Axes: T tokens in all, B examples, S sequences, U supervised units, C scores a unit, K targets a unit, D model width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from tunewright.core.sampled import Sampled
from tunewright.core.seeds import key

Unit = Literal["token", "example", "pair", "chosen", "step"]
"""What a sum is over; "chosen" are the tokens of the preferred sequences of pairs."""
Fits = Literal["classes", "labels", "numbers", "tokens", "pairs", "thumbs", "rewards"]
"""What an objective's targets are: class indices (U,), 0 and 1 for every label (U, C), numbers (U, K), tokens of the
vocabulary (U,); or none: the tokens of a chosen and a rejected sequence (pairs), of sequences that are good or bad
(thumbs), or one score for each sequence of a pair (rewards)."""

IGNORED = -100
"""Stands where a token is not supervised, as PyTorch and transformers have it."""


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
class Decoder:
    """The decoder's side of a batch for an encoder-decoder: what it reads, laid end to end; one sequence an example."""

    tokens: Tensor
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Examples laid end to end, without padding.

    tokens (T,): token ids. lengths: S lengths that sum to T. ids: B stable example ids. sides: sequences an example;
    with 2, sequences 2i and 2i + 1 are what example i prefers and what it rejects, and S = 2B, else S = B.
    targets (U,) or (U, K): what the supervised units should be; of classes (U, C), a float, how likely each of them is
    to be right, where any unit's is not sure. positions (U,): where they are, an index into the
    tokens when `unit` is "token" (into the decoder's where there is one), into the examples when it is "example", into
    the sequences when it is "pair".
    keys (B,): int64, what this step's random numbers of each example are drawn from; None outside training.
    types (T,): token types where the model has them. weights (U,): factors of the units' losses.
    given: further numbers by name, (B,) or (S,): a reference model's scores, say.
    task: which of several tasks the examples are of; "" where there is one.
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
    sides: int = 1
    decoder: Decoder | None = None
    given: Mapping[str, Tensor] = field(default_factory=dict)
    task: str = ""

    def counts(self) -> dict[str, int]:
        """How many of each unit are supervised here; what the loop divides by.

        One of several tasks also counts its own, such as "example:sentiment".
        """
        n = int(self.positions.numel())
        counted: dict[str, int] = {"step": 1}
        if self.unit == "token":
            supervised = int(torch.bincount(self.owners()).count_nonzero())
            counted |= {"token": n, "example": supervised}
            if self.sides == 2:
                counted |= {"pair": supervised, "chosen": int((self.sequences() % 2 == 0).sum())}
        elif self.unit == "pair":
            counted |= {"pair": len(self.ids), "example": len(self.ids)}
        else:
            counted[self.unit] = n
        if self.task:
            counted |= {qualified(unit, self.task): k for unit, k in counted.items() if unit != "step"}
        return counted

    def ends(self) -> Tensor:
        """(S,) index one past the last token of each sequence, on the side that is supervised."""
        lengths = self.lengths if self.decoder is None else self.decoder.lengths
        return torch.tensor(lengths, device=self.tokens.device).cumsum(0)

    def sequences(self) -> Tensor:
        """(U,) the sequence that each supervised unit belongs to."""
        if self.unit == "token":
            return torch.bucketize(self.positions, self.ends(), right=True)
        return self.positions

    def owners(self) -> Tensor:
        """(U,) the example that each supervised unit belongs to."""
        return self.sequences() // self.sides if self.sides > 1 else self.sequences()

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
            decoder=self.decoder and Decoder(self.decoder.tokens.to(device), self.decoder.lengths),
            given={name: t.to(device) for name, t in self.given.items()},
        )


@dataclass(frozen=True)
class Term:
    """One part of the loss: a SUM over `unit`. Only the loop divides, by the total over the whole step.

    total (): the sum, with its graph. unit: a Unit, or one `qualified` by a task. scale: a factor without unit.
    rows (B,): detached, each example's own mean loss, for samplers and curricula. watched: it is reported, and no part of
    the loss.
    """

    name: str
    total: Tensor
    unit: str
    scale: float = 1.0
    rows: Tensor | None = None
    watched: bool = False


@dataclass(frozen=True)
class Report:
    """What one optimizer step did. Plain numbers: the only copy from the device has been made.

    rows: each supervised example's own loss; one without a target is not in it, as it would look easy.
    parts: the loss's, which sum to it. watched: what is reported beside it.
    """

    step: int
    loss: float
    parts: Mapping[str, float]
    totals: Mapping[str, int]
    rows: Mapping[str, float] = field(default_factory=dict)
    gradient_norm: float = 0.0
    rate: float = 0.0
    watched: Mapping[str, float] = field(default_factory=dict)

    def of(self, task: str) -> Report:
        """What it says of one of several tasks, in that task's own names."""

        def own(values: Mapping[str, float]) -> dict[str, float]:
            return {n.removeprefix(f"{task}/"): x for n, x in values.items() if n.startswith(f"{task}/")}

        parts = own(self.parts)
        totals = {u.removesuffix(f":{task}"): n for u, n in self.totals.items() if u.endswith(f":{task}")}
        rows = {i.removeprefix(f"{task}:"): x for i, x in self.rows.items() if i.startswith(f"{task}:")}
        return replace(self, loss=sum(parts.values()), parts=parts, totals=totals, rows=rows, watched=own(self.watched))


def qualified(unit: str, task: str) -> str:
    """The name of one task's units; a step is everyone's."""
    return unit if unit == "step" else f"{unit}:{task}"


@runtime_checkable
class Forward(Protocol):
    """A model behind one call."""

    def __call__(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        """Scores (U, C) at the supervised units; `nudge` (T, D) is added to the token embeddings."""
        ...

    def losses(self, batch: Batch, nudge: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        """(U,) what predicting each target costs, -log p in nats, label-smoothed (`cross_entropy` says how).

        For a large vocabulary the scores (U, C) are never in memory at once.
        """
        ...

    def nudge_like(self, batch: Batch) -> Tensor:
        """Zeros (T, D) in the embeddings' precision and place."""
        ...


@runtime_checkable
class Forwards(Protocol):
    """Models of several tasks."""

    def of(self, task: str) -> Forward:
        """The forward of one of them."""
        ...


class Parted(Protocol):
    """A forward that parts its last product from the rest, for those who need scores of a large vocabulary in blocks.

    `cost(states(batch), batch.targets, s)` is `losses(batch, None, s)`, and `scores(states(batch))` is the forward's own.
    """

    def states(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        """(U, D) what the scores of the supervised units are made of."""
        ...

    def scores(self, states: Tensor) -> Tensor:
        """Scores (u, C) of some units' states (u, D); without chance."""
        ...

    def cost(self, states: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """(u,) -log p of the targets (u,), as `losses` has it."""
        ...

    def embeddings(self) -> Tensor:
        """(V, D') the table of token embeddings."""
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
    """What a sampler may know about the examples it draws from, in one order: ids, labels, lengths, and scores by name."""

    ids: Sequence[str]
    labels: Sequence[str | None] | None = None
    lengths: Sequence[int] | None = None
    scores: Mapping[str, Sequence[float]] | None = None


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


Role = Literal["stores", "chooses", "adds"]
"""What an adaptation does: change how frozen weights are stored, choose among the model's own parameters which learn, or
add parameters of its own and freeze the model's."""


class Adaptation(Protocol):
    """Which parameters learn. `attach` may replace modules; `merge` folds what was learnt into plain weights.

    `role` says where it may stand in a chain; `rate_factor` how many times the learning rate of full fine-tuning suits it.
    """

    @property
    def role(self) -> Role: ...
    @property
    def rate_factor(self) -> float: ...
    def attach(self, model: torch.nn.Module, seed: int) -> torch.nn.Module: ...
    def merge(self, model: torch.nn.Module) -> torch.nn.Module: ...


@dataclass(frozen=True)
class Facts:
    """What an objective may know of the training set: the classes, labels or targets, and how often each occurs.

    For numbers, `mean` and `spread` (standard deviation, never 0) are those of each target.
    Where targets are tokens, `counts` (V,) says how often each is one; `sampled` draws replies where the model writes them.
    """

    labels: tuple[str, ...]
    counts: tuple[int, ...]
    mean: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    sampled: Sampled | None = None


def summed(name: str, losses: Tensor, batch: Batch, scale: float = 1.0) -> Term:
    """The term of per-unit `losses` (U,): weighted by the batch's own weights, summed, with each example's mean.

    An empty batch (nothing supervised) gives a zero that can still be differentiated.
    """
    if batch.weights is not None:
        losses = losses * batch.weights
    owners = batch.owners()
    rows = losses.new_zeros(len(batch.ids), dtype=losses.dtype).index_add_(0, owners, losses.detach())
    if batch.unit != "example":
        rows /= torch.bincount(owners, minlength=len(batch.ids)).clamp(min=1)
    return Term(name, losses.sum(), batch.unit, scale, rows)


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters that learn, by name, in the model's own order."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def parameters_of(model: torch.nn.Module) -> int:
    """How many parameters a model has: of a weight kept in few bits, as many as it stands for (its layer's `stored`)."""
    return sum(p.numel() for p in model.parameters()) + sum(int(getattr(m, "stored", 0)) for m in model.modules())


def total(terms: Iterable[Term]) -> Tensor:
    """The undivided weighted sum of terms: for probes such as an adversarial direction, never for a step."""
    return torch.stack([term.scale * term.total for term in terms if not term.watched]).sum()
