"""What a weighting of tasks is, and what it may know of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tunewright.core.tensors import Fits


@dataclass(frozen=True)
class Part:
    """One of several tasks: its name, its training rows, the recipe's weight, and what its targets are."""

    name: str
    rows: int
    weight: float = 1.0
    fits: Fits = "classes"


class BoundWeighting(Protocol):
    """A weighting at work. A step's loss is the sum over its tasks of `factor(task)` times the task's loss, and `cost(task)`.

    Both hold for a whole step; `observe` alone changes them. `needs_norms` says whether it wants gradients' norms.
    """

    needs_norms: bool

    def factor(self, task: str) -> float: ...
    def cost(self, task: str) -> float: ...

    def observe(self, losses: Mapping[str, float], norms: Mapping[str, float]) -> None:
        """After a step.

        Args:
            losses: of the tasks that took part, each divided by its own units and without weight.
            norms: of factor times loss, the gradient's at the last shared weights; where they are wanted.
        """
        ...

    def state(self) -> dict[str, Any]: ...
    def load(self, state: Mapping[str, Any]) -> None: ...


class Weighting(Protocol):
    """What each task weighs."""

    def bind(self, parts: Sequence[Part]) -> BoundWeighting: ...


class Shares(Protocol):
    """How many of the examples come from which task."""

    def of(self, rows: Mapping[str, int]) -> dict[str, float]:
        """Each task's share, for tasks with so many training rows; they sum to one."""
        ...
