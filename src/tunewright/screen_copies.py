"""What the command line shows of copies: the leakage matrix with its evidence, and what a deduplication left. Decides nothing."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from tunewright.data.journal import excerpt
from tunewright.data.leakage import KINDS, Leakage
from tunewright.data.streaming import Streamed
from tunewright.screen import out

_SHOWN = 10


def leaks(found: Leakage) -> None:
    """The matrix, and the first pairs."""
    matrix = Table(box=None, pad_edge=False, header_style="dim")
    for i, head in enumerate(("split", "against", "rows", "leaked", *KINDS)):
        matrix.add_column(head, justify="right" if i > 1 else "left", overflow="fold")
    for cell in found.cells:
        numbers = (f"{n:,}" if n else "-" for n in (cell.leaked, *(cell.counts[kind] for kind in KINDS)))
        matrix.add_row(escape(cell.split), escape(cell.against), f"{cell.rows:,}", *numbers)
    out.print(matrix)
    for leak in found.evidence[:_SHOWN]:
        out.print(f"\n{leak.kind} {leak.score:.2f}: {escape(leak.against)} from {escape(leak.split)}")
        for row, at in ((leak.row, 0), (leak.other, 2)):
            places = ", ".join(f"{span[at]}-{span[at + 1]}" for span in leak.spans[:4])
            out.print(f"  {escape(row.file)}:{row.line} [dim]{places}[/] {escape(excerpt(row.text))}")
    if len(found.evidence) > _SHOWN:
        out.print(f"\n[dim]{len(found.evidence) - _SHOWN} more pairs with --json[/]")


def streamed(found: Streamed) -> None:
    """Sums of the ledger, splits, and what was found about copies."""
    sums = Table(box=None, pad_edge=False, header_style="dim")
    for i, head in enumerate(("stage", "in", "out", "left out", "set aside", "changed")):
        sums.add_column(head, justify="right" if i else "left")
    for stage in found.ledger.stages:
        numbers = (stage.entered, stage.left, stage.dropped, stage.quarantined, stage.changed)
        sums.add_row(stage.name, *(f"{n:,}" if n else "-" for n in numbers))
    out.print(sums)
    near = found.found.get("near_duplicates")
    if near:
        out.print(
            f"\n{near['in_clusters']:,} rows in {near['clusters']:,} clusters of near copies; the largest has {near['largest']:,}"
        )
        for alarm in near["alarms"]:
            out.print(f"[yellow]cluster {alarm['cluster']} has {alarm['rows']:,} rows ({alarm['share']:.1%})[/]")
    out.print("splits: " + ", ".join(f"{name} {n:,}" for name, n in found.splits.items()))
    for file in found.files:
        out.print(f"written: {escape(file)}")
