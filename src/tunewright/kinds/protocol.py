"""What the stages of a run ask of a kind of task, whatever its answers are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from tunewright.core.errors import counted
from tunewright.core.outcomes import Judged
from tunewright.core.records import Record
from tunewright.core.tensors import Facts
from tunewright.encoding import Example, Refused
from tunewright.evaluation import Contender
from tunewright.kinds.answers import Answer
from tunewright.models.forward import ModelForward
from tunewright.models.loading import Found, Loaded
from tunewright.models.saving import Saved
from tunewright.recipe import Recipe
from tunewright.tasks import Task

Splits = Mapping[str, Sequence[Record]]


@dataclass(frozen=True)
class Encoded:
    """A split for the model. records: those that are in it; examples: of these, in order (one or several each).

    left: records that are not, each with its reason. cut: how many texts lost their end. prompts: what replies are
    written to, where the task has any.
    """

    records: list[Record]
    examples: list[Example]
    left: list[Refused] = field(default_factory=list)
    cut: int = 0
    prompts: list[Example] = field(default_factory=list)


def refusals(left: Mapping[str, Sequence[Refused]]) -> str:
    """How many rows of all splits cannot be encoded, for which reasons, with the first in words; empty where all can."""
    gone = [one for part in left.values() for one in part]
    if not gone:
        return ""
    why = ", ".join(f"{n} {reason}" for reason, n in Counter(one.reason for one in gone).most_common())
    return f"{counted(len(gone), 'row')} cannot be encoded: {why}; the first: {gone[0].detail}"


class Kind(Protocol):
    """A kind of task, bound to its data and its model. What it learns of them is saved with the model (`card`).

    `between` is called now and then during what takes long; it may raise to stop.
    """

    between: Callable[[], None] | None

    @property
    def task(self) -> Task: ...
    @property
    def loaded(self) -> Loaded: ...
    @property
    def limit(self) -> int:
        """Tokens of an example, at most."""
        ...

    @property
    def scale(self) -> tuple[Sequence[float], Sequence[float]] | None:
        """Mean and spread, for a forward that scores numbers."""
        ...

    @property
    def altered(self) -> Callable[[Example, int], Example] | None:
        """What a step learns of an example and its key (masked tokens, say); None for the example as it is."""
        ...

    @classmethod
    def begin(cls, recipe: Recipe, found: Found, splits: Splits) -> Self:
        """With the base model at `found`.

        Raises:
            ModelError: it cannot be had, or cannot do this task.
        """
        ...

    @classmethod
    def reopen(cls, saved: Saved, recipe: Recipe | None = None) -> Self:
        """With a tuned model. `recipe` is that of its run, where there is one."""
        ...

    def encode(self, records: Sequence[Record], learn: bool = True) -> Encoded:
        """The records for the model: to learn from, or to be judged on."""
        ...

    def ready(self, splits: Mapping[str, Encoded], recipe: Recipe, kept: Path, key: str) -> dict[str, Encoded]:
        """The splits with what else training needs of the base model: called before anything learns.

        Args:
            splits: as encoded.
            recipe: says precision and device.
            kept: where what is costly is kept for the next call.
            key: what it depends on.
        """
        ...

    def notes(self) -> tuple[str, ...]:
        """What a user should know of how the texts are read, in whole sentences."""
        ...

    def facts(self, examples: Sequence[Example]) -> Facts:
        """What an objective may know of the training set."""
        ...

    def groups(self, examples: Sequence[Example]) -> list[str | None] | None:
        """What a balancing sampler knows each example by; None where there are no classes."""
        ...

    def settle(self, forward: ModelForward, encoded: Encoded) -> None:
        """Settles, on the validation split, what is no parameter: thresholds."""
        ...

    def validated(self, forward: ModelForward, encoded: Encoded) -> Judged:
        """A split judged during training: cheap, without texts written."""
        ...

    def judged(self, forward: ModelForward, encoded: Encoded, contender: str, split: str) -> Judged:
        """What the model says of every item."""
        ...

    def baseline(
        self, name: str, recipe: Recipe, splits: Splits, encoded: Callable[[], Mapping[str, Encoded]]
    ) -> Contender:
        """A baseline with its word on `splits["test"]`.

        Args:
            name: one of the task's.
            recipe: says seed, precision and device.
            splits: train (fitted on), validation (its strength is chosen on; may be empty) and test.
            encoded: the splits for the base model, asked for by those baselines alone that use it.
        """
        ...

    def card(self) -> dict[str, Any]:
        """What is saved beside a model."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """The names of a table's columns for an answer's cells."""
        ...

    def answers(self, forward: ModelForward, records: Sequence[Record]) -> list[Answer]:
        """An answer to each record."""
        ...
