"""The figures of the benchmark of adaptations in words and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adaptation_figures import own, way_of
from encoder_tables import accuracy_rows
from tables import Cells, Section, failure_lines, filled, machine_lines, number, ratio_rows
from ways import WAYS

CAPTION = (
    "Medians of {rounds} rounds in turn ({discarded} discarded for drift of the peak). Training: all of it from token ids "
    "on, imports and loading left out, whatever is computed once included. Prediction: token ids in, labels in the rows' "
    "order out; the first pass, then the median of three more; over the cache: of rows that a validation has seen before. "
    "Time to result: from the start of the process until the validation rows are predicted. Accuracy: mean over {seeds} "
    "seeds with the Wilson interval of one seed's rows."
)


def contender_rows(table: dict[str, Any], titles: dict[str, str]) -> tuple[Cells, list[Cells]]:
    """Head and rows of the main table."""
    head = ["contender", "train ex/s", "train s", "train CPU s", "predict ex/s", "again", "over cache", "time to result s", "peak MiB",
            "learns", "mean loss", "accuracy"]  # fmt: skip
    rows = [
        [
            f"{WAYS[way_of(name)].title}: {titles.get(own(name), own(name))}",
            number(row["examples_per_second"]),
            number(row["train_seconds"]),
            number(row["train_cpu_seconds"]),
            number(row["first_prediction"], 0),
            number(row["prediction"], 0),
            number(row["prediction_over_cache"], 0),
            number(row["time_to_result"]),
            number(row["peak_mib"], 0),
            number(row["learns"], 0),
            number(row["mean_loss"], 3),
            accuracy_cell(row.get("accuracy")),
        ]
        for name, row in table.items()
    ]
    return head, rows


def accuracy_cell(right: dict[str, Any] | None) -> str:
    """Accuracy with its interval."""
    return f"{right['mean']:.1%} [{right['low']:.1%}, {right['high']:.1%}]" if right else "-"


def gate_table(gates: Sequence[dict[str, Any]]) -> tuple[Cells, list[Cells]]:
    """One row a contender: what each gate found, and which failed."""
    head = ["contender", "token ids", "learns", "work", "step 0: loss", "gradient norm", "mean loss", "failed"]
    rows = []
    for name in dict.fromkeys(gate["contender"] for gate in gates):
        own_ = {gate["gate"]: gate for gate in gates if gate["contender"] == name}
        found = {what: gate["value"] for what, gate in own_.items()}
        work = max(found["difference in steps"], found["difference in examples"])
        cells = [found["other token ids"], found["difference in parameters that learn"], work, found.get("step 0: loss"),
                 found.get("step 0: gradient norm"), found["mean training loss"]]  # fmt: skip
        failed = [what for what, gate in own_.items() if gate["counts"] and not gate["passed"]]
        rows.append([name, *("-" if x is None else f"{x:.2g}" for x in cells), ", ".join(failed) or "none"])
    return head, rows


def sections(document: dict[str, Any]) -> list[Section]:
    """The tables with their titles."""
    summary, titles = document["summary"], document["titles"]
    found = [("Contenders", *contender_rows(summary["contenders"], titles))]
    if summary["screen"]:
        head, rows = contender_rows(summary["screen"], titles)
        kept = [0, 1, 3, 8]
        trial = "Trial of all peers on few rows, once each"
        found.append((trial, [head[i] for i in kept], [[row[i] for i in kept] for row in rows]))
    head, rows = ratio_rows(summary["ratios"])
    found += [
        ("Ratios", head, rows + accuracy_rows(summary)),
        ("Gates: differences from the peer", *gate_table(summary["gates"])),
    ]
    return [section for section in found if section[2]]


def facts(document: dict[str, Any]) -> list[str]:
    """The machine, the peaks, the settings and the rows, a line each."""
    data, settings = document["data"], document["settings"]
    left = ("model", "probe", "seed", "tutorial_steps", "adaptation", "adapter", "cache", "rate", "survey")
    rates = ", ".join(f"{WAYS[way].title} {WAYS[way].rate:g}" for way in data["ways"])
    return [
        *machine_lines(document, ""),
        f"Rows: {data['train']} to train on and {data['valid']} others to predict, of {data['cleaned']} left of "
        f"{data['name']} without empty and repeated texts, drawn with seed {data['seed']}",
        "Settings: " + ", ".join(f"{k} {v}" for k, v in settings.items() if k not in left) + f"; rates: {rates}; linear "
        "schedule without warm-up, AdamW, the same initial weights, head and LoRA for everyone",
        *failure_lines(document),
    ]  # fmt: skip


def caption(document: dict[str, Any]) -> str:
    """What the columns mean."""
    return filled(CAPTION, document)
