"""The unit in which a regression's errors count."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from tunewright.core.errors import Problem, RecipeError
from tunewright.core.tensors import Batch, Facts

Scale = Literal["spread", "none"] | tuple[float, ...]


def resolve(scale: Scale, facts: Facts) -> tuple[float, ...]:
    """Numbers (K,) for `scale`: each target's standard deviation in training, or 1.

    Raises:
        RecipeError: numbers that are not one a target, or not above zero.
    """
    if scale == "none":
        return tuple(1.0 for _ in facts.labels)
    if scale == "spread":
        return facts.spread or tuple(1.0 for _ in facts.labels)
    if len(scale) != len(facts.labels) or not all(0 < x < float("inf") for x in scale):
        raise RecipeError(
            Problem(where="objective.scale", found=f"{list(scale)}",
                    allowed=f"{len(facts.labels)} {'number' if len(facts.labels) == 1 else 'numbers'} above 0, one a target, "
                    "or spread, or none")
        )  # fmt: skip
    return tuple(scale)


def errors(scores: Tensor, batch: Batch, scale: Scale) -> Tensor:
    """(U, K) score minus target in units of `scale`."""
    found = scores - batch.targets.reshape(scores.shape).to(scores.dtype)
    return found / scores.new_tensor(scale) if isinstance(scale, tuple) else found
