"""`tunewright data leaks`: what evaluation sets share with the splits, and a gate on it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tunewright.cli_data.source import Json, Label, Pair, Seed, Source, Task, Text, say

LEAKS = 10
"""The exit code where a row of an evaluation set was found in a split."""


def leaks(
    source: Source, text: Text = None, label: Label = None, pair: Pair = None, task: Task = None, seed: Seed = None,
    against: Annotated[list[str], typer.Option("--against", help="Another evaluation set. May be repeated.")] = [],  # noqa: B006
    near: Annotated[float, typer.Option("--near", help="The least Jaccard coefficient of near copies.", min=0.01, max=1)] = 0.8,
    semantic: Annotated[str | None, typer.Option("--semantic", help="A model whose vectors say what means the same.")] = None,
    cosine: Annotated[float, typer.Option("--cosine", help="The least cosine of what means the same.", min=0.01, max=1)] = 0.95,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Hold every split against every evaluation set; exit with 10 where one leaks into another."""
    from tunewright.curating import encoder, open_source, rows_of
    from tunewright.data import target_of
    from tunewright.data.leakage import Passage, leakage
    from tunewright.data.options import Options
    from tunewright.data.rows import Columns

    asked: dict[str, Any] = {"text": text, "label": label, "pair": pair, "task": task}
    splits, kind = rows_of(source, **asked, seed=seed)
    shown = target_of(Options(train=(), columns=Columns("text", "label"), task=kind)).shown
    sets = {}
    for place in against:
        settled = open_source(place, **(asked if not source.endswith((".yaml", ".yml")) else {})).settled()
        sets[place] = [Passage.of(draft, settled.target.shown) for draft in settled.drafts]
    found = leakage(
        {name: [Passage.of(record, shown) for record in part] for name, part in splits.items()},
        sets, threshold=near, encode=None if semantic is None else encoder(semantic), cosine=cosine,
    )  # fmt: skip
    if as_json:
        say(found.as_json())
    else:
        from tunewright import screen_copies

        screen_copies.leaks(found)
    raise typer.Exit(LEAKS if found.found else 0)


def enter(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(leaks)
