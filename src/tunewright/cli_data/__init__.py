"""The commands `tunewright data ...`, one file a group of them; they work on files alone, without any training."""

from __future__ import annotations

import types

import typer

from tunewright.cli_data import augmenting, cleaning, deduplicating, describing, labels, leaking, suspecting

app = typer.Typer(
    no_args_is_help=True, help="Check, clean, divide and describe rows, without any training.", rich_markup_mode=None
)

GROUPS: tuple[types.ModuleType, ...] = (describing, cleaning, labels, augmenting, deduplicating, leaking, suspecting)
"""Modules with a function `enter(app)` that adds their commands, in the order in which `--help` lists them."""

for group in GROUPS:
    group.enter(app)
