"""Every example once an epoch, in an order keyed by the example and the epoch.

The order of an epoch is a sort by hash(seed, epoch, id): it does not depend on the order of the file, and all
the state there is to save is how many examples were drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunewright.core.registry import register
from tunewright.core.seeds import key
from tunewright.core.tensors import Pool, Report


class Epochs:
    """Walks through `order(epoch)`, one epoch after another; state: the number drawn."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self.pool, self.seed, self.drawn = pool, seed, 0
        self._epoch, self._order = -1, list[str]()

    def order(self, epoch: int) -> list[str]:
        """The ids of one epoch, in the order in which they are drawn."""
        return sorted(self.pool.ids, key=lambda i: key(self.seed, "shuffle", epoch, i))

    def draw(self, n: int) -> list[str]:
        out: list[str] = []
        while len(out) < n:
            epoch, place = divmod(self.drawn, len(self.pool.ids))
            if epoch != self._epoch:
                self._epoch, self._order = epoch, self.order(epoch)
            taken = self._order[place : place + n - len(out)]
            out += taken
            self.drawn += len(taken)
        return out

    def observe(self, report: Report) -> None:
        """Nothing to learn from a report."""

    def state(self) -> dict[str, Any]:
        return {"drawn": self.drawn}

    def load(self, state: Mapping[str, Any]) -> None:
        self.drawn = int(state["drawn"])


@register("sampler", "shuffle")
@dataclass(frozen=True)
class Shuffle:
    """A new order every epoch."""

    def bind(self, pool: Pool, seed: int) -> Epochs:
        return Epochs(pool, seed)
