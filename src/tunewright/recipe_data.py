"""What a recipe says about its data: the schema of `data`, its steps, and the options that the data side gets of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, Lt
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_serializer

from tunewright.core import registry
from tunewright.core.errors import Problem, RecipeError, listed
from tunewright.data import Columns, Division, Form, Options, Shares
from tunewright.data import placed as placed_at
from tunewright.data.steps import PHASES


def as_list(value: Any) -> Any:
    """One name as a list of one; nothing as none."""
    return (value,) if isinstance(value, str) else () if value is None else value


def number(value: Any) -> Any:
    """YAML 1.1 reads 1e-4 as a text; a person means a number."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+", value.strip()):
        return float(value)
    return value


_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30,
          "tib": 2**40}  # fmt: skip


def _bytes(value: Any) -> Any:
    """A text such as 2GB as a number of bytes."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", value.strip().lower())
    if found is None or found.group(2) not in _UNITS:
        raise ValueError("a number of bytes such as 2GB or 500MB")
    return round(float(found.group(1)) * _UNITS[found.group(2)])


def path_like(value: str) -> str:
    """The path, where it can be one."""
    if "\0" in value:
        raise ValueError("a path without a NUL character")
    return value


Files = Annotated[tuple[Annotated[str, AfterValidator(path_like)], ...], BeforeValidator(as_list)]
Names = Annotated[tuple[str, ...], BeforeValidator(as_list)]
Count = Annotated[int, Ge(1), Le(2**40)]
Real = BeforeValidator(number)
Bytes = Annotated[int, BeforeValidator(_bytes), Ge(0), Le(2**60)]


class Part(BaseModel):
    """A part of a recipe: unknown keys are refused, values stay."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SharesPart(Part):
    """What share of the rows is held out, where no file is given for a split."""

    validation: Annotated[float, Ge(0), Lt(1)] = 0.1
    test: Annotated[float, Ge(0), Lt(1)] = 0.1


class DivisionPart(Part):
    """How rows are divided: what stays together (`content`, a `group`, a `time`, the latest of which is held out), classes
    evened out, so many folds of which one is the test split, and a frozen division that old rows keep."""

    by: Literal["content", "group", "time"] = "content"
    stratify: bool = False
    folds: Annotated[int, Ge(2), Le(1000)] | None = None
    fold: Annotated[int, Ge(0)] = 0
    manifest: Annotated[str, AfterValidator(path_like)] | None = None


class DataModelsPart(Part):
    """Models that steps of the data work with: vectors of texts, how likely texts are, and who writes new ones.

    `encoder` and `language` are names of the catalogue, folders or Hub ids; `writer` is a folder, or an address that speaks
    OpenAI's protocol: `{address: "http://localhost:8000/v1", model: NAME, key_env: VARIABLE}`.
    """

    encoder: str | None = None
    language: str | None = None
    writer: Any = None


class DataPart(Part):
    """Files and columns, and what is done with labels, duplicates, conflicts and splits.

    `label` names several columns for several targets of a regression, or for 0/1 columns of several labels; `separator`
    is what stands between several labels in one column (found out where it is left out). Conversations and documents
    are recognised without columns: where these are named, they hold the prompt and the reply, or the document.

    `conversation` is the form of the rows; `system` stands before every conversation that has no system prompt;
    `supervise` says whether all of the assistant's turns are learnt or the last alone; `too_long` what becomes of a
    conversation that does not fit: it is dropped, or its leading turns are; `prefix` stands before every source.

    `steps` are what is done to texts and rows, in this order; some work with `models`. `group` and `time` are columns by which
    `split` may divide; `annotator` says who gave the label of a row, where several rows are of one text or `item`.
    """

    train: Annotated[Files, Field(min_length=1)] = ()
    text: str | None = None
    label: Names = ()
    conversation: Literal["auto", "alpaca", "sharegpt", "openai", "columns"] = "auto"
    system: str | None = None
    supervise: Literal["all", "last"] = "all"
    too_long: Literal["drop", "split_turns"] = "drop"
    prefix: str = ""
    separator: str | None = None
    pair: str | None = None
    validation: Files = ()
    test: Files = ()
    format: Literal["csv", "tsv", "jsonl", "json", "parquet", "arrow", "xlsx", "conll", "text"] | None = None
    header: bool | None = None
    delimiter: str | None = None
    encoding: str | None = None
    label_map: dict[str, str] = {}
    shares: SharesPart = SharesPart()
    conflicts: Literal["drop", "majority", "keep"] = "drop"
    duplicates: bool = True
    limit: Annotated[int, Ge(10), Le(2**40)] | None = None
    group: str | None = None
    time: str | None = None
    annotator: str | None = None
    item: str | None = None
    steps: tuple[Any, ...] = ("mojibake", "strip")
    models: DataModelsPart | None = None
    split: DivisionPart = DivisionPart()

    @field_serializer("label")
    def _one(self, label: tuple[str, ...]) -> str | list[str] | None:
        return None if not label else label[0] if len(label) == 1 else list(label)


