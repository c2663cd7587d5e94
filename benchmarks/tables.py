"""The benchmark's figures as a terminal table and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Cells = list[str]

CAPTION = (
    "Medians of {rounds} rounds in turn ({discarded} discarded for drift of the peak). Steady: without imports and the "
    "first two steps; whole: all of the training call. Prediction: token ids in, labels in the rows' order out, median "
    "of three passes, each contender's fastest setting. Time to result: from the start of the process until the "
    "validation rows are predicted. Accuracy: mean over {seeds} seeds with the Wilson interval of one seed's rows."
)


def number(value: float | None, digits: int = 1) -> str:
    """A figure with thousands separated, or a dash where there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def contender_rows(summary: dict[str, Any], titles: dict[str, str]) -> tuple[Cells, list[Cells]]:
    """Head and rows of the main table."""
    head = ["contender", "train ex/s steady", "whole", "tokens/s", "CPU s", "predict ex/s", "time to result s",
            "peak MiB", "accuracy", "share of bf16 peak"]  # fmt: skip
    rows = []
    for name, row in summary["contenders"].items():
        right = row["accuracy"]
        result = number(row["time_to_result"])
        if row["time_to_result"] is None:
            result = f"({number(row['time_to_result_extrapolated'], 0)}, extrapolated, training only)"
        rows.append(
            [
                titles.get(name, name),
                number(row["examples_per_second"]),
                number(row["examples_per_second_whole"]),
                number(row["tokens_per_second"], 0),
                number(row["train_cpu_seconds"]),
                number(row["prediction_examples_per_second"], 0),
                result,
                number(row["peak_mib"], 0),
                f"{right['mean']:.1%} [{right['low']:.1%}, {right['high']:.1%}]" if right else "-",
                f"{row['share_of_bfloat16_peak']:.0%}",
            ]
        )
    return head, rows


def ratio_rows(summary: dict[str, Any]) -> tuple[Cells, list[Cells]]:
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
        for r in summary["ratios"]
    ]
    for peer, d in summary["accuracy_differences"].items():
        if d:
            points = f"{100 * d['effect']:+.1f}", f"{100 * d['low']:+.1f} - {100 * d['high']:+.1f}"
            met = "yes" if d["high"] >= 0 else "NO"
            rows.append(["accuracy", peer, "points, ours minus theirs, paired", *points, "not below 0", met])
    return head, rows


def gate_rows(summary: dict[str, Any]) -> tuple[Cells, list[Cells]]:
    """Head and rows of the gates."""
    head = ["contender", "gate", "found", "limit", "passed"]
    rows = [
        [g["contender"], g["gate"], f"{g['value']:.3g}", f"{g['limit']:g}",
         ("yes" if g["passed"] else "NO" if g["counts"] else "no") + (f" ({g['note']})" if g["note"] else "")]
        for g in summary["gates"]
    ]  # fmt: skip
    return head, rows


def sections(document: dict[str, Any]) -> list[tuple[str, Cells, list[Cells]]]:
    """The three tables with their titles."""
    summary = document["summary"]
    main = contender_rows(summary, document["titles"])
    found = [("Contenders", *main), ("Ratios", *ratio_rows(summary)), ("Gates", *gate_rows(summary))]
    return [section for section in found if section[2]]


def facts(document: dict[str, Any]) -> list[str]:
    """The machine, the peaks, the settings and the rows, a line each."""
    machine, data, settings = document["machine"], document["data"], document["settings"]
    peaks = [r[side] for r in document["rounds"] for side in ("peak_before", "peak_after")]
    ranges = {p: (min(x[p]["best"] for x in peaks), max(x[p]["best"] for x in peaks)) for p in peaks[0]}
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    lines = [
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']:.0f} GiB, {machine['platform']}; "
        f"{document['shape']['threads']} threads; {versions}",
        "Matrix-product peak: " + "; ".join(f"{p} {low:.0f} to {high:.0f} GFLOP/s" for p, (low, high) in ranges.items())
        + f" ({document['plan']['peak_size']} cubed)",
        f"Rows: {data['train']} to train on and {data['valid']} others to predict, of {data['cleaned']} left of "
        f"{data['name']} without empty and repeated texts, drawn with seed {data['seed']}",
        "Settings: " + ", ".join(f"{k} {v}" for k, v in settings.items() if k not in ("model", "probe", "seed"))
        + ", linear schedule without warm-up, AdamW, the same initial weights and head for everyone",
        f"Useful operations: 6 x {document['shape']['body']:,} x tokens + 6 x {document['shape']['head']:,} x examples "
        f"+ 12 x {document['shape']['layers']} x {document['shape']['width']} x sum of squared lengths",
    ]  # fmt: skip
    return lines + [f"Failed: {name}: {text.splitlines()[-1]}" for name, text in document["failures"].items()]


def caption(document: dict[str, Any]) -> str:
    """What the columns mean."""
    kept = [r for r in document["rounds"] if r["kept"]]
    return CAPTION.format(
        rounds=len(kept), discarded=len(document["rounds"]) - len(kept), seeds=len({r["seed"] for r in kept})
    )


def show(document: dict[str, Any], console: Console) -> None:
    """Print everything for people."""
    for title, head, rows in sections(document):
        table = Table(title=title, title_justify="left")
        for i, name in enumerate(head):
            table.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for line in (caption(document), *facts(document)):
        console.print(line, highlight=False, markup=False)


def markdown(document: dict[str, Any]) -> str:
    """The same as Markdown, to be pasted into `docs/benchmarks.md`."""
    parts = [f"## Encoder classification, {document['date']}", caption(document)]
    for title, head, rows in sections(document):
        parts.append(f"### {title}\n\n{_table(head, rows)}")
    parts.append("### Settings and machine\n\n" + "\n".join(f"- {line}" for line in facts(document)))
    options = document["options"]
    parts.append("### Options of the contenders\n\n" + "\n".join(f"- `{n}`: {_options(o)}" for n, o in options.items()))
    return "\n\n".join(parts) + "\n"


def _options(options: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items() if name != "output_dir")


def _table(head: Cells, rows: Sequence[Cells]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
