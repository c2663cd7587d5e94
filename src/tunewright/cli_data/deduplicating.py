"""`tunewright data dedup`: files of any length cleaned, deduplicated and divided in bounded memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunewright.cli_data.source import Changes, Json, Label, Pair, Seed, Source, Text, say


def dedup(
    source: Source, text: Text = None, label: Label = None, pair: Pair = None, seed: Seed = None,
    out: Annotated[Path, typer.Option("--out", help="The folder for train, validation, test and the ledger.")] = Path("deduplicated"),
    near: Annotated[float, typer.Option("--near", help="The least Jaccard coefficient of near copies.", min=0.01, max=1)] = 0.8,
    keep: Annotated[str, typer.Option("--keep", help="Of near copies: first, longest, or all (only marked).")] = "first",
    conflicts: Annotated[str, typer.Option("--conflicts", help="Near copies under different labels: queue, majority, keep.")] = "queue",
    form: Annotated[str, typer.Option("--to", help="jsonl or parquet.")] = "jsonl",
    processes: Annotated[int | None, typer.Option("--processes", help="Default: as many as cores, at most 4.", min=1)] = None,
    change: Changes = [],  # noqa: B006
    as_json: Json = False,
) -> None:  # fmt: skip
    """Clean, deduplicate and divide files of millions of rows, in bounded memory."""
    import os
    from dataclasses import replace

    from tunewright.core.errors import Problem, RecipeError
    from tunewright.core.registry import build
    from tunewright.curating import open_source
    from tunewright.data.prepare import steps_of
    from tunewright.data.steps.near_duplicates import NearDuplicates
    from tunewright.data.streaming import stream

    if form not in ("jsonl", "parquet"):
        raise RecipeError(Problem(where="--to", found=repr(form), allowed="jsonl, parquet"))
    opened = open_source(source, text=text, label=label, pair=pair, seed=seed, changes=change)
    options = opened.options
    if not any(isinstance(step, NearDuplicates) for step in steps_of(options)):
        step = build("step", {"near_duplicates": {"threshold": near, "keep": keep, "conflicts": conflicts}})
        options = replace(options, steps=(*steps_of(options), step))
    count = processes or min(os.cpu_count() or 1, 4)
    found = stream(options, out, base=opened.base, seed=opened.seed, form=form, processes=count)  # type: ignore[arg-type]
    if as_json:
        say(found.as_json())
        return
    from tunewright import screen_copies

    screen_copies.streamed(found)


def enter(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(dedup)
