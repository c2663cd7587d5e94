"""Whether a reward prefers the reply that people preferred. An item with a thumb is right where its sign is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tunewright.core.outcomes import Margins
from tunewright.core.registry import register
from tunewright.metrics.protocol import Averaged, Floats


class _OfMargins(Averaged):
    no_item: ClassVar[str] = "there is no pair"

    def items(self, p: Margins) -> Floats | None:
        """(N,) values."""
        return self.columns(p)[:, 0]


@register("preference_metric", "accuracy")
@dataclass(frozen=True)
class PairAccuracy(_OfMargins):
    """The share of items whose margin is above 0; one of exactly 0 counts half."""

    name: ClassVar[str] = "accuracy"
    title: ClassVar[str] = "accuracy"
    percent: ClassVar[bool] = True
    binary: ClassVar[bool] = True

    def columns(self, p: Margins) -> Floats:
        """(N, 1): 1 where right, 0.5 where undecided."""
        return (0.5 + 0.5 * np.sign(p.margin()))[:, None]


@register("preference_metric", "margin")
@dataclass(frozen=True)
class MeanMargin(_OfMargins):
    """Reward of the chosen reply minus that of the rejected one, mean over items, in the reward's own unit."""

    name: ClassVar[str] = "margin"
    title: ClassVar[str] = "reward margin"
    bounds: ClassVar[tuple[float, float]] = (float("-inf"), float("inf"))

    def columns(self, p: Margins) -> Floats:
        """(N, 1) margins."""
        return p.margin()[:, None]
