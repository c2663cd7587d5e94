"""The options that say which rows a command on data is about."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

Source = Annotated[str, typer.Argument(help="A recipe in YAML, or a data file or folder.")]
Text = Annotated[
    str | None, typer.Option("--text", help="Of a file: the column with the texts, where the guess is wrong.")
]
Label = Annotated[str | None, typer.Option("--label", help="Of a file: the column with the labels, or several: a,b.")]
Pair = Annotated[str | None, typer.Option("--pair", help="Of a file: the column with a second text.")]
Task = Annotated[str | None, typer.Option("--task", help="Of a file: what is to be learnt, where the guess is wrong.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Of everything drawn. Default: the recipe's, else 0.")]
Changes = Annotated[list[str], typer.Option("--set", help="Change the recipe: data.limit=1000. May be repeated.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON value on standard output, nothing else.")]


def say(value: Any) -> None:
    """One JSON value on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
