"""What the command line shows of rows that were checked, divided, explained or compared. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from tunewright.core.errors import counted
from tunewright.data.differing import Difference
from tunewright.data.explaining import Explained
from tunewright.screen import out

if TYPE_CHECKING:
    from tunewright.curating import Description, Divided

_COLOURS = {"green": "green", "amber": "yellow", "red": "red"}


def table(*heads: str, right: int = 0) -> Table:
    """A table without frame whose columns from `right` on hold numbers."""
    made = Table(box=None, pad_edge=False, show_header=bool(any(heads)), header_style="dim")
    for i, head in enumerate(heads):
        made.add_column(head, justify="right" if right and i >= right else "left", overflow="fold")
    return made


def described(found: Description, place: Path | None) -> None:
    """Sums of the ledger, answers, defects and gates."""
    card = found.card
    sums = table("stage", "in", "added", "out", "left out", "set aside", "changed", right=1)
    for stage in card["stages"]:
        cells = (stage[name] for name in ("in", "added", "out", "dropped", "quarantined", "changed"))
        sums.add_row(stage["name"], *(f"{n:,}" if n else "-" for n in cells))
    out.print(sums)
    out.print()
    splits = [f"{name} {part['rows']:,}" for name, part in card["splits"].items() if isinstance(part, Mapping)]
    out.print(f"splits: {', '.join(splits)} ({escape(card['splits']['method'])})")
    if card.get("languages"):
        out.print("languages: " + ", ".join(f"{row['language']} {row['share']:.0%}" for row in card["languages"][:6]))
    for defect in card["defects"]:
        out.print(f"  {escape(defect['title'])}: {defect['count']:,} {escape(defect['done'])}")
    for note in card["notes"]:
        out.print(f"[dim]note: {escape(note)}[/]")
    out.print()
    shown = table("gate", "", "found", "limit")
    for gate in found.gates:
        colour = _COLOURS[gate.state]
        shown.add_row(escape(gate.title), f"[{colour}]{gate.state}[/]", escape(gate.said), gate.allowed)
    out.print(shown)
    if place is not None:
        out.print(f"written: {escape(str(place))}")


def divided(found: Divided) -> None:
    """How many rows went where."""
    shown = table("", "train", "validation", "test", right=1)
    for name, sizes in found.sizes.items():
        shown.add_row(
            "" if name == "all" else name, *(f"{sizes[split]:,}" for split in ("train", "validation", "test"))
        )
    out.print(shown)
    out.print(escape(found.method))
    for path in found.files:
        out.print(f"written: {escape(path)}")


def explained(found: Sequence[Explained]) -> None:
    """Each row's way."""
    for one in found:
        lines = [f"[dim]{escape(one.file)}, line {one.line}, bytes {one.offset:,} to {one.offset + one.length:,}[/]"]
        if one.raw is not None:
            lines += ["as it stands there:", f"  {escape(one.raw)}"]
        for event in one.events:
            detail = f": {escape(event['detail'])}" if event["detail"] else ""
            lines.append(f"[bold]{escape(event['stage'])}[/] {event['outcome']}, {escape(event['reason'])}{detail}")
        row = one.row
        lines.append(f"ended in [bold]{escape(one.ended)}[/]")
        if row is not None:
            lines += [
                f"  {name}: {escape(str(row[name]))}" for name in _FIELDS if row.get(name) not in (None, "", [], {})
            ]
            lines += [f"  set aside because: {escape(str(row['reason']))}"] if row.get("reason") else []
        lines += [f"  {name}: {escape(', '.join(ids[:8]))}" for name, ids in one.kin.items()]
        out.print(Panel("\n".join(lines), title=escape(str((row or {}).get("id") or "no id")), title_align="left"))


_FIELDS = (
    "text",
    "pair",
    "label",
    "soft",
    "weight",
    "annotations",
    "cluster",
    "group",
    "time",
    "difficulty",
    "flags",
    "parents",
)


def different(found: Difference, first: Path, second: Path) -> None:
    """What came, went, moved."""
    out.print(f"from {escape(str(first))} to {escape(str(second))}")
    if found.nothing:
        out.print(f"no difference: {counted(found.same, 'row')} alike")
        return
    out.print(f"  {found.same:,} rows alike, {found.added:,} came, {found.removed:,} went")
    for title, counts in (("moved", found.moved), ("other label", found.relabelled)):
        for name, n in counts.items():
            out.print(f"  {title}: {escape(name)} {n:,}")
    for kind, rows in found.examples.items():
        for row in rows[:3]:
            out.print(f"  [dim]{kind}: {escape(_short(row))}[/]")
    if found.figures:
        shown = table("figure", "first", "second", right=1)
        for name, (a, b) in found.figures.items():
            shown.add_row(escape(name), *("-" if x is None else f"{x:,}" for x in (a, b)))
        out.print(shown)


def _short(row: Mapping[str, Any]) -> str:
    return f"{row['id']} {row['text'][:80]}"
