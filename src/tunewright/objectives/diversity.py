"""Diversity: frequent tokens count for less, so that replies are not made of what fits everywhere.

The inner objective's units are weighted by w_c = n_c^-s / k for the target c, n_c how often it is a target in training,
k such that the mean weight over the training tokens is 1.
Nakamura et al. 2018, "Another Diversity-Promoting Objective Function for Neural Dialogue Generation" (inverse token
frequency). Li et al. 2016, "A Diversity-Promoting Objective Function" (MMI), which it goes back to, is a rule of decoding.

What differs from the paper: k, so that a rate keeps its meaning. Tokens that training never asks for count as seen once.
Reads the counts of tokens (V,) from the facts. Unit: the inner objective's. Cost: nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Self

import torch
from annotated_types import Ge, Le

from tunewright.core.errors import Problem, RecipeError
from tunewright.core.registry import component, register
from tunewright.core.tensors import At, Batch, Facts, Fits, Forward, Term
from tunewright.objectives.cross_entropy import CrossEntropy
from tunewright.objectives.wrapping import Wrapping


@register("objective", "diversity")
@dataclass(frozen=True)
class Diversity(Wrapping):
    """`strength` s: 0 is the inner objective alone, 1 gives every token of the vocabulary the same share."""

    fits: ClassVar[tuple[Fits, ...]] = ("tokens",)
    inner: Any = component("objective", default=CrossEntropy())
    strength: Annotated[float, Ge(0), Le(1)] = 0.5
    _weights: torch.Tensor | None = field(default=None, init=False, repr=False, compare=False)

    def prepare(self, facts: Facts) -> Self:
        """The same objective with a weight for every token.

        Raises:
            RecipeError: the training tokens were not counted.
        """
        if not sum(facts.counts):
            raise RecipeError(
                Problem(where="objective.diversity", found="no counts of training tokens",
                        allowed="a task whose targets are tokens")
            )  # fmt: skip
        found = super().prepare(facts)
        counts = torch.tensor([*facts.counts, 0], dtype=torch.float64)  # the last one is for tokens beyond
        weights = counts.clamp(min=1) ** -self.strength
        object.__setattr__(found, "_weights", weights * counts.sum() / (counts * weights).sum())
        return found

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        if self._weights is None:
            raise ValueError("diversity is prepared with the counts of tokens before it is used")
        known = self._weights.to(batch.targets.device)
        weights = known[batch.targets.clamp(max=len(known) - 1)]
        if batch.weights is not None:
            weights = weights * batch.weights
        terms: tuple[Term, ...] = self.inner(forward, replace(batch, weights=weights), at)
        return terms
