"""The recipe: one YAML file that says everything about a run.

    task: classification
    data: {train: tweets.csv, text: text, label: sentiment}
    model: minilm
    adaptation: {lora: {rank: 16}}
    objective: {cross_entropy: {smoothing: 0.1}}
    training: {epochs: 3, batch: 32, rate: 1e-4, schedule: {cosine: {warmup: 0.06}}}

An unknown key is an error that names the closest known one, and all problems are reported at once. `dump` writes every
default out, so that the file in a run's folder means the same thing next year.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from tunewright.core import registry
from tunewright.core.errors import Problem, RecipeError, closest, listed
from tunewright.data import Options
from tunewright.recipe_data import (
    Bytes,
    Count,
    DataPart,
    Part,
    Real,
    as_list,
    data_problems,
    moved_steps,
    number,
    options_of,
    path_like,
    step_problems,
)
from tunewright.recipe_several import alone, placed_in, shared
from tunewright.recipe_several import problems as several_problems
from tunewright.recipe_task import filled, lacking, misfits
from tunewright.recipe_text import changed, load

if TYPE_CHECKING:
    from tunewright.core.tensors import Adaptation


class ModelPart(Part):
    """The base model: a name in the catalogue, a folder, or a Hub id (the only case that may download).

    `weights: random` takes its architecture and tokenizer alone.
    """

    name: str
    revision: str | None = None
    weights: Literal["pretrained", "random"] = "pretrained"
    max_tokens: Annotated[int, Ge(4), Le(2**40)] | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    layout: Literal["auto", "packed", "padded"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"


class StopPart(Part):
    """Early stopping: after `patience` validations without a better `metric`; None never stops early.

    A metric that is left out is the task's.
    """

    metric: str = ""
    patience: Count | None = None
    least: Annotated[float, Ge(0), Real] = 0.0


class TrunkPart(Part):
    """What becomes of the output of frozen layers that lie below everything that learns: it is the same in every epoch.

    `memory` keeps it for this training, `disk` in `folder` (the cache folder of the user where it is left out) for later
    runs too, `off` computes it each time; `auto` is memory where a row is learnt more than once, else off. `limit`, such
    as 2GB, bounds what is kept; what does not fit is computed each time.
    """

    keep: Literal["auto", "memory", "disk", "off"] = "auto"
    limit: Bytes = 2 * 10**9
    folder: Annotated[str, AfterValidator(path_like)] | None = None


class TrainingPart(Part):
    """How much is learnt, in what order and how fast."""

    epochs: Annotated[float, Gt(0), Le(1e6)] = 3.0
    batch: Count = 32
    batch_tokens: Count | None = None
    micro_tokens: Count = 8192
    steps: Count | None = None
    rate: Annotated[float, Gt(0), Real] | Literal["auto"] = "auto"
    schedule: Any = Field(default={"linear": {"warmup": 0.06}})
    update: Any = "adamw"
    clip: Annotated[float, Gt(0), Real] | None = 1.0
    sampler: Any = "shuffle"
    validate_every: Count | Literal["epoch"] = "epoch"
    checkpoint_every: Count | None = None
    stop: StopPart = StopPart()
    keep: Literal["best", "last"] = "best"
    trunk: TrunkPart = TrunkPart()


class GenerationPart(Part):
    """How replies are written where texts are judged: greedily, by sampling, or by beam search.

    `items` are so many of the test items, chosen by keyed hash; None for all. A reply ends at one of the `stop` texts,
    after `max_new_tokens`, or where the model ends it.
    """

    method: Literal["greedy", "sampling", "beam"] = "greedy"
    max_new_tokens: Count = 128
    items: Count | None = 200
    beams: Count = 4
    length_penalty: Annotated[float, Real] = 1.0
    temperature: Annotated[float, Gt(0), Real] = 1.0
    top_k: Annotated[int, Ge(0)] = 0
    top_p: Annotated[float, Gt(0), Le(1), Real] = 1.0
    repetition_penalty: Annotated[float, Gt(0), Real] = 1.0
    no_repeat_ngram: Annotated[int, Ge(0)] = 0
    stop: Annotated[tuple[str, ...], BeforeValidator(as_list)] = ()


class EvaluationPart(Part):
    """What the tuned model is compared with, by which metric (the task's, where it is left out), and how sure one wants
    to be. `transfer`: of several tasks, whether each is trained alone too, and compared."""

    metric: str = ""
    baselines: tuple[str, ...] = ()
    confidence: Annotated[float, Gt(0.5), Lt(1)] = 0.95
    resamples: Annotated[int, Ge(100)] = 2000
    transfer: bool | None = None


Single = Literal[
    "classification", "multilabel", "regression", "token_classification", "language_modeling", "chat", "seq2seq",
    "preference", "reward",
]  # fmt: skip


class TaskPart(Part):
    """One of several tasks: its rows, what is minimised, and its `weight` in the loss; by what it is judged, and beside
    what (the task's own, where these are left out)."""

    task: Single
    data: DataPart
    objective: Any = None
    weight: Annotated[float, Gt(0), Real] = 1.0
    metric: str = ""
    baselines: tuple[str, ...] | None = None


class MixingPart(Part):
    """How several tasks come together: what each weighs in the loss, and how many of the examples are its own."""

    weights: Any = "fixed"
    sampler: Any = "proportional"


class Recipe(Part):
    """Everything about a run, as `parse` makes it: what depends on the task is filled in there."""

    task: Literal[
        "classification", "multilabel", "regression", "token_classification", "language_modeling", "chat", "seq2seq",
        "preference", "reward", "multitask",
    ] = "classification"  # fmt: skip
    data: DataPart = DataPart()
    tasks: dict[str, TaskPart] = Field(default={})
    mixing: MixingPart | None = None
    model: ModelPart
    adaptation: Any = "full"
    objective: Any = None
    training: TrainingPart = TrainingPart()
    evaluation: EvaluationPart = EvaluationPart()
    generation: GenerationPart | None = None
    seed: Annotated[int, Ge(0), Lt(2**63)] = 0
    folder: Annotated[str, AfterValidator(path_like)] | None = None

    def dump(self) -> dict[str, Any]:
        """The recipe as plain values with every default written out, components included."""
        value = self.model_dump(mode="json")
        several = self.task == "multitask"
        for name in ("data", "objective") if several else ("tasks", "mixing"):
            value.pop(name)
        if several:
            value["evaluation"] = {n: x for n, x in value["evaluation"].items() if n not in ("metric", "baselines")}
            for name, part in self.tasks.items():
                value["tasks"][name]["objective"] = registry.dump(registry.build("objective", part.objective))
            mixing = self.mixing or MixingPart()
            value["mixing"] = {"weights": registry.dump(registry.build("weighting", mixing.weights)),
                               "sampler": registry.dump(registry.build("mixture", mixing.sampler))}  # fmt: skip
        else:
            value["evaluation"].pop("transfer")
            value["objective"] = registry.dump(registry.build("objective", self.objective))
        for one in value["tasks"].values() if several else [value]:
            one["data"]["steps"] = [registry.dump(registry.build("step", spec)) for spec in one["data"]["steps"]]
        value["adaptation"] = registry.dump(registry.build("adaptation", self.adaptation))
        for name in ("schedule", "update", "sampler"):
            value["training"][name] = registry.dump(registry.build(name, getattr(self.training, name)))
        return value

    @property
    def adaptation_name(self) -> str:
        """The adaptation without its options, such as "lora"; of a chain "quantized + lora"."""
        return registry.name_of(registry.build("adaptation", self.adaptation))

    @property
    def stores(self) -> Adaptation | None:
        """How frozen weights are kept, where the adaptation says so."""
        from tunewright.adaptations import stores_of

        return stores_of(registry.build("adaptation", self.adaptation))

    def fingerprint(self) -> str:
        """SHA-256 over everything that training depends on: not the folder, the evaluation, or what frozen layers keep.

        Files and the model's name are left out too: what they hold counts, which `tunewright.identity` adds.
        """
        from tunewright.objectives import moved

        value = self.dump()
        if self.task == "multitask":
            own = {name: [part.fingerprint(), self.tasks[name].weight] for name, part in self.parts().items()}
            return hashlib.sha256(json.dumps([own, value["mixing"]], sort_keys=True).encode()).hexdigest()
        value["objective"] = registry.dump(moved(registry.build("objective", self.objective), lambda path: "-"))
        for name in ("folder", "evaluation", "generation"):
            value.pop(name)
        for name in ("train", "validation", "test"):
            value["data"].pop(name)
        value["data"]["split"].pop("manifest")
        value["data"]["steps"] = registry.dump(moved_steps(self.data.steps, lambda path: "-"))
        for name in ("name", "revision"):
            value["model"].pop(name)
        value["training"].pop("trunk")
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

    def parts(self) -> dict[str, Recipe]:
        """The recipe of each of several tasks alone: all that they share, and its own data, objective and metric."""
        value = self.model_dump(mode="json")
        return {name: parse(alone(value, part)) for name, part in value["tasks"].items()}

    def options(self, base: Path = Path()) -> Options:
        """The data side's options, with paths made absolute from `base`."""
        return options_of(self.task, self.data, base)


def families() -> None:
    """Imports every family, so that its members are registered."""
    import tunewright.adaptations
    import tunewright.data.steps
    import tunewright.metrics
    import tunewright.mixing
    import tunewright.objectives
    import tunewright.samplers
    import tunewright.schedules
    import tunewright.updates  # noqa: F401


def parse(value: Any, where: str = "recipe") -> Recipe:
    """A recipe from plain values.

    Raises:
        RecipeError: with every problem: unknown keys, wrong types, unknown components and their options.
    """
    if not isinstance(value, Mapping):
        raise RecipeError(
            Problem(where=where, found=f"{type(value).__name__}", allowed="keys with values, such as `model: minilm`")
        )
    families()
    if value.get("task") == "multitask":
        return _several(value)
    value = filled(value)
    problems: list[Problem] = []
    recipe = None
    try:
        recipe = Recipe.model_validate(value)
    except ValidationError as error:
        problems += [_problem(detail) for detail in error.errors()]
    training = value.get("training") if isinstance(value.get("training"), Mapping) else {}
    assert isinstance(training, Mapping)
    specs = {
        "adaptation": value.get("adaptation", "full"),
        "objective": value["objective"],
        **{f"training.{n}": training[n] for n in ("schedule", "update", "sampler") if n in training},
    }
    for place, spec in specs.items():
        try:
            registry.build(place.rsplit(".", 1)[-1], _numbers(spec), place)
        except RecipeError as error:
            problems += error.problems
    problems += step_problems(value.get("data"))
    problems += lacking(value)
    if recipe is not None:
        problems += misfits(recipe)
        problems += data_problems(recipe.data)
    if problems or recipe is None:
        raise RecipeError(*problems)
    tidy = {"adaptation": _numbers(recipe.adaptation), "objective": _numbers(recipe.objective)}
    inner = {name: _numbers(getattr(recipe.training, name)) for name in ("schedule", "update", "sampler")}
    return recipe.model_copy(update={**tidy, "training": recipe.training.model_copy(update=inner)})


def _several(value: Mapping[str, Any]) -> Recipe:
    """A recipe of several tasks; each is seen as a recipe of its own, with what they share.

    Raises:
        RecipeError: with every problem, of what is shared only once.
    """
    value, problems = shared(value), several_problems(value)
    recipe, filled_in = None, dict[str, Any]()
    try:
        recipe = Recipe.model_validate(value)
    except ValidationError as error:
        problems += [_problem(detail) for detail in error.errors()]
    tasks = value.get("tasks") if isinstance(value.get("tasks"), Mapping) else {}
    for name, part in (tasks or {}).items():
        if not isinstance(part, Mapping):
            continue
        try:
            own = parse(alone(value, part))
            filled_in[name] = {"objective": own.objective, "metric": own.evaluation.metric,
                               "baselines": own.evaluation.baselines}  # fmt: skip
        except RecipeError as error:
            problems += [placed_in(name, problem) for problem in error.problems]
    asked = value.get("mixing")
    mixing: Mapping[str, Any] = asked if isinstance(asked, Mapping) else {}
    for key, family in (("weights", "weighting"), ("sampler", "mixture")):
        try:
            registry.build(family, _numbers(mixing.get(key) or MixingPart.model_fields[key].default), f"mixing.{key}")
        except RecipeError as error:
            problems += error.problems
    if problems or recipe is None:
        raise RecipeError(*{problem.where: problem for problem in problems}.values())
    made = {name: part.model_copy(update=filled_in[name]) for name, part in recipe.tasks.items()}
    mixed = recipe.mixing or MixingPart()
    mixed = mixed.model_copy(update={"weights": _numbers(mixed.weights), "sampler": _numbers(mixed.sampler)})
    inner = {name: _numbers(getattr(recipe.training, name)) for name in ("schedule", "update", "sampler")}
    return recipe.model_copy(
        update={"tasks": made, "mixing": mixed, "adaptation": _numbers(recipe.adaptation),
                "training": recipe.training.model_copy(update=inner)}
    )  # fmt: skip


def _numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _numbers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    return number(value)


def _problem(detail: Any) -> Problem:
    """A pydantic error as a Problem: names the field, what is allowed, what was found."""
    place = [
        str(part)
        for part in detail["loc"]
        if not re.match(r"function-|literal\[|constrained|float$|int$|tuple", str(part))
    ]
    where, kind = ".".join(place), detail["type"]
    if kind == "extra_forbidden":
        fields = _fields(place[:-1])
        return Problem(where=where, found="an unknown key", allowed=listed(fields, 30),
                       to_do=closest(place[-1], fields) or "remove it")  # fmt: skip
    if kind == "missing":
        return Problem(where=where, found="nothing", allowed="this key is needed",
                       to_do="`tunewright init FILE` writes a recipe with every key")  # fmt: skip
    return Problem(where=where, found=f"{detail['input']!r}"[:200], allowed=str(detail["msg"]))


def _fields(path: Sequence[str]) -> list[str]:
    model: type[BaseModel] = Recipe
    for name in path:
        inner = model.model_fields[name].annotation if name in model.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return sorted(model.model_fields)


def read(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file, with `key=value` changes applied.

    Raises:
        RecipeError: the file is missing or not YAML, a change is not `key=value`, or the recipe is wrong.
    """
    return parse(changed(load(path), changes), str(path))


def write(recipe: Recipe, path: Path) -> None:
    """Writes the recipe with every default filled in."""
    from tunewright.core.files import write_text

    write_text(path, yaml.safe_dump(recipe.dump(), sort_keys=False, allow_unicode=True, width=110))
