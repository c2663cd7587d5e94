"""`tunewright data augment`: new rows of old ones, with gates, yields and what each operator is worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tunewright.cli_data.source import Changes, Json, Label, Pair, Seed, Source, Task, Text, say


def augment(
    source: Source, text: Text = None, label: Label = None, pair: Pair = None, task: Task = None, seed: Seed = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write train with its new rows: .jsonl, .csv or .parquet.")] = None,
    operators: Annotated[
        str | None, typer.Option("--operators", help="Names with commas, or a JSON list with their options.")
    ] = None,
    copies: Annotated[int | None, typer.Option("--copies", help="New rows asked for of each row and operator.")] = None,
    quota: Annotated[list[str], typer.Option("--quota", help="balance, or LABEL=NUMBER of new rows. May be repeated.")] = [],  # noqa: B006
    ablate: Annotated[bool | None, typer.Option("--ablate/--no-ablate", help="Try each operator; use those that pay.")] = None,
    keep_anyway: Annotated[bool, typer.Option("--keep-anyway", help="Use all operators, whatever the trial says.")] = False,
    gates: Annotated[str | None, typer.Option("--gates", help="Names with commas, or a JSON list with options.")] = None,
    protect: Annotated[list[str], typer.Option("--protect", help="A word or name that stays. May be repeated.")] = [],  # noqa: B006
    writer: Annotated[
        str | None, typer.Option("--writer", help='A model\'s folder, or JSON: {"address": "http://...", "model": "NAME"}.')
    ] = None,
    encoder: Annotated[str | None, typer.Option("--encoder", help="For the gate `similar`: a model or folder.")] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Hold nothing out: the source is train alone.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", help="Use so many rows.")] = None,
    only_new: Annotated[bool, typer.Option("--only-new", help="Write the new rows alone.")] = False,
    change: Changes = [],  # noqa: B006
    as_json: Json = False,
) -> None:  # fmt: skip
    """Make new rows of train, keep them away from held-out rows, and say which operators pay."""
    from tunewright.augmenting import augment as grow
    from tunewright.augmenting import quotas_of, step_of
    from tunewright.curating import open_source

    opened = open_source(source, text=text, label=label, pair=pair, task=task, seed=seed, changes=change)
    step = step_of(opened, {
        "operators": _listed(operators, "--operators"), "copies": copies, "quotas": quotas_of(quota), "ablate": ablate,
        "keep_anyway": keep_anyway or None, "gates": _listed(gates, "--gates"), "protect": tuple(protect),
    })  # fmt: skip
    found = grow(
        opened,
        step,
        writer_spec=_json(writer),
        encoder_name=encoder,
        whole=whole,
        limit=limit,
        only_new=only_new,
        out=out,
    )
    if as_json:
        say(found.as_json())
        return
    from tunewright import screen_augment

    screen_augment.augmented(found)


def _listed(given: str | None, where: str) -> Any:
    """Names with commas, or a JSON list."""
    if given is None or not given.lstrip().startswith("["):
        return None if given is None else tuple(name.strip() for name in given.split(",") if name.strip())
    from tunewright.core.errors import Problem, RecipeError

    try:
        return tuple(json.loads(given))
    except ValueError as error:
        raise RecipeError(
            Problem(
                where=where, found=f"no JSON list: {error}", allowed='names with commas, or [{"typos": {"share": 0.2}}]'
            )
        ) from None


def _json(given: str | None) -> Any:
    """JSON where it looks like an object, else the text itself."""
    if given is None or not given.lstrip().startswith("{"):
        return given
    from tunewright.core.errors import Problem, RecipeError

    try:
        return json.loads(given)
    except ValueError as error:
        raise RecipeError(Problem(where="--writer", found=f"no JSON object: {error}")) from None


def enter(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(augment)
