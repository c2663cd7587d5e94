"""A task weighs as much as it has training rows.  w_k proportional to n_k, with mean 1, times the recipe's weight.

Where every task's loss is a mean of its own, this makes a row count alike whatever its task. Cost: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunewright.core.registry import register
from tunewright.mixing.fixed import Constant
from tunewright.mixing.protocol import Part


@register("weighting", "size")
@dataclass(frozen=True)
class Size:
    """By the number of training rows."""

    def bind(self, parts: Sequence[Part]) -> Constant:
        mean = sum(part.rows for part in parts) / len(parts)
        return Constant({part.name: part.weight * part.rows / mean for part in parts})
