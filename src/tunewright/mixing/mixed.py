"""The loss of several tasks: each batch is of one, and is given to that task's own objective.

L = sum_k factor_k L_k + cost_k, with L_k task k's own loss, divided by its own units of the whole step: the terms' units are
qualified ("example:sentiment"), so a task's part does not depend on how many examples of others a step holds, nor on how
the step is cut. Beside the parts, the weights are reported ("sentiment/weight").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tunewright.core.tensors import At, Batch, Forward, Objective, Report, Term, qualified
from tunewright.mixing.protocol import BoundWeighting

COST, WEIGHT = "uncertainty", "weight"


class Mixed:
    """Holds an objective a task (prepared), the weighting, and the weights `shared` whose gradients it looks at."""

    def __init__(
        self, objectives: Mapping[str, Any], weighting: BoundWeighting, shared: torch.nn.Parameter | None = None
    ) -> None:
        if weighting.needs_norms and shared is None:
            raise ValueError("this weighting looks at weights that all tasks share and that learn: there are none")
        self.objectives: Mapping[str, Objective] = objectives
        self.weighting = weighting
        self._task, self._seen = "", set[int]()
        self._gradients: dict[str, Tensor] = {}
        self._kept: list[Batch] = []
        self._hook: Any = None
        if weighting.needs_norms and shared is not None:
            self._hook = shared.register_hook(self._caught)  # type: ignore[no-untyped-call]

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        task = batch.task
        self._turn(task, batch)
        factor, cost = self.weighting.factor(task), self.weighting.cost(task)
        own = self.objectives[task](forward, batch, at)
        terms = [
            replace(t, name=f"{task}/{t.name}", unit=qualified(t.unit, task),
                    scale=t.scale if t.watched else factor * t.scale)
            for t in own
        ]  # fmt: skip
        unit = next(t.unit for t in terms if not t.watched)
        n = torch.tensor(float(batch.counts()[unit]), dtype=torch.float64)
        terms.append(Term(f"{task}/{WEIGHT}", factor * n, unit, watched=True))
        if cost:
            terms.append(Term(f"{task}/{COST}", cost * n, unit))
        return tuple(terms)

    def _turn(self, task: str, batch: Batch) -> None:
        """The gradients that come next are this task's; a batch that comes again begins the step anew."""
        if self._hook is None:
            return
        if id(batch) in self._seen:
            self._forget()
        self._task = task
        self._seen.add(id(batch))
        self._kept.append(batch)  # so that no other takes its id

    def _caught(self, gradient: Tensor) -> None:
        before = self._gradients.get(self._task)
        self._gradients[self._task] = gradient.detach().clone() if before is None else before + gradient.detach()

    def _forget(self) -> None:
        self._seen.clear()
        self._gradients.clear()
        self._kept.clear()

    def observe(self, report: Report) -> None:
        """Weighs the tasks anew for the next step; each task's objective sees its own part."""
        losses = {}
        for task, objective in self.objectives.items():
            own = report.of(task)
            if WEIGHT not in own.watched or not any(own.totals.values()):
                continue
            factor = self.weighting.factor(task)
            parts = {name: x / factor for name, x in own.parts.items() if name != COST}
            losses[task] = sum(parts.values())
            if hasattr(objective, "observe"):
                objective.observe(replace(own, parts=parts, loss=losses[task]))
        norms = {task: float(g.double().norm()) for task, g in self._gradients.items()}
        self._forget()
        self.weighting.observe(losses, norms)

    def weights(self) -> dict[str, float]:
        """What each task weighs now."""
        return {task: self.weighting.factor(task) for task in self.objectives}

    def release(self) -> None:
        """Looks at no gradient any more."""
        if self._hook is not None:
            self._hook.remove()

    def state(self) -> dict[str, Any]:
        own = {task: o.state() for task, o in self.objectives.items() if hasattr(o, "state")}
        return {"weighting": self.weighting.state(), "tasks": own}

    def load(self, state: Mapping[str, Any]) -> None:
        self.weighting.load(state["weighting"])
        for task, own in state["tasks"].items():
            objective: Any = self.objectives[task]
            objective.load(own)
