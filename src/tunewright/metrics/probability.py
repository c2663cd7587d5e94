"""How good the probabilities are: log-loss and Brier score. Both are means over items, lower is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tunewright.core.records import Predictions
from tunewright.core.registry import register
from tunewright.metrics.protocol import Averaged, Better, Floats


@register("metric", "log_loss")
@dataclass(frozen=True)
class LogLoss(Averaged):
    """-log of the probability given to the gold class, in nats.

    A probability of 0 counts as the smallest step of float64 (2.2e-16, 36 nats), as in scikit-learn.
    """

    name: ClassVar[str] = "log_loss"
    title: ClassVar[str] = "log-loss"
    better: ClassVar[Better] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, float(-np.log(np.finfo(np.float64).eps)))

    def items(self, p: Predictions) -> Floats | None:
        """(N,) nats."""
        return self.columns(p)[:, 0]

    def columns(self, p: Predictions) -> Floats:
        """(N, 1) nats."""
        p = p.supervised()
        given = p.scores[np.arange(len(p)), p.gold][:, None]
        return np.asarray(-np.log(np.clip(given, np.finfo(np.float64).eps, 1.0)))


@register("metric", "brier")
@dataclass(frozen=True)
class Brier(Averaged):
    """Sum over classes of (probability - truth)^2 (Brier 1950), halved where there are two classes.

    Halved, the two-class score is the familiar (probability of the positive class - truth)^2.
    """

    name: ClassVar[str] = "brier"
    title: ClassVar[str] = "Brier score"
    better: ClassVar[Better] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, 2.0)

    def items(self, p: Predictions) -> Floats | None:
        """(N,) squared distances."""
        return self.columns(p)[:, 0]

    def columns(self, p: Predictions) -> Floats:
        """(N, 1) squared distances."""
        p = p.supervised()
        truth = np.eye(len(p.labels))[p.gold]
        squares = ((p.scores - truth) ** 2).sum(axis=1, keepdims=True)
        return np.asarray(squares / 2 if len(p.labels) == 2 else squares)
