"""A linear rise, then the inner schedule over what remains.

Step 0 already learns: the first factor is 1 / (warm-up steps), not 0, so that no step is spent on nothing.
Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Lt

from tunewright.core.registry import component, register
from tunewright.core.tensors import At, Schedule
from tunewright.schedules.constant import Constant


def warm(at: At, share: float) -> tuple[float | None, At]:
    """The factor while warming up (None afterwards), and the point in time within what remains."""
    warming = math.ceil(share * at.steps)
    if at.step < warming:
        return (at.step + 1) / warming, At(0, at.steps - warming)
    return None, At(at.step - warming, at.steps - warming)


@register("schedule", "warmup")
@dataclass(frozen=True)
class Warmup:
    """Rises over the first `share` of the run to where `inner` starts."""

    share: Annotated[float, Ge(0), Lt(1)] = 0.06
    inner: Schedule = component("schedule", default=Constant())

    def __call__(self, at: At) -> float:
        factor, rest = warm(at, self.share)
        return self.inner(rest) * (1.0 if factor is None else factor)
