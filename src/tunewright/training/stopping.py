"""Early stopping: a value that the caller of the loop asks after each validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass
class Patience:
    """Remembers the best value of a metric and how many validations have passed without a better one.

    `patience` None never stops, but still knows the best. `least` is what counts as better.
    """

    higher: bool
    patience: int | None = None
    least: float = 0.0
    best: float | None = None
    best_step: int = 0
    waited: int = 0

    def saw(self, value: float | None, step: int) -> bool:
        """Enter a value (None: it could not be computed); True when it is the best so far."""
        sign = 1.0 if self.higher else -1.0
        if value is not None and (self.best is None or sign * (value - self.best) > self.least):
            self.best, self.best_step, self.waited = value, step, 0
            return True
        self.waited += 1
        return False

    @property
    def over(self) -> bool:
        """Whether it is time to stop."""
        return self.patience is not None and self.waited >= self.patience

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "best_step": self.best_step, "waited": self.waited}

    def load(self, state: Mapping[str, Any]) -> None:
        self.best, self.best_step, self.waited = state["best"], int(state["best_step"]), int(state["waited"])
