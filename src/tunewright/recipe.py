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
from typing import Annotated, Any, Literal

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_serializer

from tunewright.core import registry
from tunewright.core.errors import Problem, RecipeError, closest, listed
from tunewright.data import Columns, Form, Options, Shares


def _list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _number(value: Any) -> Any:
    """YAML 1.1 reads 1e-4 as a text; a person means a number."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+", value.strip()):
        return float(value)
    return value


def _path(value: str) -> str:
    if "\0" in value:
        raise ValueError("a path without a NUL character")
    return value


Files = Annotated[tuple[Annotated[str, AfterValidator(_path)], ...], BeforeValidator(_list)]
Names = Annotated[tuple[str, ...], BeforeValidator(_list), Field(min_length=1)]
Count = Annotated[int, Ge(1), Le(2**40)]
Real = BeforeValidator(_number)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SharesPart(_Part):
    """What share of the rows is held out, where no file is given for a split."""

    validation: Annotated[float, Ge(0), Lt(1)] = 0.1
    test: Annotated[float, Ge(0), Lt(1)] = 0.1


class DataPart(_Part):
    """Files and columns, and what is done with labels, duplicates, conflicts and splits.

    `label` names several columns for several targets of a regression, or for 0/1 columns of several labels; `separator`
    is what stands between several labels in one column (found out where it is left out).
    """

    train: Annotated[Files, Field(min_length=1)]
    text: str
    label: Names
    separator: str | None = None
    pair: str | None = None
    validation: Files = ()
    test: Files = ()
    format: Literal["csv", "tsv", "jsonl", "json", "parquet", "arrow"] | None = None
    header: bool | None = None
    delimiter: str | None = None
    encoding: str | None = None
    label_map: dict[str, str] = {}
    shares: SharesPart = SharesPart()
    conflicts: Literal["drop", "majority", "keep"] = "drop"
    duplicates: bool = True
    limit: Annotated[int, Ge(10), Le(2**40)] | None = None

    @field_serializer("label")
    def _one(self, label: tuple[str, ...]) -> str | list[str]:
        return label[0] if len(label) == 1 else list(label)


class ModelPart(_Part):
    """The base model: a name in the catalogue, a folder, or a Hub id (the only case that may download)."""

    name: str
    revision: str | None = None
    max_tokens: Annotated[int, Ge(4), Le(2**40)] | None = None
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    layout: Literal["auto", "packed", "padded"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"


class StopPart(_Part):
    """Early stopping: after `patience` validations without a better `metric`; None never stops early.

    A metric that is left out is the task's.
    """

    metric: str = ""
    patience: Count | None = None
    least: Annotated[float, Ge(0), Real] = 0.0


class TrainingPart(_Part):
    """How much is learnt, in what order and how fast."""

    epochs: Annotated[float, Gt(0), Le(1e6)] = 3.0
    batch: Count = 32
    batch_tokens: Count | None = None
    micro_tokens: Count = 8192
    steps: Count | None = None
    rate: Annotated[float, Gt(0), Real] | Literal["auto"] = "auto"
    schedule: Any = {"linear": {"warmup": 0.06}}
    update: Any = "adamw"
    clip: Annotated[float, Gt(0), Real] | None = 1.0
    sampler: Any = "shuffle"
    validate_every: Count | Literal["epoch"] = "epoch"
    checkpoint_every: Count | None = None
    stop: StopPart = StopPart()
    keep: Literal["best", "last"] = "best"


class EvaluationPart(_Part):
    """What the tuned model is compared with, by which metric (the task's, where it is left out), and how sure one wants
    to be."""

    metric: str = ""
    baselines: tuple[Literal["majority", "tfidf", "linear"], ...] = ("majority", "tfidf", "linear")
    confidence: Annotated[float, Gt(0.5), Lt(1)] = 0.95
    resamples: Annotated[int, Ge(100)] = 2000


class Recipe(_Part):
    """Everything about a run, as `parse` makes it: what depends on the task is filled in there."""

    task: Literal["classification", "multilabel", "regression"] = "classification"
    data: DataPart
    model: ModelPart
    adaptation: Any = "full"
    objective: Any = None
    training: TrainingPart = TrainingPart()
    evaluation: EvaluationPart = EvaluationPart()
    seed: Annotated[int, Ge(0), Lt(2**63)] = 0
    folder: Annotated[str, AfterValidator(_path)] | None = None

    def dump(self) -> dict[str, Any]:
        """The recipe as plain values with every default written out, components included."""
        value = self.model_dump(mode="json")
        value["adaptation"] = registry.dump(registry.build("adaptation", self.adaptation))
        value["objective"] = registry.dump(registry.build("objective", self.objective))
        for name in ("schedule", "update", "sampler"):
            value["training"][name] = registry.dump(registry.build(name, getattr(self.training, name)))
        return value

    def fingerprint(self) -> str:
        """SHA-256 over everything that training depends on: not the folder, not the evaluation.

        Files and the model's name are left out too: what they hold counts, which `tunewright.identity` adds.
        """
        value = self.dump()
        for name in ("folder", "evaluation"):
            value.pop(name)
        for name in ("train", "validation", "test"):
            value["data"].pop(name)
        for name in ("name", "revision"):
            value["model"].pop(name)
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

    def options(self, base: Path = Path()) -> Options:
        """The data side's options, with paths made absolute from `base`."""
        d = self.data

        def placed(paths: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(str((base / Path(p).expanduser()).resolve()) for p in paths)

        return Options(
            train=placed(d.train),
            columns=Columns(d.text, d.label[0] if len(d.label) == 1 else d.label, d.pair),
            task=self.task,
            separator=d.separator,
            validation=placed(d.validation),
            test=placed(d.test),
            form=Form(format=d.format, header=d.header, delimiter=d.delimiter, encoding=d.encoding),
            label_map=d.label_map,
            shares=Shares(d.shares.validation, d.shares.test),
            conflicts=d.conflicts,
            duplicates=d.duplicates,
            limit=d.limit,
        )


def families() -> None:
    """Imports every family, so that its members are registered."""
    import tunewright.adaptations
    import tunewright.metrics
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
    value = _filled(value)
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
    if recipe is not None:
        problems += [*_metrics(recipe), *_fits(recipe)]
        shares = recipe.data.shares
        if shares.validation + shares.test >= 1:
            problems.append(
                Problem(where="data.shares", found=f"{shares.validation} + {shares.test}", allowed="together below 1")
            )
    if problems or recipe is None:
        raise RecipeError(*problems)
    tidy = {"adaptation": _numbers(recipe.adaptation), "objective": _numbers(recipe.objective)}
    inner = {name: _numbers(getattr(recipe.training, name)) for name in ("schedule", "update", "sampler")}
    return recipe.model_copy(update={**tidy, "training": recipe.training.model_copy(update=inner)})


def _filled(value: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe with what depends on its task written out; `model: minilm` is the name of a model."""
    from tunewright.tasks import TASKS

    value = dict(value)
    if isinstance(value.get("model"), str):
        value["model"] = {"name": value["model"]}
    name = value.get("task", "classification")
    task = TASKS.get(name if isinstance(name, str) else "", TASKS["classification"])
    value["objective"] = value.get("objective") or task.objective
    evaluation = value["evaluation"] = _own(value.get("evaluation"))
    training = value["training"] = _own(value.get("training"))
    stop = None
    if isinstance(training, dict):
        stop = training["stop"] = _own(training.get("stop"))
    for part, wanted in ((evaluation, task.metric), (stop, task.stop)):
        if isinstance(part, dict) and not part.get("metric"):
            part["metric"] = wanted
    return value


def _own(part: Any) -> Any:
    return dict(part or {}) if part is None or isinstance(part, Mapping) else part


def _fits(recipe: Recipe) -> list[Problem]:
    """What does not go with the task."""
    from tunewright.tasks import TASKS

    task, problems = TASKS[recipe.task], list[Problem]()
    known = registry.members("objective")
    name = _member(recipe.objective)
    if name in known and task.fits not in known[name].fits:  # type: ignore[attr-defined]
        fitting = sorted(n for n, member in known.items() if task.fits in member.fits)  # type: ignore[attr-defined]
        problems.append(
            Problem(where="objective", found=f"{name} is not for {recipe.task}", allowed=listed(fitting),
                    to_do=f"choose {task.objective}, or leave the key out")
        )  # fmt: skip
    if task.fits == "classes" and len(recipe.data.label) > 1:
        problems.append(
            Problem(where="data.label", found=f"{len(recipe.data.label)} columns", allowed="one for classification",
                    to_do="name one column, or set task: multilabel or regression")
        )  # fmt: skip
    if task.fits != "labels" and recipe.data.separator is not None:
        problems.append(
            Problem(where="data.separator", found=repr(recipe.data.separator), allowed="a key of task: multilabel",
                    to_do="remove it, or set the task")
        )  # fmt: skip
    needing = {n for n, member in registry.members("sampler").items() if getattr(member, "needs_labels", False)}
    sampler = _member(recipe.training.sampler)
    if task.fits == "numbers" and sampler in needing:
        others = sorted(set(registry.members("sampler")) - needing, reverse=True)
        problems.append(
            Problem(where="training.sampler", found=f"{sampler}, which needs classes", allowed=" or ".join(others),
                    to_do="choose another sampler")
        )  # fmt: skip
    return problems


def _member(spec: Any) -> str:
    """The name of the outermost component that a recipe names."""
    return str(next(iter(spec), "")) if isinstance(spec, Mapping) else str(spec)


def _numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _numbers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    return _number(value)


def _metrics(recipe: Recipe) -> list[Problem]:
    from tunewright.tasks import TASKS

    known = sorted(registry.members(TASKS[recipe.task].family))
    out = []
    asked = (
        ("evaluation.metric", recipe.evaluation.metric, known),
        ("training.stop.metric", recipe.training.stop.metric, [*known, "loss"]),
    )
    for where, name, allowed in asked:
        if name not in allowed:
            out.append(
                Problem(where=where, found=f"there is no metric {name!r} for {recipe.task}", allowed=listed(allowed, 40),
                        to_do=closest(name, allowed) or "choose one of these")
            )  # fmt: skip
    return out


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


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key given twice, where the first would be lost without a word, and values inside themselves."""

    def get_single_data(self) -> Any:
        node = self.get_single_node()
        return None if node is None else self.construct_object(node, deep=True)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            name = self.construct_object(key_node, deep=True)
            if isinstance(name, str) and name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name!r} stands twice", key_node.start_mark
                )
            if isinstance(name, str):
                seen.add(name)
        return super().construct_mapping(node, deep)


_NOT_YAML = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError)
"""A scalar that is not what its tag says (`!!int ""`) raises whatever PyYAML happens to meet."""


