"""Soft labels and weights of rows, from the records to the loss of the first step; every other figure goes by the label."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tunewright.bundled import toy_rows
from tunewright.core.errors import RecipeError
from tunewright.core.records import Record, Source
from tunewright.fitting import prepare_fit
from tunewright.kinds import begin
from tunewright.models.loading import find
from tunewright.models.scoring import score
from tunewright.recipe import Recipe, families, parse
from tunewright.suiting import refuse_unsuited
from tunewright.training import train

SOFT = (("cold", 0.25), ("nobody knows", 0.5), ("warm", 0.25))


def records(n: int = 12) -> list[Record]:
    return [Record(f"r{i}", text, label, Source("toy", i)) for i, (text, label) in enumerate(toy_rows(n))]


def recipe(**objective: Any) -> Recipe:
    families()
    return parse(
        {
            "data": {"train": "toy.csv", "text": "text", "label": "label"},
            "model": "toy",
            "objective": objective or "cross_entropy",
            "training": {"batch": 12, "epochs": 1},
        }
    )


def first_step(given: list[Record], asked: Recipe) -> tuple[Mapping[str, float], Any, Any]:
    """Each row's loss in the first step, the kind, and what the untrained model says of every row."""
    splits = {"train": given, "validation": [], "test": given}
    kind = begin(asked, find("toy", None), splits)
    encoded = {name: kind.encode(part) for name, part in splits.items()}
    refuse_unsuited(asked, encoded["train"].examples)
    job = prepare_fit(asked, kind, encoded["train"].examples, encoded["validation"])
    said, _ = score(job.forward, encoded["test"].examples)
    for module in job.model.modules():
        if hasattr(module, "p"):
            module.p = 0.0
    job.model.eval()
    steps = train(job.forward, job.windows, job.objective, job.update, job.parameters, steps=1)
    return next(steps).rows, kind, said


def test_the_loss_goes_by_what_is_believed_and_by_the_weight() -> None:
    given = records()
    given[0] = replace(given[0], soft=SOFT)
    given[1] = replace(given[1], soft=(("nobody knows", 1.0),))
    given[2] = replace(given[2], weight=3.0)
    rows, kind, said = first_step(given, recipe())
    labels = list(kind.bound.labels)
    expected = [-math.log(said[i][labels.index(str(r.label))]) for i, r in enumerate(given)]
    expected[0] = -sum(0.5 * math.log(said[0][labels.index(name)]) for name in ("cold", "warm"))
    expected[2] *= 3
    assert [rows[r.id] for r in given] == pytest.approx(expected, rel=1e-4)


def test_classes_that_are_counted_are_those_of_the_labels() -> None:
    given = records()
    soft = [replace(r, soft=SOFT) for r in given]
    _, kind, _ = first_step(soft, recipe())
    examples = kind.encode(soft).examples
    plain = kind.encode(given).examples
    assert kind.facts(examples) == kind.facts(plain) and kind.groups(examples) == kind.groups(plain)
    assert examples[0].soft is not None and np.isclose(examples[0].soft.sum(), 1.0)


def test_an_objective_that_takes_one_class_is_refused() -> None:
    given = [replace(r, soft=SOFT) for r in records()]
    with pytest.raises(RecipeError) as error:
        first_step(given, recipe(custom={"file": "loss.py"}))
    said = str(error.value)
    assert "labels of 12 rows are not sure" in said and "cross_entropy" in said and "custom" in said
