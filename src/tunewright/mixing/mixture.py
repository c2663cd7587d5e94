"""Examples of several tasks, each drawn by a sampler of its own.

The next example is of the task that lies furthest behind its share. So every step holds the tasks in their shares, within
one example, and by proportional shares every row comes once an epoch; which row of a task it is, its own sampler says,
keyed as ever. Drawing the tasks by chance would leave a step now and then without a small one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunewright.core.tensors import BoundSampler, Report


class Mixture:
    """A bound sampler over those of the tasks; an id is the task's own with its name before: `sentiment:4f1c`."""

    def __init__(self, samplers: Mapping[str, BoundSampler], shares: Mapping[str, float]) -> None:
        self.samplers, self.shares = dict(samplers), dict(shares)
        self.drawn = dict.fromkeys(self.samplers, 0)

    def draw(self, n: int) -> list[str]:
        out = []
        for _ in range(n):
            after = sum(self.drawn.values()) + 1
            task = max(self.drawn, key=lambda k: self.shares[k] * after - self.drawn[k])
            self.drawn[task] += 1
            out += [named(task, i) for i in self.samplers[task].draw(1)]
        return out

    def observe(self, report: Report) -> None:
        """Every task's sampler sees its own part."""
        for task, sampler in self.samplers.items():
            sampler.observe(report.of(task))

    def state(self) -> dict[str, Any]:
        return {"drawn": dict(self.drawn), "tasks": {task: s.state() for task, s in self.samplers.items()}}

    def load(self, state: Mapping[str, Any]) -> None:
        self.drawn = {task: int(state["drawn"][task]) for task in self.samplers}
        for task, sampler in self.samplers.items():
            sampler.load(state["tasks"][task])


def named(task: str, id_: str) -> str:
    """An example's id among those of several tasks."""
    return f"{task}:{id_}"
