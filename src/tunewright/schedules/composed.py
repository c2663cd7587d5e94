"""Several schedules one after another, each over its own share of the run."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from tunewright.core.registry import build, register
from tunewright.core.tensors import At, Schedule


@register("schedule", "composed")
@dataclass(frozen=True)
class Composed:
    """`parts` in order; `until`: the share of the run at which each part but the last ends, rising."""

    parts: tuple[Any, ...]
    until: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(build("schedule", part, "composed.parts") for part in self.parts))
        edges = (0.0, *self.until, 1.0)
        if len(self.until) != len(self.parts) - 1 or any(a >= b for a, b in itertools.pairwise(edges)):
            raise ValueError(
                f"{len(self.parts)} parts need {max(len(self.parts) - 1, 0)} rising shares between 0 and 1 "
                f"in `until`, found {list(self.until)}"
            )

    def __call__(self, at: At) -> float:
        edges = [0, *(round(share * at.steps) for share in self.until), at.steps]
        part = sum(at.step >= edge for edge in edges[1:-1])
        schedule: Schedule = self.parts[part]
        return schedule(At(at.step - edges[part], max(edges[part + 1] - edges[part], 1)))
