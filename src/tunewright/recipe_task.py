"""What of a recipe depends on its task: the defaults, which keys are needed, and what goes together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tunewright.core import registry
from tunewright.core.errors import Problem, RecipeError, closest, listed
from tunewright.tasks import TASKS, Task

if TYPE_CHECKING:
    from tunewright.recipe import Recipe

CONVERSATIONS = ("chat", "preference", "reward")
_ONLY: dict[str, tuple[tuple[str, ...], Any]] = {
    "pair": (("classification", "multilabel", "regression"), None),
    "separator": (("multilabel",), None),
    "conversation": (CONVERSATIONS, "auto"),
    "system": (CONVERSATIONS, None),
    "supervise": (("chat",), "all"),
    "too_long": (CONVERSATIONS, "drop"),
    "prefix": (("seq2seq",), ""),
}
"""Keys of `data` that mean something for some tasks alone, and what each is where it was left out."""


def filled(value: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe with what depends on its task written out; `model: minilm` is the name of a model."""
    value = dict(value)
    if isinstance(value.get("model"), str):
        value["model"] = {"name": value["model"]}
    task = _task(value)
    value["objective"] = value.get("objective") or task.objective
    evaluation = value["evaluation"] = _own(value.get("evaluation"))
    training = value["training"] = _own(value.get("training"))
    stop = None
    if isinstance(training, dict):
        stop = training["stop"] = _own(training.get("stop"))
    for part, wanted in ((evaluation, task.metric), (stop, task.stop)):
        if isinstance(part, dict) and not part.get("metric"):
            part["metric"] = wanted
    if isinstance(evaluation, dict) and evaluation.get("baselines") is None:
        evaluation["baselines"] = list(task.baselines)
    return value


def lacking(value: Mapping[str, Any]) -> list[Problem]:
    """Columns that the task needs and the recipe does not name."""
    data = value.get("data")
    task = _task(value)
    if not isinstance(data, Mapping) or not data.get("train"):
        where = "data.train" if isinstance(data, Mapping) else "data"
        told = data is None or (isinstance(data, Mapping) and "train" not in data)
        nothing = [Problem(where=where, found="nothing", allowed="this key is needed",
                           to_do="`tunewright init FILE` writes a recipe with every key")] if told else []  # fmt: skip
    else:
        nothing = []
    return nothing + [
        Problem(where=f"data.{name}", found="nothing", allowed="this key is needed",
                to_do="`tunewright init FILE` writes a recipe with every key")
        for name in task.columns if isinstance(data, Mapping) and not data.get(name)
    ]  # fmt: skip


def misfits(recipe: Recipe) -> list[Problem]:
    """What does not go with the task: keys, objective, sampler, metrics, baselines."""
    return [*_keys(recipe), *_objective(recipe), *_sampler(recipe), *_metrics(recipe), *_baselines(recipe)]


def member(spec: Any) -> str:
    """The name of the outermost component that a recipe names."""
    if isinstance(spec, list):
        return member(spec[0]) if spec else ""
    return str(next(iter(spec), "")) if isinstance(spec, Mapping) else str(spec)


def _task(value: Mapping[str, Any]) -> Task:
    name = value.get("task", "classification")
    return TASKS.get(name if isinstance(name, str) else "", TASKS["classification"])


def _own(part: Any) -> Any:
    return dict(part or {}) if part is None or isinstance(part, Mapping) else part


def _keys(recipe: Recipe) -> list[Problem]:
    task, problems = TASKS[recipe.task], list[Problem]()
    if task.fits == "classes" and len(recipe.data.label) > 1:
        problems.append(
            Problem(where="data.label", found=f"{len(recipe.data.label)} columns", allowed=f"one for {task.name}",
                    to_do="name one column, or set task: multilabel or regression")
        )  # fmt: skip
    problems += [
        Problem(where=f"data.{name}", found=repr(getattr(recipe.data, name)),
                allowed=f"a key of task: {listed(tasks)}", to_do="remove it, or set the task")
        for name, (tasks, default) in _ONLY.items()
        if recipe.task not in tasks and getattr(recipe.data, name) != default
    ]  # fmt: skip
    if recipe.generation is not None and not task.writes:
        writing = [t.name for t in TASKS.values() if t.writes]
        problems.append(
            Problem(where="generation", found=f"it is not for {recipe.task}", allowed=f"a key of task: {listed(writing)}",
                    to_do="remove it")
        )  # fmt: skip
    return problems


def _objective(recipe: Recipe) -> list[Problem]:
    from tunewright.objectives import fitting as fits_of

    task, known = TASKS[recipe.task], registry.members("objective")
    try:
        objective = registry.build("objective", recipe.objective)
        fits = fits_of(objective)
    except (RecipeError, AttributeError):
        return []  # building it has its own problems, which are told elsewhere
    if set(fits) & set(task.learns):
        return []
    names = []
    while objective is not None:
        names.append(registry.name_of(objective))
        objective = getattr(objective, "inner", None)
    fitting = sorted(n for n, m in known.items() if set(getattr(m, "fits", ())) & set(task.learns))
    return [
        Problem(where="objective", found=f"{' around '.join(names)} is not for {recipe.task}", allowed=listed(fitting, 20),
                to_do=f"choose {task.objective}, or leave the key out")
    ]  # fmt: skip


def _sampler(recipe: Recipe) -> list[Problem]:
    needing = {n for n, m in registry.members("sampler").items() if getattr(m, "needs_labels", False)}
    sampler = member(recipe.training.sampler)
    if TASKS[recipe.task].grouped or sampler not in needing:
        return []
    others = sorted(set(registry.members("sampler")) - needing, reverse=True)
    return [
        Problem(where="training.sampler", found=f"{sampler}, which needs classes", allowed=" or ".join(others),
                to_do="choose another sampler")
    ]  # fmt: skip


def _metrics(recipe: Recipe) -> list[Problem]:
    known = sorted(registry.members(TASKS[recipe.task].family))
    asked = (
        ("evaluation.metric", recipe.evaluation.metric, known),
        ("training.stop.metric", recipe.training.stop.metric, list(dict.fromkeys([*known, *TASKS[recipe.task].shown]))),
    )
    return [
        Problem(where=where, found=f"there is no metric {name!r} for {recipe.task}", allowed=listed(allowed, 40),
                to_do=closest(name, allowed) or "choose one of these")
        for where, name, allowed in asked if name not in allowed
    ]  # fmt: skip


def _baselines(recipe: Recipe) -> list[Problem]:
    known = TASKS[recipe.task].baselines
    return [
        Problem(where="evaluation.baselines", found=f"there is no baseline {name!r} for {recipe.task}",
                allowed=listed(known), to_do=closest(name, known) or "choose some of these")
        for name in recipe.evaluation.baselines if name not in known
    ]  # fmt: skip
