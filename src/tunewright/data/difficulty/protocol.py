"""What a measure of difficulty is given, and several of them over rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import DataError, Problem
from tunewright.core.registry import build, name_of
from tunewright.data.journal import Draft

Floats = NDArray[np.float64]
Loss = Callable[[Sequence[str], Sequence[str]], Floats]
"""Prompts and replies to the (N,) mean loss a token of each reply after its prompt; an empty prompt is none."""


@dataclass(frozen=True)
class Means:
    """What a measure may work with: the seed, and a language model's losses where one is named."""

    seed: int = 0
    loss: Loss | None = None


class Difficulty(Protocol):
    """A frozen dataclass registered in the family "difficulty"."""

    def __call__(self, drafts: Sequence[Draft], means: Means) -> Floats:
        """(N,) finite numbers, the higher the harder, that do not depend on the rows' order.

        Raises:
            DataError: the rows lack what it goes by.
        """
        ...


def measured(drafts: Sequence[Draft], by: Sequence[object], means: Means) -> Mapping[str, Floats]:
    """Every measure of `by` (names, or names with options) over the rows.

    Raises:
        RecipeError: there is no such measure. DataError: with what the rows lack, of all measures at once.
    """
    problems, out = list[Problem](), dict[str, Floats]()
    for i, spec in enumerate(by):
        measure = build("difficulty", spec, f"difficulty[{i}]")
        try:
            scores = np.asarray(measure(drafts, means), np.float64)
        except DataError as error:
            problems += error.problems
            continue
        if scores.shape != (len(drafts),) or not np.isfinite(scores).all():
            raise ValueError(f"{name_of(measure)} gave {scores.shape}, or numbers that are not finite")
        out[name_of(measure)] = scores
    if problems:
        raise DataError(*problems)
    return out
