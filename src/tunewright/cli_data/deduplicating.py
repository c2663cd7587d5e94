"""`tunewright data dedup`: files of any length cleaned, deduplicated and divided in bounded memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunewright.cli_data.source import Changes, Json, Label, Pair, Seed, Source, Text, say

if TYPE_CHECKING:
    from tunewright.curating import Opened


def dedup(
    source: Source, text: Text = None, label: Label = None, pair: Pair = None, seed: Seed = None,
    out: Annotated[Path, typer.Option("--out", help="The folder for train, validation, test and the ledger.")] = Path("deduplicated"),
    near: Annotated[float, typer.Option("--near", help="The least Jaccard coefficient of near copies.", min=0.01, max=1)] = 0.8,
    keep: Annotated[str, typer.Option("--keep", help="Of near copies: first, longest, or all (only marked).")] = "first",
    conflicts: Annotated[str, typer.Option("--conflicts", help="Near copies under different labels: queue, majority, keep.")] = "queue",
    form: Annotated[str, typer.Option("--to", help="jsonl or parquet.")] = "jsonl",
    semantic: Annotated[
        str | None, typer.Option("--semantic", help="A model whose vectors say what means the same; all rows are then held in memory.")
    ] = None,
    cosine: Annotated[float, typer.Option("--cosine", help="With --semantic: from which cosine on.", min=0.01, max=1)] = 0.95,
    processes: Annotated[int | None, typer.Option("--processes", help="Default: as many as cores, at most 4.", min=1)] = None,
    change: Changes = [],  # noqa: B006
    as_json: Json = False,
) -> None:  # fmt: skip
    """Clean, deduplicate and divide files of millions of rows, in bounded memory; with --semantic, by meaning too."""
    import os
    from dataclasses import replace

    from tunewright.core.errors import Problem, RecipeError
    from tunewright.core.registry import build, name_of
    from tunewright.curating import open_source
    from tunewright.data.prepare import steps_of
    from tunewright.data.streaming import stream

    if form not in ("jsonl", "parquet"):
        raise RecipeError(Problem(where="--to", found=repr(form), allowed="jsonl, parquet"))
    if semantic is not None and form != "jsonl":
        raise RecipeError(
            Problem(where="--to", found=repr(form), allowed="jsonl, with --semantic",
                    to_do="`tunewright data export` turns it into parquet")
        )  # fmt: skip
    opened = open_source(source, text=text, label=label, pair=pair, seed=seed, changes=change)
    wanted = {"near_duplicates": {"threshold": near, "keep": keep, "conflicts": conflicts}}
    if semantic is not None:
        wanted["semantic_duplicates"] = {"threshold": cosine, "keep": keep}
    steps = steps_of(opened.options)
    named = {name_of(step) for step in steps}
    more = (build("step", {name: given}) for name, given in wanted.items() if name not in named)
    options = replace(opened.options, steps=(*steps, *more))
    if semantic is not None:
        _by_meaning(replace(opened, options=options), semantic, out, as_json)
        return
    count = processes or min(os.cpu_count() or 1, 4)
    found = stream(options, out, base=opened.base, seed=opened.seed, form=form, processes=count)  # type: ignore[arg-type]
    if as_json:
        say(found.as_json())
        return
    from tunewright import screen_copies

    screen_copies.streamed(found)


def _by_meaning(opened: Opened, model: str, out: Path, as_json: bool) -> None:
    from dataclasses import replace

    from tunewright import screen_data
    from tunewright.curating import described, encoder

    found = described(opened.prepared(replace(opened.models(), encode=encoder(model))), out=out)
    if as_json:
        say({"card": found.card, "out": str(out)})
    else:
        screen_data.described(found, out)


def enter(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(dedup)
