"""The training of several tasks at once, as `fitting.Fit` has it for one: `fitting.fit` carries out both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from tunewright.core import registry
from tunewright.core.errors import Problem, RecipeError
from tunewright.core.tensors import Batch, parameters_of
from tunewright.encoding import Example, collate
from tunewright.fitting import (
    Fit,
    attached,
    foresee,
    keeping,
    measured,
    rate_for,
    training_notes,
    update_of,
)
from tunewright.kinds import Encoded, Kind
from tunewright.kinds.pools import bound_sampler
from tunewright.mixing import Mixed, Mixture, Part
from tunewright.mixing.mixture import named
from tunewright.models import several
from tunewright.models.looking import show
from tunewright.models.precision import chosen, chosen_device
from tunewright.models.several import TaskForwards
from tunewright.objectives.wrapping import prepared
from tunewright.recipe import MixingPart, Recipe
from tunewright.training import Patience, Plan, Windows

FLOOR = 1e-3
"""A first value nearer to perfect counts as this: what is almost perfect already says nothing by its ratio."""


@dataclass(frozen=True)
class OneTask:
    """One of the tasks: its own recipe, its kind with its own model, and its splits."""

    recipe: Recipe
    kind: Kind
    encoded: Mapping[str, Encoded]

    @property
    def supervised(self) -> list[Example]:
        """What it learns from."""
        return [e for e in self.encoded["train"].examples if e.target is not None]


@dataclass
class Together(Fit):
    """A training of several tasks. `models` are the tasks' own, with one body, `size` parameters in all; `first` are the
    first validation's values."""

    parts: Mapping[str, OneTask] = field(default_factory=dict)
    models: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0
    first: dict[str, float] = field(default_factory=dict)

    @property
    def validates(self) -> bool:
        return any(part.encoded["validation"].examples for part in self.parts.values())

    def measured(self) -> tuple[dict[str, float | None], float | None]:
        """Every task's metrics, and `score`: how far each task's own metric lies from perfect beside the first time, on
        average. It is 1 at the first validation, and lower is better.
        """
        found: dict[str, float | None] = {}
        ratios = []
        for task, part in self.parts.items():
            held = part.encoded["validation"]
            if not held.examples:
                continue
            wanted = part.recipe.training.stop.metric
            metrics, value = measured(part.kind, self.forward.of(task), held, wanted)
            found |= {f"{task}/{name}": x for name, x in metrics.items()}
            away = None if value is None else _away(part.kind, wanted, value)
            if away is not None:
                ratios.append(away / max(self.first.setdefault(task, away), FLOOR))
        score = sum(ratios) / len(ratios) if ratios else None
        return {"score": score, **found}, score

    def more(self) -> dict[str, Any]:
        return {"first": dict(self.first)}

    def load_more(self, state: Mapping[str, Any]) -> None:
        self.first = {task: float(x) for task, x in state["first"].items()}


def _away(kind: Kind, name: str, value: float) -> float:
    """How far a metric lies from its best; itself where lower is better."""
    members: Mapping[str, Any] = registry.members(kind.task.family)
    metric = members.get(name) or members[dict(kind.task.shown)[name]]
    return value if metric.better == "lower" else metric.bounds[1] - value


