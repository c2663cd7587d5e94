"""Rare classes are drawn more often.

Draws are without end: class c is drawn with probability proportional to count_c^power (power 0: all classes
alike; power 1: as they are), and within a class every example comes once before any comes twice. Mahajan et al.
2018 ("Exploring the Limits of Weakly Supervised Pretraining") used power 0.5.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Le

from tunewright.core.registry import register
from tunewright.core.seeds import uniform
from tunewright.core.tensors import Pool, Report
from tunewright.samplers.shuffle import Epochs


@register("sampler", "balanced")
@dataclass(frozen=True)
class Balanced:
    """`power` from 0 (all classes alike) to 1 (as in the data)."""

    needs_labels: ClassVar[bool] = True
    power: Annotated[float, Ge(0), Le(1)] = 0.0

    def bind(self, pool: Pool, seed: int) -> _Balanced:
        if pool.labels is None:
            raise ValueError("the balanced sampler needs labels")
        return _Balanced(self.power, pool, seed)


class _Balanced:
    def __init__(self, power: float, pool: Pool, seed: int) -> None:
        assert pool.labels is not None
        groups: dict[str, list[str]] = {}
        for id_, label in zip(pool.ids, pool.labels, strict=True):
            groups.setdefault(str(label), []).append(id_)
        names = sorted(groups)
        self.classes = [Epochs(Pool(groups[name]), seed) for name in names]
        self.edges = list(accumulate(len(groups[name]) ** power for name in names))
        self.seed, self.drawn = seed, 0

    def draw(self, n: int) -> list[str]:
        out = []
        for _ in range(n):
            at = uniform(self.seed, "balanced", self.drawn) * self.edges[-1]
            out += self.classes[min(bisect(self.edges, at), len(self.edges) - 1)].draw(1)
            self.drawn += 1
        return out

    def observe(self, report: Report) -> None:
        """Nothing to learn from a report."""

    def state(self) -> dict[str, Any]:
        return {"drawn": self.drawn, "classes": [c.drawn for c in self.classes]}

    def load(self, state: Mapping[str, Any]) -> None:
        self.drawn = int(state["drawn"])
        for walker, drawn in zip(self.classes, state["classes"], strict=True):
            walker.drawn = int(drawn)
