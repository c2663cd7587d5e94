"""What the command line shows of suspects, of their review, of difficulty and of balance. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from tunewright.core.errors import counted
from tunewright.data.balance import Balance
from tunewright.data.journal import Draft, excerpt
from tunewright.data.labels.intervals import Figure, wilson
from tunewright.data.suspects.finding import Suspects
from tunewright.data.suspects.review import Estimate
from tunewright.screen import out

_SHOWN = 10
KEYS = "[bold]k[/]eep  [bold]r[/]elabel  [bold]d[/]rop  [bold]s[/]kip  [bold]q[/]uit"


def suspects(found: Suspects, place: Path | None) -> None:
    """The most suspect rows with why, and how many errors are expected."""
    for one in found.first(_SHOWN):
        if one.given != one.suggested:
            out.print(f"{one.rank:>3}. {escape(excerpt(one.text))}\n     [dim]{escape(one.why)}[/]")
    out.print(f"\nthe confident joint expects [bold]{found.errors:,.0f}[/] wrong labels among "
              f"{counted(len(found.drafts), 'row')}; hard rows count too: only a review tells")  # fmt: skip
    unjudged = int((~found.ranked.judged).sum())
    if unjudged:
        out.print(f"[yellow]{counted(unjudged, 'row')} of classes with fewer than five are not judged[/]")
    if place is not None:
        out.print(f"list:   [bold]{escape(str(place))}[/]\nnext:   tunewright data suspects review {escape(str(place))}",
                  soft_wrap=True)  # fmt: skip


def question(row: Mapping[str, Any], place: int, of: int) -> None:
    """One row to be reviewed."""
    out.rule(f"{place} of {of}", style="dim")
    out.print(escape(str(row["text"])))
    out.print(f"given [bold]{escape(str(row['given']))}[/]   suggested [bold]{escape(str(row['suggested']))}[/]")
    out.print(f"[dim]{escape(str(row['why']))}[/]\n{KEYS}")


def keys() -> None:
    """What can be pressed."""
    out.print(KEYS)


def choices(labels: Sequence[str], suggested: str) -> None:
    """The labels by their numbers."""
    shown = "  ".join(f"[bold]{i}[/] {escape(name)}" for i, name in enumerate(labels, 1))
    out.print(f"{shown}   (nothing: {escape(suggested)})")


def estimate(made: Estimate) -> None:
    """What the answers say of the list."""
    out.print(f"{counted(made.answered, 'row')} answered")
    out.print(f"precision among the first {made.top:,}: {_figure(made.precision, percent=True)}")
    out.print(f"errors among all {made.rows:,} rows: {_figure(made.errors)}")


def _figure(one: Figure, *, percent: bool = False) -> str:
    if one.value is None or one.low is None or one.high is None:
        return f"[dim]not yet: {escape(one.refused)}[/]"
    form = "{:.0%}" if percent else "{:,.0f}"
    return f"[bold]{form.format(one.value)}[/] ({form.format(one.low)} to {form.format(one.high)})"


def difficulty(drafts: Sequence[Draft], place: Path | None) -> None:
    """Quantiles of each measure, with its hardest row."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for i, head in enumerate(("measure", "least", "median", "most", "hardest")):
        table.add_column(head, justify="right" if 0 < i < 4 else "left")
    rows = [dict(draft.difficulty) for draft in drafts]
    for name in rows[0] if rows else ():
        own = np.array([row[name] for row in rows])
        hardest = escape(excerpt(drafts[int(own.argmax())].text)[:60])
        table.add_row(name, *(f"{q:.3g}" for q in np.quantile(own, [0, 0.5, 1])), hardest)
    out.print(table)
    if place is not None:
        out.print(f"rows:   [bold]{escape(str(place))}[/]", soft_wrap=True)


def balance(found: Sequence[Balance], made: Mapping[str, Any] | None, place: Path | None) -> None:
    """The counts of each slice, and the plan."""
    for slice_ in found:
        entropy = "" if slice_.entropy is None else f", entropy {slice_.entropy:.2f} of 1"
        out.print(f"[bold]{slice_.name}[/]: largest over smallest {slice_.ratio:,.1f}{entropy}")
        table = Table(box=None, pad_edge=False, show_header=False)
        for name, n in list(slice_.counts.items())[:_SHOWN]:
            table.add_row(f"  {escape(name)}", f"{n:,}", _figure(wilson(n, slice_.rows), percent=True))
        out.print(table)
        if len(slice_.counts) > _SHOWN:
            out.print(f"  [dim]and {len(slice_.counts) - _SHOWN} more[/]")
    if made is None:
        return
    what = "new rows" if made["plan"] == "quotas" else "weight"
    out.print(f"[bold]plan[/] ({made['plan']})")
    for one in made["cells"][:_SHOWN]:
        cell = " x ".join(str(value) for value in one["cell"].values())
        out.print(f"  {escape(cell)}: {what} {one[what]:,.3g}")
    if place is not None:
        out.print(f"plan:   [bold]{escape(str(place))}[/]", soft_wrap=True)
