"""Rows as the model sees them, with what is learnt from marked, for a terminal.

What is learnt stands in ⟦brackets⟧, and is underlined and green where the terminal has colours: a mask can be read
without them. Control tokens are shown as they are written, line breaks as ⏎, and no sign acts on the terminal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tunewright.reporting.formatting import clean, count, counted

Piece = tuple[str, bool, str | None]
"""A stretch of text, whether the loss is taken there, and whose turn it belongs to: a role, or `template`."""

LEARNT, CONTROL = "underline green", "magenta"
_WHOLE = re.compile(r"</?[A-Za-z_]{1,16}>|\[[A-Z]{2,16}\]")
_MARK = re.compile(r"<\|[^|<>\s]{1,40}\|>|<｜[^｜<>]{1,40}｜>|⏎|⇥|‹U\+[0-9A-F]{4}›|[␀-␟␡]")
_UNSEEN = {code: f"‹U+{code:04X}›" for code in (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A),
                                                *range(0x80, 0xA0), 0x61C, 0xFEFF)}  # fmt: skip


def shown(rows: Sequence[tuple[str, Sequence[Piece]]]) -> Iterator[RenderableType]:
    """A legend, then for each (title, pieces) a heading and the pieces, a line a turn."""
    yield Text.assemble(
        ("⟦learnt⟧", LEARNT), " the loss is taken here   read only   ", ("<|…|> ⏎", CONTROL), " control"
    )
    for title, pieces in rows:
        learnt = sum(len(piece) for piece, supervised, _ in pieces if supervised)
        whole = sum(len(piece) for piece, _, _ in pieces)
        facts = f"  {count(learnt)} of {counted(whole, 'character', 'characters')} learnt"
        yield Text.assemble("\n", (_visible(title), "bold"), facts)
        if not learnt:
            yield Text("nothing of this row is learnt", style="yellow")
        table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for role, turn in groupby(pieces, key=lambda one: one[2]):
            table.add_row(Text(_visible(role or "")), _masked(turn))
        yield table


def _masked(turn: Iterable[Piece]) -> Text:
    """The pieces of one turn, each stretch that is learnt in brackets; a line break at its very end breaks nothing."""
    found, held = Text(), ""
    for supervised, stretch in groupby(turn, key=lambda one: one[1]):
        style = LEARNT if supervised else ""
        found.append(held)
        found.append("⟦" if supervised else "", style)
        held = ""
        for piece, _, role in stretch:
            text = held + _visible(piece)
            held = "\n" if text.endswith("\n") else ""
            control = role == "template" or _WHOLE.fullmatch(piece.strip())
            part = Text(text.removesuffix("\n"), f"{style} {CONTROL}".strip() if control else style)
            part.highlight_regex(_MARK, CONTROL)
            found.append_text(part)
        found.append("⟧" if supervised else "", style)
    return found


def _visible(piece: str) -> str:
    """Control characters as signs; a line break also breaks the line."""
    return clean(piece).translate(_UNSEEN).replace("\t", "⇥ ").replace("\n", "⏎\n")
