"""A forward that remembers its passes, so that a second objective has them for nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from torch import Tensor

from tunewright.core.tensors import Batch, Forward, Forwards, Parted


class Once:
    """Passes over a batch as it is are made once; a nudged one is made each time. Lives for one batch of a window.

    Of the forwards of several tasks it is that of the batch's own.
    """

    def __init__(self, forward: Forward, task: str = "") -> None:
        if task and isinstance(forward, Forwards):
            forward = forward.of(task)
        self.forward = forward
        self._parted = cast(Parted, forward) if all(hasattr(forward, n) for n in ("states", "scores", "cost")) else None
        self._made: dict[tuple[Any, ...], tuple[Batch, Tensor]] = {}

    def __call__(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        if nudge is not None:
            return self.forward(batch, nudge)
        parted = self._parts(batch)
        if parted is None:
            return self._once("scores", batch, lambda: self.forward(batch))
        return self._once("scores", batch, lambda: parted.scores(self.states(batch)))

    def losses(self, batch: Batch, nudge: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        if nudge is not None:
            return self.forward.losses(batch, nudge, smoothing)
        parted, name = self._parts(batch), f"losses {smoothing}"
        if parted is None:
            return self._once(name, batch, lambda: self.forward.losses(batch, None, smoothing))
        return self._once(name, batch, lambda: parted.cost(self.states(batch), batch.targets, smoothing))

    def states(self, batch: Batch, nudge: Tensor | None = None) -> Tensor:
        """As the forward's own; the scores themselves where it does not part them."""
        parted = self._parts(batch)
        if parted is None:
            return self(batch, nudge)
        return (
            parted.states(batch, nudge)
            if nudge is not None
            else self._once("states", batch, lambda: parted.states(batch))
        )

    def scores(self, states: Tensor) -> Tensor:
        """Of what `states` gave."""
        return states if self._parted is None else self._parted.scores(states)

    def cost(self, states: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """As the forward's own, where it parts its scores."""
        return cast(Parted, self.forward).cost(states, targets, smoothing)

    def embeddings(self) -> Tensor:
        """The forward's own table."""
        return cast(Parted, self.forward).embeddings()

    def nudge_like(self, batch: Batch) -> Tensor:
        return self.forward.nudge_like(batch)

    def _parts(self, batch: Batch) -> Parted | None:
        return self._parted if batch.unit == "token" else None

    def _once(self, name: str, batch: Batch, make: Callable[[], Tensor]) -> Tensor:
        """What `make` gives, made once for all batches of these very tensors: other weights make no other pass."""
        known = (
            name, batch.unit, batch.sides,
            *map(id, (batch.tokens, batch.targets, batch.positions, batch.keys, batch.types, batch.decoder)),
        )  # fmt: skip
        if known not in self._made:
            self._made[known] = (batch, make())  # the batch is kept, so that no other takes its tensors' ids
        return self._made[known][1]
