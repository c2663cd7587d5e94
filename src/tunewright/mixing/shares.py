"""How many of the examples come from which task, by the tasks' numbers of training rows n_k.

proportional: n_k. equal: all alike. tempered: n_k^(1/T), between the two; T = 1 is proportional, a large T equal. Devlin
2018 (multilingual BERT) drew languages so; Raffel et al. 2020, "Exploring the Limits of Transfer Learning", section
3.5.2, compares the three for tasks (their "temperature-scaled mixing" without its limit).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from tunewright.core.registry import register


def _normalised(amounts: Mapping[str, float]) -> dict[str, float]:
    whole = sum(amounts.values())
    return {name: amount / whole for name, amount in amounts.items()}


@register("mixture", "proportional")
@dataclass(frozen=True)
class Proportional:
    """As many as there are: every row once an epoch."""

    def of(self, rows: Mapping[str, int]) -> dict[str, float]:
        return _normalised(rows)


@register("mixture", "equal")
@dataclass(frozen=True)
class Equal:
    """As many from each task."""

    def of(self, rows: Mapping[str, int]) -> dict[str, float]:
        return _normalised(dict.fromkeys(rows, 1.0))


@register("mixture", "tempered")
@dataclass(frozen=True)
class Tempered:
    """By the number of rows to the power 1 / `temperature`."""

    temperature: Annotated[float, Ge(1)] = 2.0

    def of(self, rows: Mapping[str, int]) -> dict[str, float]:
        return _normalised({name: n ** (1 / self.temperature) for name, n in rows.items()})
