"""The same number all the time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from tunewright.core.registry import register
from tunewright.core.tensors import At


@register("schedule", "constant")
@dataclass(frozen=True)
class Constant:
    """`value` at every step."""

    value: Annotated[float, Ge(0)] = 1.0

    def __call__(self, at: At) -> float:
        return self.value
