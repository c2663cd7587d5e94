"""Half a cosine from 1 to `floor`, after a warm-up. Loshchilov and Hutter 2017, "SGDR", without restarts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Lt

from tunewright.core.registry import register
from tunewright.core.tensors import At
from tunewright.schedules.warmup import warm


@register("schedule", "cosine")
@dataclass(frozen=True)
class Cosine:
    """Falls along a cosine from 1 to `floor`; the first `warmup` share of the run rises to 1."""

    warmup: Annotated[float, Ge(0), Lt(1)] = 0.0
    floor: Annotated[float, Ge(0)] = 0.0

    def __call__(self, at: At) -> float:
        factor, rest = warm(at, self.warmup)
        if factor is not None:
            return factor
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * rest.fraction))
