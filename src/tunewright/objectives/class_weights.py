"""Weights of classes, from a recipe's words to numbers in the order of the classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from tunewright.core.effective import effective_weights
from tunewright.core.errors import Problem, RecipeError, closest, listed
from tunewright.core.tensors import Facts

ClassWeights = Literal["balanced", "effective"] | dict[str, float] | tuple[float, ...] | None


def resolve(weights: ClassWeights, facts: Facts, where: str = "objective.class_weights") -> tuple[float, ...] | None:
    """Numbers (C,) for `weights`, which the recipe has at `where`.

    "balanced" gives n / (C x count), as scikit-learn does, so that the mean over the training examples is 1.
    "effective" gives one over the effective number of examples (`core.effective`), with the same mean: milder for large sets.

    Raises:
        RecipeError: a class that does not exist, a class without a weight, or a weight below zero.
    """
    if weights is None:
        return None
    if isinstance(weights, tuple):
        if len(weights) != len(facts.labels) or not all(weight >= 0 for weight in weights):
            raise RecipeError(
                Problem(where=where, found=f"{list(weights)}",
                        allowed=f"{len(facts.labels)} numbers of 0 or more, in the order {listed(facts.labels)}",
                        to_do="name each label with its weight")
            )  # fmt: skip
        return weights
    if weights == "balanced":
        n, classes = sum(facts.counts), len(facts.counts)
        return tuple(n / (classes * max(count, 1)) for count in facts.counts)
    if weights == "effective":
        return effective_weights(facts.counts)
    assert isinstance(weights, Mapping)
    problems = [
        Problem(where=f"{where}.{name}", found="no such class", allowed=listed(facts.labels),
                to_do=closest(name, facts.labels) or "use the labels as they stand in the data")
        for name in weights if name not in facts.labels
    ]  # fmt: skip
    problems += [
        Problem(where=f"{where}.{name}", found=f"{weight}", allowed="a number of 0 or more")
        for name, weight in weights.items()
        if not weight >= 0
    ]
    problems += [
        Problem(where=where, found=f"no weight for class {name!r}", allowed="one for every class")
        for name in facts.labels
        if name not in weights
    ]
    if problems:
        raise RecipeError(*problems)
    return tuple(float(weights[name]) for name in facts.labels)
