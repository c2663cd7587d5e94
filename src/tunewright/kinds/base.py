"""What most kinds of tasks have in common: how long examples may be, and nothing to prepare, balance or settle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from tunewright.core import registry
from tunewright.core.errors import ModelError, Problem
from tunewright.core.outcomes import Floats, Judged
from tunewright.core.records import Record
from tunewright.encoding import Example, record_of
from tunewright.encoding.codec import Refused
from tunewright.kinds.protocol import Encoded
from tunewright.models.forward import ModelForward
from tunewright.models.loading import Found, Loaded, language_problem
from tunewright.models.places import room
from tunewright.models.saving import Saved
from tunewright.recipe import Recipe


class Base:
    """A kind whose examples are as they are. `default_limit` is their tokens where a recipe says nothing."""

    altered: Callable[[Example, int], Example] | None = None
    between: Callable[[], None] | None = None
    default_limit: ClassVar[int] = 512

    @property
    def scale(self) -> tuple[Sequence[float], Sequence[float]] | None:
        return None

    @classmethod
    def limit_for(cls, recipe: Recipe, loaded: Loaded) -> int:
        """Tokens of an example, at most, for a new run."""
        return min(recipe.model.max_tokens or cls.default_limit, most_tokens(recipe, loaded))

    @staticmethod
    def limit_of(saved: Saved) -> int:
        """Tokens of an example, at most, as the model was tuned with."""
        return int(saved.card.get("max_tokens") or saved.limit)

    def ready(self, splits: Mapping[str, Encoded], recipe: Recipe, kept: Path, key: str) -> dict[str, Encoded]:
        return dict(splits)

    def notes(self) -> tuple[str, ...]:
        return ()

    def groups(self, examples: Sequence[Example]) -> list[str | None] | None:
        return None

    def settle(self, forward: ModelForward, encoded: Encoded) -> None:
        """Nothing is to be settled."""

    def validated(self, forward: ModelForward, encoded: Encoded) -> Judged:
        return self.judged(forward, encoded, "tuned", "validation")

    def judged(self, forward: ModelForward, encoded: Encoded, contender: str, split: str) -> Judged:
        raise NotImplementedError


def most_tokens(recipe: Recipe, loaded: Loaded) -> int:
    """Tokens of an example, at most, beside the places that the adaptation's virtual tokens take.

    Raises:
        RecipeError: they leave none.
    """
    adaptation = registry.build("adaptation", recipe.adaptation)
    return room(loaded.model, loaded.limit, int(getattr(adaptation, "places", 0)))


def decoder(found: Found, to_do: str) -> None:
    """Sees that a decoder lies at `found`.

    Raises:
        ModelError: an encoder, or an encoder-decoder.
    """
    if language_problem(found, masked=False) != "causal_lm":
        raise ModelError(
            Problem(where=f"model {found.name}", found="an encoder-decoder", allowed="a decoder", to_do=to_do)
        )


def without(records: Sequence[Record], refused: Sequence[Refused]) -> list[Record]:
    """The records that encoding has not refused."""
    gone = {one.id for one in refused}
    return [r for r in records if r.id not in gone]


def by_record(records: Sequence[Record], examples: Sequence[Example]) -> Callable[[ArrayLike], Floats]:
    """What adds up numbers of the examples (E,) to sums of their records (N,)."""
    place = {record.id: i for i, record in enumerate(records)}
    owner = np.array([place[record_of(e.id)] for e in examples], np.int64)
    return lambda values: np.bincount(owner, np.asarray(values), len(records)).astype(np.float64)
