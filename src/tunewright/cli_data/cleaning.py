"""`tunewright data clean`: texts cleaned and judged by steps, written to a file with a ledger beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunewright.cli_data.source import Changes, Json, Label, Pair, Seed, Source, Task, Text, say


def clean(
    source: Source,
    out: Annotated[Path, typer.Option("--out", help="The file to write: .jsonl, .csv, .tsv or .parquet.")],
    step: Annotated[
        list[str],
        typer.Option("--step", help="In their order, in place of the recipe's: html, or 'urls: remove'. May be repeated."),
    ] = [],  # noqa: B006
    text: Text = None, label: Label = None, pair: Pair = None, task: Task = None, seed: Seed = None,
    change: Changes = [],  # noqa: B006
    as_json: Json = False,
) -> None:  # fmt: skip
    """Clean texts and leave out what is not fit, a batch at a time; every row's way is in OUT.ledger.jsonl."""
    from tunewright.cleaning import asked
    from tunewright.cleaning import clean as carry_out
    from tunewright.curating import open_source

    steps = asked(step) if step else None
    opened = open_source(source, text=text, label=label, pair=pair, task=task, seed=seed, changes=change)
    found = carry_out(opened, out, steps)
    if as_json:
        say(found.as_json())
        return
    from tunewright import screen_cleaning

    screen_cleaning.cleaned(found)


def enter(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(clean)
