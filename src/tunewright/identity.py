"""What makes two runs the same run: recipe, base model and data by their content, never by where they lie.

A project that was moved, or a file that was renamed, is the same; a file with one other row is not. The base model
counts by its weights and tokenizer, so it is no part of the recipe's share either.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tunewright
from tunewright import data as data_side
from tunewright.core import registry
from tunewright.core.errors import DataError, Problem, RunDamaged
from tunewright.core.files import sha256
from tunewright.models.loading import CATALOGUE, Found
from tunewright.objectives import fingerprint, moved
from tunewright.recipe import Recipe
from tunewright.recipe_data import files_of
from tunewright.tracking import RunFolder, machine, versions

Inputs = Mapping[str, Sequence[Sequence[str]]]
ROLES = ("train", "validation", "test")


@dataclass(frozen=True)
class Identity:
    """SHA-256 of the recipe's own share, of weights and tokenizer, and (name, SHA-256) of each data file by role."""

    recipe: str
    weights: str
    tokenizer: str
    inputs: Inputs

    @property
    def fingerprint(self) -> str:
        """What a run's stages and checkpoints are bound to."""
        value = [self.recipe, self.weights, self.tokenizer, _hashes(self.inputs)]
        return hashlib.sha256(json.dumps(value).encode()).hexdigest()

    def noted(self) -> dict[str, Any]:
        """As in run.json, beside the model's own hashes."""
        return {"fingerprint": self.fingerprint, "recipe_sha256": self.recipe,
                "inputs": {role: [list(file) for file in files] for role, files in self.inputs.items()}}  # fmt: skip

    def unlike(self, known: Mapping[str, Any]) -> list[str]:
        """In what a run with the facts `known` is another one."""
        model, inputs = known.get("model", {}), known.get("inputs", {})
        parts = {
            "another recipe": known.get("recipe_sha256") == self.recipe,
            "another base model": (model.get("sha256"), model.get("tokenizer_sha256"))
            == (self.weights, self.tokenizer),
            "other data": _hashes(inputs) == _hashes(self.inputs),
        }
        return [name for name, same in parts.items() if not same]


def identify(recipe: Recipe, base: Path, found: Found, known: Mapping[str, Any]) -> Identity:
    """The identity of a recipe whose paths are relative to `base` and whose model is `found`.

    Args:
        known: the facts of the run that is in the folder. A data file that is gone counts as the one of its name that
            the run has read: a finished run may outlive its data.

    Raises:
        DataError: with every data file that is missing or cannot be read. RecipeError: the objective's own file is.
    """
    if recipe.task == "multitask":
        return _together(recipe, base, found, known)
    options, before = recipe.options(base), known.get("inputs", {})
    inputs: dict[str, list[tuple[str, str]]] = {role: [] for role in ROLES}
    problems: list[Problem] = []
    for role in ROLES:
        for i, path in enumerate(getattr(options, role)):
            try:
                inputs[role].append((_name(path), _content(path, before.get(role, [])[i : i + 1], options)))
            except DataError as error:
                problems += error.problems
    if problems:
        raise DataError(*problems)
    asked = as_asked(recipe, known).fingerprint()
    own = fingerprint(registry.build("objective", placed(recipe, base).objective))
    if own is not None:
        asked = hashlib.sha256(f"{asked}{own}".encode()).hexdigest()
    for path in files_of(options.steps or ()):
        asked = hashlib.sha256(f"{asked}{_file(path)}".encode()).hexdigest()
    if options.division.manifest is not None:
        frozen = sorted(data_side.frozen(Path(options.division.manifest)).items())
        asked = hashlib.sha256(f"{asked}{frozen}".encode()).hexdigest()
    return Identity(asked, *found.fingerprint(), inputs)


def _together(recipe: Recipe, base: Path, found: Found, known: Mapping[str, Any]) -> Identity:
    """The identity of several tasks: their own, one after another, and how they are mixed."""
    before = {role: list(files) for role, files in known.get("inputs", {}).items()}
    inputs: dict[str, list[Sequence[str]]] = {role: [] for role in ROLES}
    asked, problems = [as_asked(recipe, known).fingerprint()], list[Problem]()
    for part in recipe.parts().values():
        options = part.options(base)
        own = {role: before.get(role, [])[len(inputs[role]) :][: len(getattr(options, role))] for role in ROLES}
        try:
            identity = identify(part, base, found, {"inputs": own})
        except DataError as error:
            problems += error.problems
            continue
        asked.append(identity.recipe)
        for role in ROLES:
            inputs[role] += identity.inputs[role]
    if problems:
        raise DataError(*dict.fromkeys(problems))
    # the parts' recipes are in the first entry already, but for what their objectives' files hold
    return Identity(hashlib.sha256(json.dumps(asked).encode()).hexdigest(), *found.fingerprint(), inputs)