def options_of(task: str, data: DataPart, base: Path = Path()) -> Options:
    """The data side's options, with paths made absolute from `base`."""

    def placed(paths: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(placed_at(path, base) for path in paths)

    split = data.split
    return Options(
        train=placed(data.train),
        columns=Columns(
            data.text, data.label[0] if len(data.label) == 1 else data.label or None, data.pair,
            data.group, data.time, data.annotator, data.item,
        ),
        task=task,
        separator=data.separator,
        validation=placed(data.validation),
        test=placed(data.test),
        form=Form(format=data.format, header=data.header, delimiter=data.delimiter, encoding=data.encoding),
        label_map=data.label_map,
        shares=Shares(data.shares.validation, data.shares.test),
        conflicts=data.conflicts,
        duplicates=data.duplicates,
        limit=data.limit,
        conversation=data.conversation,
        system=data.system,
        steps=tuple(moved_steps(data.steps, whole(base))),
        base=base,
        division=Division(
            split.by, split.stratify, split.folds, split.fold,
            None if split.manifest is None else placed((split.manifest,))[0],
        ),
    )  # fmt: skip


def files_of(steps: Sequence[Any]) -> list[Path]:
    """The files that steps read, as they name them (`paths`)."""
    found = [getattr(step, name) for step in steps for name in getattr(step, "paths", ())]
    return [Path(path) for path in found if path is not None]


def moved_steps(steps: Sequence[Any], change: Callable[[str], str]) -> list[Any]:
    """The steps, as a recipe has them or built, with `change` made to the files that they read."""
    made = [registry.build("step", spec) for spec in steps]
    own = [{name: getattr(step, name) for name in getattr(step, "paths", ())} for step in made]
    there = [{name: change(path) for name, path in paths.items() if path is not None} for paths in own]
    return [replace(step, **paths) if paths else step for step, paths in zip(made, there, strict=True)]


def whole(base: Path) -> Callable[[str], str]:
    """What makes a path whole that is relative to `base`."""
    return lambda path: str((base / Path(path).expanduser()).resolve())


def step_problems(data: Any) -> list[Problem]:
    """What is wrong with the steps of a recipe's `data`, as it stands in the file: unknown ones, their order, their needs."""
    if not isinstance(data, Mapping) or not isinstance(data.get("steps"), (list, tuple)):
        return []
    named = data.get("models") if isinstance(data.get("models"), Mapping) else {}
    problems, last = list[Problem](), 0
    for i, spec in enumerate(data["steps"]):
        where = f"data.steps[{i}]"
        try:
            step = registry.build("step", spec, where)
        except RecipeError as error:
            problems += error.problems
            continue
        place = PHASES.index(step.phase)
        if place < last:
            problems.append(
                Problem(where=where, found=f"{registry.name_of(step)}, a step of {step.phase}, after one of {PHASES[last]}",
                        allowed=f"steps of {listed(PHASES)}, in this order", to_do="move it up")
            )  # fmt: skip
        last = max(last, place)
        problems += [
            Problem(where=where, found=f"{registry.name_of(step)} needs data.models.{_MODELS[need]}, and none is named",
                    to_do=f"name one, such as `models: {{{_MODELS[need]}: ...}}`, or leave the step out")
            for need in getattr(step, "needs", ()) if not (named or {}).get(_MODELS[need])
        ]  # fmt: skip
    return problems


_MODELS = {"encode": "encoder", "write": "writer", "perplexity": "language"}


def data_problems(data: DataPart) -> list[Problem]:
    """What of a recipe's data does not go together."""
    problems = list[Problem]()
    if data.shares.validation + data.shares.test >= 1:
        found = f"{data.shares.validation} + {data.shares.test}"
        problems.append(Problem(where="data.shares", found=found, allowed="together below 1"))
    split = data.split
    for column in ("group", "time"):
        if split.by == column and getattr(data, column) is None:
            problems.append(
                Problem(where="data.split.by", found=f"{column}, and no data.{column} is named",
                        allowed=f"data.{column}: the column with it", to_do=f"name the column, or leave out `by: {column}`")
            )  # fmt: skip
    try:
        Division(split.by, split.stratify, split.folds, split.fold, split.manifest)
    except ValueError as error:
        problems.append(Problem(where="data.split", found=str(error)))
    return problems
