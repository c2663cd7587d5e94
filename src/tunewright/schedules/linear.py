"""A straight line from 1 to `floor`, after a warm-up. Devlin et al. 2019 (BERT) trained with this one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Lt

from tunewright.core.registry import register
from tunewright.core.tensors import At
from tunewright.schedules.warmup import warm


@register("schedule", "linear")
@dataclass(frozen=True)
class Linear:
    """Falls linearly from 1 to `floor`; the first `warmup` share of the run rises to 1."""

    warmup: Annotated[float, Ge(0), Lt(1)] = 0.0
    floor: Annotated[float, Ge(0)] = 0.0

    def __call__(self, at: At) -> float:
        factor, rest = warm(at, self.warmup)
        return factor if factor is not None else self.floor + (1 - self.floor) * (1 - rest.fraction)
