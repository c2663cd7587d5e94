"""What the command line shows of rows that were cleaned. Decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from tunewright.core.errors import counted, listed
from tunewright.data.card import defect_title
from tunewright.screen import out

if TYPE_CHECKING:
    from tunewright.cleaning import Cleaned


def cleaned(found: Cleaned) -> None:
    """The stages with their sums, and the first row of each reason."""
    shown = Table(box=None, pad_edge=False, header_style="dim")
    shown.add_column("stage")
    for head in ("in", "changed", "left out", "set aside", "out"):
        shown.add_column(head, justify="right")
    for name, sums in found.stages.items():
        cells = (sums[key] for key in ("in", "changed", "dropped", "quarantined", "out"))
        shown.add_row(escape(name), *(f"{n:,}" if n else "-" for n in cells))
    out.print(shown)
    for code, rows in found.examples.items():
        total = sum(reasons.get(code, 0) for reasons in found.reasons.values()) or len(rows)
        out.print(f"\n{escape(defect_title(code))} [dim]({escape(code)})[/]: {total:,}")
        for one in rows[:1]:
            place = f"[dim]line {one.source.line}:[/]"
            out.print(f"  {place} {escape(one.detail or one.text)}", soft_wrap=True)
    if found.left_out:
        out.print(f"\n[dim]not done here: {escape(listed(found.left_out))}; use `tunewright data check`[/]")
    out.print(f"\n{counted(found.rows, 'row')} in {escape(found.out)}; every change in {escape(found.ledger)}")
