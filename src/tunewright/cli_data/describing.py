"""`tunewright data check | card | split | explain | diff | export`: what rows are, where they go, and what became of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunewright.cli_data.source import Changes, Json, Label, Pair, Seed, Source, Task, Text, say

RED = 9
"""The exit code of a red gate."""
Gates = Annotated[list[str], typer.Option("--gate", help="Another limit of a gate: quarantined=0.2. May be repeated.")]
Rows = Annotated[Path, typer.Argument(help="A run's folder, or one that `data check --out` wrote.")]


def _limits(asked: list[str]) -> dict[str, float]:
    from tunewright.core.errors import Problem, RecipeError

    limits, problems = {}, []
    for one in asked:
        name, _, value = one.partition("=")
        try:
            limits[name.strip()] = float(value)
        except ValueError:
            problems.append(Problem(where="--gate", found=repr(one), allowed="NAME=NUMBER, such as quarantined=0.2"))
    if problems:
        raise RecipeError(*problems)
    return limits


def check(
    source: Source, text: Text = None, label: Label = None, pair: Pair = None, task: Task = None, seed: Seed = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write splits, ledger, card and what was set aside here.")] = None,
    gate: Gates = [],  # noqa: B006
    change: Changes = [],  # noqa: B006
    as_json: Json = False,
) -> None:  # fmt: skip
    """Read, clean, compare and divide rows; say what became of each, and whether they may be trained on."""
    from tunewright.curating import described, open_source

    opened = open_source(source, text=text, label=label, pair=pair, task=task, seed=seed, changes=change)
    found = described(opened.prepared(), _limits(gate), out)
    red = any(one.state == "red" for one in found.gates)
    if as_json:
        say({"ok": not red, "gates": [one.as_json() for one in found.gates], "card": found.card,
             "out": None if out is None else str(out)})  # fmt: skip
    else:
        from tunewright import screen_data

        screen_data.described(found, out)
    raise typer.Exit(RED if red else 0)


def card(
    source: Source, text: Text = None, label: Label = None, pair: Pair = None, task: Task = None, seed: Seed = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the card here: .md or .json.")] = None,
    gate: Gates = [],  # noqa: B006
    change: Changes = [],  # noqa: B006
    as_json: Json = False,
) -> None:  # fmt: skip
    """The data card as Markdown, or as JSON."""
    from tunewright.core.files import write_json, write_text
    from tunewright.curating import described, open_source

    opened = open_source(source, text=text, label=label, pair=pair, task=task, seed=seed, changes=change)
    found = described(opened.prepared(), _limits(gate))
    plain = found.card
    if out is not None:
        write_json(out, plain) if out.suffix == ".json" else write_text(out, found.markdown)
    if as_json:
        say(plain)
    elif out is None:
        typer.echo(found.markdown, nl=False)
    else:
        typer.echo(f"card: {out}")


def split(
    source: Source, text: Text = None, label: Label = None, pair: Pair = None, task: Task = None, seed: Seed = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the splits into this folder.")] = None,
    by: Annotated[str | None, typer.Option("--by", help="What stays together: content, group, time.")] = None,
    column: Annotated[str | None, typer.Option("--column", help="Of a file: the column with the group or the time.")] = None,
    stratify: Annotated[bool, typer.Option("--stratify", help="Even out the classes' shares.")] = False,
    folds: Annotated[int | None, typer.Option("--folds", help="So many folds, written as fold-0, fold-1, ...")] = None,
    validation: Annotated[float, typer.Option("--validation", help="The share of validation.")] = 0.1,
    test: Annotated[float, typer.Option("--test", help="The share of test.")] = 0.1,
    manifest: Annotated[
        Path | None, typer.Option("--manifest", help="A frozen division, or a run: its rows stay where they were.")
    ] = None,
    freeze: Annotated[Path | None, typer.Option("--freeze", help="Write where each row went, for later.")] = None,
    change: Changes = [],  # noqa: B006
    as_json: Json = False,
) -> None:  # fmt: skip
    """Divide rows into train, validation and test, or into folds; never part what belongs together."""
    from tunewright.curating import divide, open_source

    opened = open_source(source, text=text, label=label, pair=pair, task=task, seed=seed, changes=change)
    found = divide(
        opened, by=by, column=column, stratify=stratify, folds=folds, shares=(validation, test), manifest=manifest,
        freeze=freeze, out=out,
    )  # fmt: skip
    if as_json:
        say(found.as_json())
        return
    from tunewright import screen_data

    screen_data.divided(found)


def explain(
    folder: Rows,
    row: Annotated[str, typer.Argument(help="A row's id, FILE:LINE, the number of a line, or part of its text.")],
    most: Annotated[int, typer.Option("--most", help="How many rows at most.")] = 5,
    as_json: Json = False,
) -> None:
    """Follow one row from its bytes in the file through every edit to where it ended."""
    from tunewright.data.explaining import explain as look

    found = look(folder, row, most)
    if as_json:
        say([one.as_json() for one in found])
        return
    from tunewright import screen_data

    screen_data.explained(found)


def diff(first: Rows, second: Rows, as_json: Json = False) -> None:
    """In what two versions of the data differ: rows that came, went, moved, or have another label."""
    from tunewright.data.differing import difference

    found = difference(first, second)
    if as_json:
        say(found.as_json())
        return
    from tunewright import screen_data

    screen_data.different(found, first, second)


def export(
    source: Annotated[str, typer.Argument(help="A run's folder, one of `data check`, a recipe, or a data file.")],
    out: Annotated[Path, typer.Option("--out", help="The folder that the files go to.")],
    to: Annotated[str, typer.Option("--to", help="jsonl, csv, parquet, hf (a data set folder) or openai (chat files).")],
    instruction: Annotated[str, typer.Option("--instruction", help="Of openai: the system message.")] = "",
    text: Text = None, label: Label = None, pair: Pair = None, task: Task = None, seed: Seed = None,
    change: Changes = [],  # noqa: B006
    as_json: Json = False,
) -> None:  # fmt: skip
    """Write the prepared rows for other programs."""
    from tunewright.curating import rows_of
    from tunewright.data.exporting import export as put

    splits, kind = rows_of(source, text=text, label=label, pair=pair, task=task, seed=seed, changes=change)
    made = put(splits, out, to, instruction, kind)
    if as_json:
        say({"files": dict(made.files), "notes": list(made.notes)})
        return
    for path, n in made.files.items():
        typer.echo(f"{path}: {n:,} rows")
    for note in made.notes:
        typer.echo(f"note: {note}")


def enter(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (check, card, split, explain, diff, export):
        app.command()(command)
