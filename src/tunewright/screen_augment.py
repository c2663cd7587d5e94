"""What the command line shows of new rows: what came of each operator, what it is worth, a few examples. Decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from tunewright.core.errors import counted
from tunewright.screen import out

if TYPE_CHECKING:
    from tunewright.augmenting import Augmented


def augmented(found: Augmented) -> None:
    """Yields, the trial, what was added and where it lies."""
    plain = found.found
    if plain["ablation"] is not None:
        _trial(plain["ablation"], plain["off"])
    if plain["yields"]:
        _yields(plain["yields"])
    for operator, examples in plain["examples"].items():
        for one in examples[:1]:
            out.print(f"[dim]{operator}, {escape(one['label'])}:[/] {escape(one['parent'])}")
            out.print(f"  -> {escape(one['child'])}")
    sizes = found.sizes
    made = ", ".join(f"{escape(label)} {n:,}" for label, n in plain["by_label"].items())
    out.print(f"{counted(plain['added'], 'new row')}{f' ({made})' if made else ''}; train holds {sizes['train']:,}")
    out.print(f"kept away from {sizes['validation'] + sizes['test']:,} held-out rows")
    if plain["off"] and not plain["used"]:
        out.print("no operator pays: nothing was added; --keep-anyway adds all the same")
    if found.out is not None:
        out.print(f"written: {escape(found.out)}")


def _trial(ablation: dict[str, Any], off: list[str]) -> None:
    if "refused" in ablation:
        out.print(
            f"no trial: {escape(ablation['refused'])}; operators are off without one (--keep-anyway, --no-ablate)"
        )
        return
    without = ablation["without"]
    out.print(
        f"probe without new rows: accuracy {without['accuracy']:.3f}, macro F1 {without['macro_f1']:.3f} "
        f"({counted(ablation['rows'], 'row')}, {ablation['folds']} folds, {ablation['repeats']} times)"
    )
    table = _table("operator", "new rows", "accuracy", "macro F1", "")
    for name, worth in ablation["operators"].items():
        pays = "[green]pays[/]" if worth["pays"] else "off" if name in off else "does not pay"
        table.add_row(
            name, f"{worth['children']:.0f}", _interval(worth["accuracy"]), _interval(worth["macro_f1"]), pays
        )
    out.print(table)
    out.print(
        f"[dim]differences in points; all intervals together hold in 95 of 100 cases ({ablation['level']:.1%} each)[/]"
    )


def _yields(yields: dict[str, Any]) -> None:
    codes = sorted({code for one in yields.values() for code in one["rejected"]})
    table = _table("operator", "asked", "unchanged", *(code.removeprefix("augment_") for code in codes), "kept")
    for name, one in yields.items():
        cells = [one["asked"], one["unchanged"], *(one["rejected"].get(code, 0) for code in codes), one["kept"]]
        table.add_row(name, *(f"{n:,}" if n else "-" for n in cells))
    out.print(table)


def _interval(one: dict[str, float]) -> str:
    return f"{100 * one['mean']:+.1f} [{100 * one['low']:+.1f}, {100 * one['high']:+.1f}]"


def _table(*heads: str) -> Table:
    made = Table(box=None, pad_edge=False, header_style="dim")
    for i, head in enumerate(heads):
        made.add_column(head, justify="right" if i else "left")
    return made