def placed(recipe: Recipe, base: Path) -> Recipe:
    """The recipe with its objective's own files and the folder for frozen layers' output by their whole paths.

    In the recipe they are relative to `base`.
    """

    def whole(path: str) -> str:
        return str((base / Path(path).expanduser()).resolve())

    trunk = recipe.training.trunk
    if trunk.folder is not None:
        training = recipe.training.model_copy(
            update={"trunk": trunk.model_copy(update={"folder": whole(trunk.folder)})}
        )
        recipe = recipe.model_copy(update={"training": training})
    if recipe.task == "multitask":
        tasks = {
            name: part.model_copy(
                update={"objective": registry.dump(moved(registry.build("objective", part.objective), whole))}
            )
            for name, part in recipe.tasks.items()
        }
        return recipe.model_copy(update={"tasks": tasks})
    objective = registry.build("objective", recipe.objective)
    there = moved(objective, whole)
    return recipe if there == objective else recipe.model_copy(update={"objective": registry.dump(there)})


def refuse_another(folder: RunFolder, identity: Identity, known: Mapping[str, Any]) -> None:
    """Sees that the folder is free or holds this very run. One that has finished no stage holds nothing yet.

    Raises:
        RunDamaged: the folder holds another run; says in what it differs.
    """
    parts = identity.unlike(known) if known and folder.stages.exists() else []
    if parts:
        raise RunDamaged(
            Problem(
                where=str(folder.path),
                found=f"this folder holds a run of {' and '.join(parts)}",
                allowed="an empty folder, or the run of this very recipe",
                to_do="choose another --folder, or start anew with --fresh (which removes the run that is there)",
            )
        )


def base_model(recipe: Recipe, base: Path) -> str:
    """The recipe's model for `find`: what is no name of the catalogue is a folder beside the recipe, then from here."""
    name = recipe.model.name
    return str(base / name) if name not in CATALOGUE and os.path.isdir(base / name) else name  # noqa: PTH112


def absolute(recipe: Recipe, base: Path, found: Found) -> Recipe:
    """The recipe as it can be read from everywhere: files and a model's folder by their whole paths."""
    options = recipe.options(base)
    data = _absolute(recipe.data, options)
    tasks = {}
    for name, part in recipe.parts().items() if recipe.task == "multitask" else ():
        there = part.options(base)
        own = recipe.tasks[name]
        tasks[name] = own.model_copy(update={"data": _absolute(own.data, there)})
    model = recipe.model
    if found.local and model.name not in CATALOGUE:
        model = model.model_copy(update={"name": str(Path(str(found.place)).resolve())})
    return recipe.model_copy(update={"data": data, "tasks": tasks, "model": model})


def _absolute(data: Any, options: data_side.Options) -> Any:
    split = data.split.model_copy(update={"manifest": options.division.manifest})
    steps = tuple(registry.dump(list(options.steps or ())))
    return data.model_copy(update={**{role: getattr(options, role) for role in ROLES}, "split": split, "steps": steps})


def as_asked(recipe: Recipe, known: Mapping[str, Any]) -> Recipe:
    """The recipe as this run was asked for: its saved copy has a number where `rate: auto` stood."""
    if known.get("rate_was_auto") and recipe.training.rate == known.get("rate"):
        return with_rate(recipe, "auto")
    return recipe


def first_facts(
    recipe: Recipe, folder: RunFolder, identity: Identity, found: Found, known: Mapping[str, Any], command: str
) -> dict[str, Any]:
    """What run.json says of a run that begins, or goes on with the facts `known`."""
    return {
        "name": folder.name,
        "folder": str(folder.path),
        "status": "running",
        "created": known.get("created") or datetime.now(UTC).isoformat(timespec="seconds"),
        "tunewright": tunewright.__version__,
        "command": command or known.get("command", ""),
        "task": recipe.task,
        **identity.noted(),
        "seed": recipe.seed,
        "machine": machine(),
        "versions": versions(),
        "model": {**known.get("model", {}), "name": recipe.model.name, "source": found.place,
                  "sha256": identity.weights, "tokenizer_sha256": identity.tokenizer},
        "adaptation": recipe.adaptation_name,
    }  # fmt: skip


def with_rate(recipe: Recipe, rate: float | str) -> Recipe:
    """The recipe with another `training.rate`."""
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"rate": rate})})


def _hashes(inputs: Inputs) -> list[list[str]]:
    return [[file[1] for file in inputs.get(role, [])] for role in ROLES]


def _name(path: str) -> str:
    return path if data_side.is_remote(path) else Path(path).name


def _file(path: Path) -> str:
    """SHA-256 of a file that a step reads; of a folder, or one that is not there, its name: the step itself will tell."""
    return sha256(path) if path.is_file() else str(path)


def _content(path: str, before: Sequence[Sequence[str]], options: data_side.Options) -> str:
    try:
        return data_side.content(path, options)
    except DataError:
        gone = not os.path.exists(path)  # noqa: PTH110  (Path.exists raises on a name that is too long)
        if gone and before and before[0][0] == _name(path):
            return before[0][1]
        raise