def prepare_together(recipe: Recipe, parts: Mapping[str, OneTask]) -> Together:
    """Builds the objects that the recipe names around the tasks' models, which have one body from here on.

    Raises:
        ModelError: the tasks cannot share a body. RecipeError: the adaptation or the weighting does not fit.
    """
    t, tasks = recipe.training, list(parts)
    adaptation = registry.build("adaptation", recipe.adaptation)
    size = parameters_of(parts[tasks[0]].kind.loaded.model)
    models = {task: attached(recipe, adaptation, part.kind.loaded) for task, part in parts.items()}
    several.share(models)
    whole = sum({id(p): p.numel() for model in models.values() for p in model.parameters()}.values())
    whole += sum({id(m): getattr(m, "stored", 0) for model in models.values() for m in model.modules()}.values())
    supervised = {task: part.supervised for task, part in parts.items()}
    live = several.install_rows(
        models, [torch.from_numpy(x) for own in supervised.values() for e in own for x in e.read()]
    )
    for model in models.values():
        model.to(chosen_device(recipe.model.device)).train()
    layout = None if recipe.model.layout == "auto" else recipe.model.layout
    precision = chosen(recipe.model.precision, recipe.model.device)
    show(adaptation, [(models[task], supervised[task]) for task in tasks], layout, recipe.seed)
    lengths = {named(task, e.id): len(e) for task, own in supervised.items() for e in own}
    plan = Plan.of(
        len(lengths), sum(lengths.values()), epochs=t.epochs, batch=t.batch, batch_tokens=t.batch_tokens, limit=t.steps
    )
    keep = {task: keeping(recipe, part.kind, plan.examples > len(lengths), len(parts)) for task, part in parts.items()}
    forward = TaskForwards(models, {task: part.kind.scale for task, part in parts.items()}, layout, precision, keep)
    for task, own in supervised.items() if plan.examples >= len(lengths) else ():
        foresee(forward.of(task), own)
    windows = Windows(
        _mixture(recipe, parts, supervised), _collate(recipe, parts, supervised), lengths, plan,
        micro_tokens=t.micro_tokens, tasks={named(task, e.id): task for task, own in supervised.items() for e in own},
    )  # fmt: skip
    parameters = several.parameters(models)
    chain, rate = update_of(recipe, rate_for(adaptation, size) if t.rate == "auto" else float(t.rate))
    first = forward.of(tasks[0])
    return Together(
        recipe, parts[tasks[0]].kind, models[tasks[0]], forward, parameters,
        _mixed(recipe, parts, supervised, models), windows, chain.bind(parameters), plan,
        parts[tasks[0]].encoded["validation"], Patience(False, t.stop.patience, t.stop.least), rate,
        training_notes(first, live), parts=parts, models=models, size=whole,
    )  # fmt: skip


def _mixed(
    recipe: Recipe, parts: Mapping[str, OneTask], supervised: Mapping[str, Sequence[Example]], models: Mapping[str, Any]
) -> Mixed:
    mixing = recipe.mixing or MixingPart()
    weighting = registry.build("weighting", mixing.weights).bind(
        [
            Part(task, len(supervised[task]), recipe.tasks[task].weight, part.kind.task.fits)
            for task, part in parts.items()
        ]
    )
    shared = several.last_shared(models)
    if weighting.needs_norms and shared is None:
        raise RecipeError(
            Problem(where="mixing.weights", found="it compares gradients at weights that all tasks share, and none of these learns",
                    allowed="fixed, size or uncertainty, or an adaptation in which the shared body learns",
                    to_do="choose `weights: uncertainty`")
        )  # fmt: skip
    objectives = {
        task: prepared(registry.build("objective", part.recipe.objective), part.kind.facts(supervised[task]))
        for task, part in parts.items()
    }
    return Mixed(objectives, weighting, shared)


def _mixture(recipe: Recipe, parts: Mapping[str, OneTask], supervised: Mapping[str, Sequence[Example]]) -> Mixture:
    mixing = recipe.mixing or MixingPart()
    bound = {
        task: bound_sampler(
            recipe.training.sampler, parts[task].kind, own, parts[task].encoded["train"].records, recipe.seed
        )
        for task, own in supervised.items()
    }
    shares = registry.build("mixture", mixing.sampler).of({task: len(own) for task, own in supervised.items()})
    return Mixture(bound, shares)


def _collate(
    recipe: Recipe, parts: Mapping[str, OneTask], supervised: Mapping[str, Sequence[Example]]
) -> Callable[[Sequence[str], int], Batch]:
    """What a window calls: the packed batch of ids of one task."""
    made, task_of = {}, dict[str, str]()
    for task, own in supervised.items():
        examples = {named(task, e.id): replace(e, id=named(task, e.id)) for e in own}
        made[task] = collate(examples, recipe.seed, parts[task].kind.altered, chosen_device(recipe.model.device))
        task_of |= dict.fromkeys(examples, task)

    def batch(ids: Sequence[str], step: int) -> Batch:
        task = task_of[ids[0]]
        return replace(made[task](ids, step), task=task)

    return batch