def read(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file, with `key=value` changes applied.

    Raises:
        RecipeError: the file is missing or not YAML, a change is not `key=value`, or the recipe is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise RecipeError(
            Problem(where=str(path), found="there is no such file",
                    allowed=listed(sorted(near)) or "a recipe in YAML",
                    to_do=closest(path.name, near) or "`tunewright init FILE` writes one")
        ) from None  # fmt: skip
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(Problem(where=str(path), found=f"it cannot be read: {error}")) from error
    try:
        value = yaml.load(text, _Loader)
    except _NOT_YAML as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
        what = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise RecipeError(
            Problem(where=place, found=f"not YAML: {what}", to_do="check indentation and quotes")
        ) from error
    return parse(changed(value or {}, changes), str(path))


def changed(value: Any, changes: Sequence[str]) -> Any:
    """`value` with changes such as `training.epochs=1` or `adaptation={lora: {rank: 4}}` applied.

    Raises:
        RecipeError: a change without `=`, or into something that has no keys.
    """
    problems = []
    value = json.loads(json.dumps(value, default=str)) if changes else value
    for change in changes:
        path, found, text = change.partition("=")
        if not found or not path.strip():
            problems.append(Problem(where=f"--set {change}", found="no key=value", allowed="training.epochs=1"))
            continue
        try:
            new = yaml.load(text, _Loader)
        except _NOT_YAML as error:
            problems.append(Problem(where=f"--set {change}", found=f"not YAML: {str(error).partition(chr(10))[0]}"))
            continue
        place = value
        *parents, last = path.strip().split(".")
        for name in parents:
            if not isinstance(place, dict):
                break
            if isinstance(place.get(name), str):
                place[name] = {"name" if name == "model" else place[name]: place[name] if name == "model" else {}}
            place = place.setdefault(name, {})
        if isinstance(place, dict):
            place[last] = new
        else:
            problems.append(
                Problem(where=f"--set {change}", found=f"{path} has no keys", allowed="a key of the recipe")
            )
    if problems:
        raise RecipeError(*problems)
    return value


def write(recipe: Recipe, path: Path) -> None:
    """Writes the recipe with every default filled in."""
    from tunewright.core.files import write_text

    write_text(path, yaml.safe_dump(recipe.dump(), sort_keys=False, allow_unicode=True, width=110))
