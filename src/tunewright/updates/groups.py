"""Groups of parameters that an update treats alike but for the rate, each with an update of its own inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunewright.core.tensors import At, BoundUpdate, Gradient, Number, Parameters, Report, Update, value
from tunewright.updates.adamw import RATE


@dataclass(frozen=True)
class Times:
    """`number` multiplied by `factor`: the rate of one group."""

    factor: float
    number: Number

    def __call__(self, at: At) -> float:
        return self.factor * value(self.number, at)


@dataclass(frozen=True)
class Group:
    """`parameters` whose rate is `factor` times the others'; they learn at the steps that `learns` says."""

    parameters: Parameters
    factor: float = 1.0
    learns: Callable[[At], bool] = lambda at: True


def paced(update: Update, factor: float) -> Update:
    """The update with its rate, or that of the update inside it, multiplied by `factor`."""
    inside: Any = update
    if hasattr(inside, "inner"):
        paced_inside: Update = replace(inside, inner=paced(inside.inner, factor))
        return paced_inside
    changed: Update = replace(inside, rate=Times(factor, RATE if inside.rate is None else inside.rate))
    return changed


class Grouped:
    """One bound update a group; the gradient is computed once a step and each of them takes its part of it."""

    def __init__(self, update: Update, groups: Sequence[Group]) -> None:
        self.groups = [g for g in groups if g.parameters]
        self.bound: list[BoundUpdate] = [paced(update, g.factor).bind(g.parameters) for g in self.groups]

    def step(self, gradient: Gradient, at: At) -> Report:
        """Parameters whose time has not come need no gradient, so that backward stops above them."""
        for group in self.groups:
            due = group.learns(at)
            for parameter in group.parameters.values():
                parameter.requires_grad_(due)
        report = gradient()
        stepped = [
            bound.step(lambda: report, at)
            for group, bound in zip(self.groups, self.bound, strict=True)
            if group.learns(at)
        ]
        return replace(report, rate=max((r.rate for r in stepped), default=0.0))

    def state(self) -> dict[str, Any]:
        """Every group's tensors, by name."""
        return {"tensors": {n: t for bound in self.bound for n, t in bound.state()["tensors"].items()}}

    def load(self, state: Mapping[str, Any]) -> None:
        for group, bound in zip(self.groups, self.bound, strict=True):
            own = {n: t for n, t in state["tensors"].items() if n.split(":", 1)[1] in group.parameters}
            bound.load({**state, "tensors": own})
