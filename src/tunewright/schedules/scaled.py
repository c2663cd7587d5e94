"""A schedule times a number: a peak rate and its shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from tunewright.core.registry import component, register
from tunewright.core.tensors import At, Schedule
from tunewright.schedules.constant import Constant


@register("schedule", "scaled")
@dataclass(frozen=True)
class Scaled:
    """`peak` times the shape `by`."""

    peak: Annotated[float, Ge(0)]
    by: Schedule = component("schedule", default=Constant())

    def __call__(self, at: At) -> float:
        return self.peak * self.by(at)
