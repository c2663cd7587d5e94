"""The commands that make a model of models: `merge`, `combine`, `interpolate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tunewright.core.errors import Problem, RecipeError

Json = Annotated[bool, typer.Option("--json", help="One JSON value on standard output, nothing else.")]
OneTask = Annotated[str, typer.Option("--task", help="Which task, where the run is of several.")]
RunDir = Annotated[Path, typer.Argument(help="A run's folder, or a folder with a saved model.")]
Limit = Annotated[int, typer.Option("--limit", help="How many held-out rows at most.")]
Rows = Annotated[
    Path | None, typer.Option("--rows", help="A file with labelled rows, in place of the run's test rows.")
]


def merge(
    run_folder: RunDir,
    into: Annotated[Path | None, typer.Option("--into", help="Where the model goes. Default: RUN/merged.")] = None,
    precision: Annotated[str, typer.Option("--precision", help="float32, bfloat16 or float16.")] = "float32",
    quantize: Annotated[
        str | None, typer.Option("--quantize", help="Store the merged layers in nf4, fp4 or int8 (bitsandbytes).")
    ] = None,
    base: Annotated[
        str, typer.Option("--base", help="For QLoRA: into plain or dequantized weights, or the nearer of both.")
    ] = "nearer",
    rows: Rows = None,
    limit: Limit = 500,
    tolerance: Annotated[
        float | None,
        typer.Option("--tolerance", help="Most mean KL divergence, or most difference of numbers in spreads."),
    ] = None,
    agreement: Annotated[
        float | None, typer.Option("--agreement", help="Least share of decisions that stay, such as 0.99.")
    ] = None,
    task: OneTask = "",
    as_json: Json = False,
) -> None:
    """Put an adapter into plain weights, and prove that they say the same."""
    from tunewright.merging import merge as act

    made = act(
        run_folder, into, task=task, precision=precision, quantize=quantize, base=base, rows=rows, limit=limit,
        tolerance=tolerance, agreement=agreement,
    )  # fmt: skip
    if as_json:
        _say({"folder": str(made.folder), **made.as_json()})
        return
    from tunewright import screen_models

    screen_models.merged(made)


def combine(
    models: Annotated[list[str], typer.Argument(help="Folders of runs or models, each as FOLDER or FOLDER=WEIGHT.")],
    into: Annotated[Path, typer.Option("--into", help="Where the combination goes.")],
    method: Annotated[str, typer.Option("--method", help="linear, ties, dare_linear or dare_ties.")] = "linear",
    density: Annotated[float, typer.Option("--density", help="The share of entries that ties and dare keep.")] = 0.5,
    rank: Annotated[int | None, typer.Option("--rank", help="Of combined LoRAs; else the sum of their ranks.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of dare's draws.")] = 0,
    rows: Rows = None,
    limit: Limit = 500,
    as_json: Json = False,
) -> None:
    """Add up what models of one base have learnt: averages, sums, differences."""
    from tunewright.combining import combine as act

    weighed = _weighed(models)
    made = act(weighed, into, method=method, density=density, rank=rank, seed=seed, rows=rows, limit=limit)
    if as_json:
        _say({"folder": str(made.folder), **made.as_json()})
        return
    from tunewright import screen_models

    screen_models.combined(made)


def interpolate(
    run_folder: RunDir,
    share: Annotated[
        float | None, typer.Option("--share", help="The share that is written; else the best on the validation split.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option("--into", help="Where that model goes; without it none is written.")
    ] = None,
    rows: Annotated[
        list[Path], typer.Option("--rows", help="Labelled rows of another kind, judged too. May be repeated.")
    ] = [],  # noqa: B006
    limit: Limit = 500,
    task: OneTask = "",
    as_json: Json = False,
) -> None:
    """Judge models on the way from the base to the tuned model, and write one of them."""
    from tunewright.combining import interpolate as act

    made = act(run_folder, task=task, rows=rows, limit=limit, share=share, into=into)
    if as_json:
        _say(made.as_json())
        return
    from tunewright import screen_models

    screen_models.interpolated(made)


def _weighed(models: list[str]) -> dict[str, float] | list[str]:
    """Folders with their weights; folders alone where no weight is given.

    Raises:
        RecipeError: some have a weight and others none, a weight is no number, or a folder stands twice.
    """
    split = [
        (text, "") if Path(text).is_dir() else tuple(text.rsplit("=", 1)) if "=" in text else (text, "")
        for text in models
    ]
    names = [one[0] for one in split]
    weights = dict[str, float]()
    problems = []
    for (name, weight), text in zip(split, models, strict=True):
        if weight:
            try:
                weights[name] = float(weight)
            except ValueError:
                problems.append(
                    Problem(where=text, found=f"{weight!r} is no number", allowed="FOLDER=WEIGHT, such as runs/a=0.5")
                )
    if 0 < len(weights) < len(names) and not problems:
        lacking = [name for name in names if name not in weights]
        problems.append(
            Problem(where=lacking[0], found="no weight, and others have one", allowed="a weight for each, or for none")
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        problems.append(
            Problem(where=twice, found="it stands twice", allowed="each model once", to_do="add up its weights")
        )
    if problems:
        raise RecipeError(*problems)
    return weights or names


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def enter(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    for command in (merge, combine, interpolate):
        app.command()(command)
