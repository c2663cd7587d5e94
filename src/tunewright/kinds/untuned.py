"""The base model as it is, as a contender."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tunewright.core.outcomes import Judged
from tunewright.evaluation import Contender
from tunewright.kinds.protocol import Encoded
from tunewright.models.forward import ModelForward
from tunewright.models.loading import Loaded
from tunewright.models.precision import chosen, chosen_device
from tunewright.recipe import Recipe

NAME, TITLE = "untuned", "Base model, untuned"


@contextmanager
def standing(loaded: Loaded, recipe: Recipe) -> Iterator[ModelForward]:
    """The base model ready to answer; put back as it was after."""
    loaded.model.to(chosen_device(recipe.model.device))
    layout = None if recipe.model.layout == "auto" else recipe.model.layout
    forward = ModelForward(loaded.model, layout=layout, precision=chosen(recipe.model.precision, recipe.model.device))
    try:
        yield forward
    finally:
        forward.release()


class _Judging(Protocol):
    @property
    def loaded(self) -> Loaded: ...
    def judged(self, forward: ModelForward, encoded: Encoded, contender: str, split: str) -> Judged: ...


def untuned(kind: _Judging, recipe: Recipe, items: Encoded) -> Contender:
    """What the base model says of every item."""
    with standing(kind.loaded, recipe) as forward:
        return Contender(kind.judged(forward, items, NAME, "test"), TITLE)
