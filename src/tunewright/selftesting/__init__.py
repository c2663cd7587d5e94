"""`tunewright selftest`: what training computes must not depend on how it is computed, on a user's own model and rows.

Each check computes the same thing in two or more ways and compares: one optimizer step cut into micro-batches, packed,
padded, in other orders, with dropout; losses beside transformers' own; the model saved and opened; texts alone and among
others. The step is that of `training.loop`, of the recipe's own model, adaptation and objective; some ten rows of the
training set are its examples. Nothing is written but in a temporary folder.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunewright.core.errors import TunewrightError
from tunewright.recipe import Recipe
from tunewright.selftesting import answers, contract, steps, toys
from tunewright.selftesting.results import Found, Result
from tunewright.selftesting.subjects import Subject, subject

CHECKS: Mapping[str, Callable[[Subject], Found]] = {
    "accumulation": steps.accumulation,
    "packing and padding": steps.layout,
    "row order": steps.order,
    "neighbours": steps.neighbours,
    "dropout": steps.dropout,
    "own precision": steps.precision,
    "transformers' own loss": answers.independent,
    "chat template": contract.template,
    "texts": answers.texts,
    "save and open": answers.saved,
}


def selftest(recipe: Recipe, base: Path = Path(), title: str = "") -> Iterator[Result]:
    """The result of every check of a recipe, one by one as they end; of several tasks, of each alone.

    Raises:
        TunewrightError: what would also end a run before training: of recipe, data or model.
    """
    if recipe.task == "multitask":
        for name, part in recipe.parts().items():
            yield from selftest(part, base, f"{title}{', ' if title else ''}{name}")
        return
    with subject(recipe, base) as tested:
        for name in CHECKS:
            yield checked(tested, name, title)


def checked(tested: Subject, name: str, title: str = "") -> Result:
    """One check. What it raises is a failure of it, in words."""
    began = time.perf_counter()
    try:
        found = CHECKS[name](tested)
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        said = "; ".join(str(p) for p in error.problems) if isinstance(error, TunewrightError) else str(error)
        found = Found("", faults=(f"{type(error).__name__}: {said[:300]}",))
    return found.result(title or tested.task, name, round(time.perf_counter() - began, 2))


def selftest_toys() -> Iterator[Result]:
    """The checks of every task, on rows that ship with the package and small models with random weights."""
    with tempfile.TemporaryDirectory() as folder:
        for title, recipe in toys.recipes(Path(folder)):
            yield from selftest(recipe, Path(folder), title)


def as_plain(results: Sequence[Result]) -> dict[str, Any]:
    """The results as plain values; `ok` where none failed."""
    return {"ok": all(r.passed is not False for r in results), "checks": [r.as_json() for r in results]}
