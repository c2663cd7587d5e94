"""Figures as terminal tables and as Markdown: what every benchmark shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Cells = list[str]
Section = tuple[str, Cells, list[Cells]]


def number(value: float | None, digits: int = 1) -> str:
    """A figure with thousands separated, or a dash where there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def ratio_rows(ratios: Sequence[dict[str, Any]]) -> tuple[Cells, list[Cells]]:
    """Head and rows of the table of ratios."""
    head = ["ours against", "contender", "what", "ratio", "least - greatest", "needed", "met"]
    rows = [
        [
            r["group"],
            r["peer"],
            r["what"],
            f"{r['median']:.2f}",
            f"{r['least']:.2f} - {r['greatest']:.2f}",
            "-" if r["needed"] is None else f"{r['needed']:g}",
            {None: "-", True: "yes", False: "NO"}[r["met"]],
        ]
        for r in ratios
    ]
    return head, rows


def gate_rows(gates: Sequence[dict[str, Any]]) -> tuple[Cells, list[Cells]]:
    """Head and rows of the gates."""
    head = ["contender", "gate", "found", "limit", "passed"]
    rows = [
        [g["contender"], g["gate"], f"{g['value']:.3g}", f"{g['limit']:g}",
         ("yes" if g["passed"] else "NO" if g["counts"] else "no") + (f" ({g['note']})" if g["note"] else "")]
        for g in gates
    ]  # fmt: skip
    return head, rows


def machine_lines(document: dict[str, Any], peak: str) -> list[str]:
    """The machine with its packages, and its peaks, a line each."""
    machine = document["machine"]
    peaks = [r[side] for r in document["rounds"] for side in ("peak_before", "peak_after")]
    ranges = {p: (min(x[p]["best"] for x in peaks), max(x[p]["best"] for x in peaks)) for p in peaks[0]}
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    return [
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']:.0f} GiB, {machine['platform']}; "
        f"{document['shape']['threads']} threads; {versions}",
        f"Matrix-product peak{peak}: "
        + "; ".join(f"{p} {low:.0f} to {high:.0f} GFLOP/s" for p, (low, high) in ranges.items())
        + f" ({document['plan']['peak_size']} cubed); load average before the rounds: "
        + ", ".join(f"{r['load_average'][0]:.1f}" for r in document["rounds"]),
    ]  # fmt: skip


def filled(caption: str, document: dict[str, Any]) -> str:
    """A caption with the numbers of kept and discarded rounds and of seeds put in."""
    kept = [r for r in document["rounds"] if r["kept"]]
    seeds = len({r["seed"] for r in kept})
    return caption.format(rounds=len(kept), discarded=len(document["rounds"]) - len(kept), seeds=seeds)


def failure_lines(document: dict[str, Any]) -> list[str]:
    """Who failed, and with which last words."""
    return [f"Failed: {name}: {text.splitlines()[-1]}" for name, text in document["failures"].items()]


def show(sections: Sequence[Section], lines: Sequence[str], console: Console) -> None:
    """Print everything for people."""
    for title, head, rows in sections:
        table = Table(title=title, title_justify="left")
        for i, name in enumerate(head):
            table.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for line in lines:
        console.print(line, highlight=False, markup=False)


def markdown(
    title: str, caption: str, sections: Sequence[Section], facts: Sequence[str], options: dict[str, dict[str, Any]]
) -> str:
    """The same as Markdown, to be pasted into `docs/benchmarks.md`."""
    parts = [f"## {title}", caption]
    for name, head, rows in sections:
        parts.append(f"### {name}\n\n{_table(head, rows)}")
    parts.append("### Settings and machine\n\n" + "\n".join(f"- {line}" for line in facts))
    parts.append("### Options of the contenders\n\n" + "\n".join(f"- `{n}`: {_options(o)}" for n, o in options.items()))
    return "\n\n".join(parts) + "\n"


def _options(options: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items() if name != "output_dir")


def _table(head: Cells, rows: Sequence[Cells]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
