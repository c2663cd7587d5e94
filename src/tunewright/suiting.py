"""Whether the objective that a recipe names can learn from the rows as they are."""

from __future__ import annotations

from collections.abc import Sequence

from tunewright.core import registry
from tunewright.core.errors import Problem, RecipeError, counted, listed
from tunewright.encoding import Example
from tunewright.objectives import fitting, takes_soft
from tunewright.recipe import Recipe
from tunewright.recipe_task import member


def refuse_unsuited(recipe: Recipe, training: Sequence[Example]) -> None:
    """Sees that the objective can learn from replies with a thumb, and from labels that are not sure, where there are any.

    Raises:
        RecipeError: it cannot.
    """
    _refuse_thumbs(recipe, training)
    _refuse_soft(recipe, training)


def _refuse_soft(recipe: Recipe, training: Sequence[Example]) -> None:
    soft = sum(e.soft is not None for e in training)
    if not soft or takes_soft(registry.build("objective", recipe.objective)):
        return
    known = sorted(n for n, m in registry.members("objective").items() if getattr(m, "soft", False))
    raise RecipeError(
        Problem(where="objective", allowed=listed(known),
                found=f"{member(recipe.objective)} takes one class a row, and the labels of {counted(soft, 'row')} are not sure",
                to_do="choose one of these, or leave out the rows' soft labels (`arbitrate: {soft: false}`)")
    )  # fmt: skip


def _refuse_thumbs(recipe: Recipe, training: Sequence[Example]) -> None:
    thumbs = any("good" in e.given and e.other is None for e in training)
    if not thumbs or "thumbs" in fitting(registry.build("objective", recipe.objective)):
        return
    known = sorted(n for n, m in registry.members("objective").items() if "thumbs" in getattr(m, "fits", ()))
    raise RecipeError(
        Problem(where="objective", found=f"{member(recipe.objective)} learns from pairs, and the rows are replies with a thumb",
                allowed=listed(known), to_do=f"set objective: {known[0]}, or give rows with a chosen and a rejected reply")
    )  # fmt: skip
