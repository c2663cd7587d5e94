"""The ladder below a tuned model: a recipe's baselines, fitted on a run's training rows, on any items."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from tunewright.core.records import Record
from tunewright.encoding import Example
from tunewright.evaluation import Contender
from tunewright.evaluation.ladders import LADDERS
from tunewright.models.forward import ModelForward
from tunewright.models.loading import Loaded
from tunewright.models.precision import chosen, chosen_device
from tunewright.models.scoring import features
from tunewright.recipe import Recipe
from tunewright.tasks import Bound

Splits = Mapping[str, Sequence[Record]]
Frozen = Callable[[], tuple[Loaded, Mapping[str, Sequence[Example]]]]


def baseline(name: str, recipe: Recipe, splits: Splits, bound: Bound, frozen: Frozen) -> Contender:
    """The baseline `name` with its predictions of `splits["test"]`.

    Args:
        name: majority, tfidf or linear.
        splits: train (fitted on), validation (its strength is chosen on; may be empty) and test.
        bound: the task, with its labels in the order of the tuned model's.
        frozen: the base model before it was tuned and the examples of each split, asked for by `linear` alone.
    """
    train, held, test = splits["train"], splits["validation"] or None, splits["test"]
    ladder = LADDERS[bound.task.name]
    if name == "majority":
        return ladder.majority(train, test, validation=held, labels=bound.labels)
    if name == "tfidf":
        return ladder.tfidf(train, test, recipe.seed, validation=held, labels=bound.labels)
    return _linear(recipe, splits, bound, *frozen())


def _linear(
    recipe: Recipe, splits: Splits, bound: Bound, loaded: Loaded, examples: Mapping[str, Sequence[Example]]
) -> Contender:
    loaded.model.to(chosen_device(recipe.model.device))
    forward = ModelForward(loaded.model, precision=chosen(recipe.model.precision, recipe.model.device))
    found = {name: features(forward, part) for name, part in examples.items() if name != "test"}
    began = time.perf_counter()
    found["test"] = features(forward, examples["test"])
    spent = (time.perf_counter() - began) / max(len(examples["test"]), 1)
    forward.release()
    held = splits["validation"]
    return LADDERS[bound.task.name].linear(
        found["train"], splits["train"], found["test"], splits["test"], recipe.seed,
        validation_features=found["validation"] if held else None, validation=held or None, labels=bound.labels, seconds=spent,
    )  # fmt: skip
