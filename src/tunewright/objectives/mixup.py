"""Mixup of the last hidden states: what an example looks like, and what it should be, mixed with another's.

z = m z_i + (1 - m) z_j,  l = m l(z, y_i) + (1 - m) l(z, y_j),  m = max(b, 1 - b),  b ~ Beta(alpha, alpha)
with z_i the scores of example i, and l the inner objective's loss. Zhang et al. 2018, "mixup: Beyond Empirical Risk
Minimization", equations 1 and 2; of sentences Guo et al. 2019, "Augmenting Data with Mixup for Sentence Classification: An
Empirical Study" (sentMixup). Under a linear head, mixing scores IS mixing the last hidden states: W (m h_i + (1 - m) h_j) + b
= m z_i + (1 - m) z_j; for other heads it is mixing one layer later.

What differs from the papers: there j is another row of the same micro-batch, so the gradient depends on how a step is cut. Here j
is drawn by i's key among the examples of the optimizer step before, whose scores are remembered without a gradient; so the
larger share m is always i's. The first step has nothing to mix with and is the inner objective, as is evaluation. Mixing
token embeddings (wordMixup, or a nudge) is not done: packed examples of different lengths have no positions in common, and a
pair would have to go through the model together. Cost: one forward pass; scores of one step are kept, and saved for resuming.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Gt
from torch import Tensor

from tunewright.core.registry import component, register
from tunewright.core.seeds import key
from tunewright.core.tensors import At, Batch, Fits, Forward, Term
from tunewright.objectives.cross_entropy import CrossEntropy
from tunewright.objectives.wrapping import Wrapping

Units = tuple[int, Tensor, Tensor]
"""Of one example: its key in that step, the scores (n, C) and the targets (n,) or (n, C) of its units."""


@dataclass
class _Memory:
    """The units of the step at work, and those of the one before, by example id."""

    step: int = -1
    now: dict[str, Units] = field(default_factory=dict)
    before: dict[str, Units] = field(default_factory=dict)

    def turn(self, step: int) -> None:
        """Go on to a step; one that was left behind is another run, which begins with nothing."""
        if step != self.step:
            self.before, self.now = (self.now if step == self.step + 1 else {}), {}
            self.step = step

    def note(self, batch: Batch, scores: Tensor) -> None:
        """Remember a batch as it was when first seen in this step; of an example that was drawn twice, the lesser key."""
        assert batch.keys is not None
        owners, keys = batch.owners(), batch.keys.tolist()
        for i in sorted(set(owners.tolist())):
            known = self.now.get(batch.ids[i])
            if known is None or keys[i] < known[0]:
                mine = owners == i
                self.now[batch.ids[i]] = (keys[i], scores[mine].detach().clone(), batch.targets[mine].clone())


class _Mixed:
    """A forward whose scores are mixed with others."""

    def __init__(self, forward: Forward, share: Tensor, others: Tensor) -> None:
        self.forward, self.share, self.others = forward, share, others

    def __call__(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        scores = self.forward(batch, nudge)
        share = self.share.to(scores)
        return share * scores + (1 - share) * self.others.to(scores)

    def losses(self, batch: Batch, nudge: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        return F.cross_entropy(self(batch, nudge), batch.targets, label_smoothing=smoothing, reduction="none")

    def nudge_like(self, batch: Batch) -> Tensor:
        return self.forward.nudge_like(batch)


@register("objective", "mixup")
@dataclass(frozen=True)
class Mixup(Wrapping):
    """`alpha`: of the Beta distribution; small ones mix little, 1 mixes evenly."""

    fits: ClassVar[tuple[Fits, ...]] = ("classes",)
    soft: ClassVar[bool] = True
    inner: Any = component("objective", default=CrossEntropy())
    alpha: Annotated[float, Gt(0)] = 0.4
    _memory: _Memory = field(default_factory=_Memory, init=False, repr=False, compare=False)

    def state(self) -> dict[str, Any]:
        memory = self._memory
        now = {id_: [k, scores.tolist(), targets.tolist()] for id_, (k, scores, targets) in sorted(memory.now.items())}
        return {"inner": super().state(), "step": memory.step, "now": now}

    def load(self, state: Mapping[str, Any]) -> None:
        super().load(state["inner"])
        self._memory.step = int(state["step"])
        self._memory.before = {}
        self._memory.now = {
            id_: (int(k), torch.tensor(scores, dtype=torch.float64), torch.tensor(targets))
            for id_, (k, scores, targets) in state["now"].items()
        }

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        if batch.keys is None or not batch.positions.numel():
            return tuple(self.inner(forward, batch, at))
        self._memory.turn(at.step)
        scores = forward(batch)
        self._memory.note(batch, scores)
        if not self._memory.before:
            return tuple(self.inner(forward, batch, at))
        share, others, targets = self._partners(batch, scores)
        mixed = _Mixed(forward, share[:, None], others)
        weights = torch.ones_like(share) if batch.weights is None else batch.weights.to(share)
        mine = self.inner(mixed, replace(batch, weights=weights * share), at)
        theirs = self.inner(mixed, replace(batch, weights=weights * (1 - share), targets=targets), at)
        return (*mine, *theirs)

    def _partners(self, batch: Batch, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(U,) each unit's own share, (U, C) its partner's scores, and the partner's targets."""
        assert batch.keys is not None
        known, keys, nth = sorted(self._memory.before), batch.keys.tolist(), dict[int, int]()
        shares, others, targets = [], [], []
        for i in batch.owners().tolist():
            nth[i] = nth.get(i, -1) + 1
            _, theirs, wanted = self._memory.before[known[key(keys[i], "mixup partner") % len(known)]]
            unit = key(keys[i], "mixup unit", nth[i]) % len(theirs)
            drawn = float(np.random.default_rng(key(keys[i], "mixup share")).beta(self.alpha, self.alpha))
            shares.append(max(drawn, 1 - drawn))
            others.append(theirs[unit])
            targets.append(wanted[unit])
        share = scores.new_tensor(shares)
        return share, torch.stack(others).to(scores), torch.stack(targets).to(batch.targets)
