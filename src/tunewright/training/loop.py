"""The loop: a generator that yields one report a step and does nothing else.

    for report in train(forward, windows, objective, update, parameters, steps=plan.steps):
        log(report)                    # the caller logs, evaluates, saves, and breaks to stop early

No printing, no files, no clock, no callbacks. A term is a sum with a unit; this is the only place that divides,
by the total of that unit over the whole optimizer step, counted before any backward pass.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from tunewright.core.errors import NotFinite, Problem, listed
from tunewright.core.tensors import (
    At,
    Batch,
    BoundUpdate,
    Forward,
    Objective,
    Parameters,
    Penalty,
    Report,
    Term,
)
from tunewright.training.once import Once

Totals = Mapping[str, int]


def train(
    forward: Forward,
    windows: Iterator[Sequence[Batch]],
    objective: Objective,
    update: BoundUpdate,
    parameters: Parameters,
    *,
    steps: int,
    start: int = 0,
    penalties: Sequence[Penalty] = (),
    reduce: Callable[[Totals], Totals] = lambda totals: totals,
) -> Iterator[Report]:
    """Optimizer steps `start` to `steps` - 1, one report each.

    Args:
        forward: the model.
        windows: the micro-batches of each step; how a step is cut into them changes no gradient.
        objective: what is minimised.
        update: what the gradient does, bound to `parameters`.
        parameters: what learns, by name.
        penalties: functions of the parameters, added once a step.
        reduce: adds up the totals of several processes; the identity for one.

    Raises:
        NotFinite: the loss or the gradient is not finite; names the examples. The parameters are as before the step.
        ValueError: a term names a unit that no batch of the step counts.
    """
    for step in range(start, steps):
        window, at = next(windows), At(step, steps)
        totals = reduce(count(window))

        def gradient(window: Sequence[Batch] = window, at: At = at, totals: Totals = totals) -> Report:
            """Leaves d loss / d parameters in .grad; may be called more than once a step."""
            for parameter in parameters.values():
                parameter.grad = None
            kept: list[tuple[Batch | None, Term, Tensor]] = []
            for batch in window:
                remembered = Once(forward, batch.task)
                shares = [(batch, term, _share(term, totals)) for term in objective(remembered, batch, at)]
                _backward([share for _, term, share in shares if not term.watched])
                kept += [(batch, term, share.detach()) for batch, term, share in shares]
            for penalty in penalties:
                term = penalty(parameters, at)
                share = _share(term, totals)
                _backward([share])
                kept.append((None, term, share.detach()))
            return _report(at, totals, kept, _norm(parameters))

        yield update.step(gradient, at)


def count(window: Sequence[Batch]) -> dict[str, int]:
    """How many of each unit a step holds; "step" itself is one, however it is cut."""
    totals: Counter[str] = Counter()
    for batch in window:
        totals.update({str(unit): n for unit, n in batch.counts().items()})
    return {**totals, "step": 1}


def _share(term: Term, totals: Totals) -> Tensor:
    if term.unit not in totals:  # an objective's bug: its sum would go undivided
        counted = ", ".join(sorted(totals))
        raise ValueError(
            f"term {term.name!r} is a sum over {term.unit!r}, but the batches of this step count {counted}"
        )
    return term.scale * term.total / max(totals[term.unit], 1)


def _backward(shares: Sequence[Tensor]) -> None:
    live = [share for share in shares if share.requires_grad]
    if live:
        torch.stack(live).sum().backward()  # type: ignore[no-untyped-call]


def _norm(parameters: Parameters) -> Tensor:
    gradients = [p.grad for p in parameters.values() if p.grad is not None]
    return torch.nn.utils.get_total_norm(gradients) if gradients else torch.zeros(())


def _report(at: At, totals: Totals, kept: Sequence[tuple[Batch | None, Term, Tensor]], norm: Tensor) -> Report:
    """Brings every number of the step to the host in one copy and checks that all are finite."""
    rows = [term.rows for _, term, _ in kept if term.rows is not None]
    pieces = [norm.reshape(1), *(share.reshape(1) for _, _, share in kept), *rows]
    numbers = torch.cat([piece.to(norm.device, torch.float64) for piece in pieces]).tolist()
    gradient_norm, shares, flat = numbers[0], numbers[1 : 1 + len(kept)], iter(numbers[1 + len(kept) :])
    parts: dict[str, float] = {}
    watched: dict[str, float] = {}
    losses: dict[int, dict[str, float]] = {}
    supervised: dict[int, set[str]] = {}
    for (batch, term, _), share in zip(kept, shares, strict=True):
        kind = watched if term.watched else parts
        kind[term.name] = kind.get(term.name, 0.0) + share
        own = [next(flat) for _ in range(0 if term.rows is None else len(term.rows))]
        if not math.isfinite(share):
            raise _not_finite(at, term.name, share, batch, rows=own)
        if batch is not None and own and not term.watched:
            before = losses.setdefault(id(batch), {})
            before |= {i: before.get(i, 0.0) + term.scale * row for i, row in zip(batch.ids, own, strict=True)}
            supervised[id(batch)] = {batch.ids[i] for i in batch.owners().tolist()}
    if not math.isfinite(gradient_norm):
        window = [batch for batch, _, _ in kept if batch is not None]
        raise _not_finite(at, "gradient norm", gradient_norm, None, window=window)
    rows_by_id = {i: row for b, by_id in losses.items() for i, row in by_id.items() if i in supervised[b]}
    return Report(at.step, sum(parts.values()), parts, dict(totals), rows_by_id, gradient_norm, watched=watched)


def _not_finite(
    at: At, name: str, found: float, batch: Batch | None, *, rows: Sequence[float] = (), window: Sequence[Batch] = ()
) -> NotFinite:
    """The error that names the examples whose own loss is not finite, or else all that took part."""
    if batch is not None:
        window = [batch]
    known = zip(batch.ids, rows, strict=True) if batch is not None and rows else ()
    guilty = [id_ for id_, row in known if not math.isfinite(row)]
    ids = list(dict.fromkeys(guilty or (i for b in window for i in b.ids)))
    return NotFinite(
        Problem(
            where=f"training step {at.step + 1} of {at.steps}, {name}",
            found=f"{found} on the examples {listed(ids, 8)}" if ids else f"{found}",
            allowed="a finite number",
            to_do="lower training.rate, clip the gradient, or set precision: float32; the last checkpoint is intact",
        )
    )
