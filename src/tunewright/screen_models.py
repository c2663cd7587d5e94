"""What the command line shows of models that are merged or added up. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from tunewright.combining import Combined, Figure, Interpolated
from tunewright.core.errors import counted
from tunewright.merge_figures import Change, Limits, Merged, Tried
from tunewright.screen import out

_UNITS = {"example": "an item", "label": "an item", "token": "a token", "number": "a number", "reward": "a reward"}


def merged(made: Merged) -> None:
    """The merged model beside base + adapter: each figure with its limit, the metric before and after, and the place."""
    out.print(f"[bold]Merged in {made.precision}[/], read back and held against base + adapter on "
              f"{counted(made.items, 'row')} of {escape(made.source)}")  # fmt: skip
    out.print(_beside(made.tried if len(made.tried) > 1 else {"merged": made.tried[made.chosen]}, made.limits))
    few = made.few_bits
    if few is not None:
        out.print(
            f"[bold]Stored in {few.kind}[/], {few.size / 1e6:,.1f} MB in place of {few.whole / 1e6:,.1f}, opened again by"
        )
        several = len(few.tried) > 1
        columns = {
            (f"{way}, {name}" if several else name): one
            for way, both in few.tried.items()
            for name, one in both.items()
        }
        out.print(_beside(columns, few.limits))
    if len(made.tried) > 1:
        out.print(f"nearest: [bold]{made.chosen}[/]")
    out.print(f"model:  [bold]{escape(str(made.folder))}[/]", soft_wrap=True)


def _beside(tried: Mapping[str, Tried], limits: Limits) -> Table:
    """How alike each way is, a column each, and what is allowed."""
    table = _table("", *tried, "limit")
    likeness = [one.likeness for one in tried.values()]
    unit = _UNITS[likeness[0].unit]
    if likeness[0].kl is None:
        table.add_row(f"largest difference of {likeness[0].unit}s, in spreads",
                      *(f"{one.largest:.3g}" for one in likeness), f"{limits.spread:g}")  # fmt: skip
    else:
        table.add_row("largest difference of log-probabilities, nats", *(f"{one.largest:.3g}" for one in likeness), "")
        table.add_row(f"mean KL divergence, nats {unit}", *(f"{one.kl:.3g}" for one in likeness), f"{limits.kl:g}")
    if likeness[0].agreeing is not None:
        shares = (f"{one.agreement:.2%} of {one.decided:,}" for one in likeness)
        table.add_row("decisions that stay", *shares, f"{limits.agreement:.2%}")
    if any(one.lost is not None for one in tried.values()):
        shares = ("" if one.lost is None else f"{one.lost:.2%}" for one in tried.values())
        table.add_row("lost of what the adapter changed, by KL", *shares, f"{limits.lost:.0%}")
    first = next(iter(tried.values())).change
    if first.before is not None:
        table.add_row(f"{first.metric}, before {first.before:.4f}", *(_after(one.change) for one in tried.values()), "")
    return table


def combined(made: Combined) -> None:
    """The parts and their combination with their figures, and the place."""
    parts = ", ".join(f"{escape(name)} x {weight:g}" for name, weight in made.parts.items())
    out.print(f"[bold]{made.method}[/]: {parts}")
    if made.kept < 1:
        out.print(f"  [yellow]its rank leaves {made.kept:.1%} of the change, at the matrix where that is least[/]")
    _figures(made.figures)
    out.print(f"model:  [bold]{escape(str(made.folder))}[/]", soft_wrap=True)


def interpolated(made: Interpolated) -> None:
    """The way from the base to the tuned model, share by share, and where a model was written."""
    _figures(made.figures, "share")
    if made.best is not None:
        out.print(f"best on the validation split: share [bold]{made.best:g}[/]")
    if made.folder is not None:
        out.print(f"model:  [bold]{escape(str(made.folder))}[/] at share {made.share:g}", soft_wrap=True)


def _figures(figures: Sequence[Figure], name: str = "model") -> None:
    for source in dict.fromkeys(one.source for one in figures):
        own = [one for one in figures if one.source == source]
        table = _table(name, own[0].metric, "95% interval", "difference")
        for one in own:
            span = "" if one.low is None or one.high is None else f"{one.low:.4f} to {one.high:.4f}"
            value = "-" if one.value is None else f"{one.value:.4f}"
            table.add_row(escape(one.model), value, span, "" if one.change is None else _difference(one.change))
        out.print(f"[bold]{escape(source)}[/], {counted(own[0].items, 'row')}")
        out.print(table)


def _after(change: Change) -> str:
    return "-" if change.after is None else f"{change.after:.4f} ({_difference(change)})"


def _difference(change: Change) -> str:
    if change.before is None or change.after is None:
        return "-"
    span = "" if change.low is None or change.high is None else f", {change.low:+.4f} to {change.high:+.4f}"
    return f"{change.after - change.before:+.4f}{span}"


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2))
    for k, column in enumerate(columns):
        table.add_column(escape(column), justify="right" if k else "left")
    return table
