"""The figures of the benchmark of encoders in words and tables."""

from __future__ import annotations

from typing import Any

from tables import Cells, Section, failure_lines, filled, gate_rows, machine_lines, number, ratio_rows

CAPTION = (
    "Medians of {rounds} rounds in turn ({discarded} discarded for drift of the peak). Steady: without imports and the "
    "first two steps; whole: all of the training call. Prediction: token ids in, labels in the rows' order out, median "
    "of three passes, each contender's fastest setting. Time to result: from the start of the process until the "
    "validation rows are predicted. Accuracy: mean over {seeds} seeds with the Wilson interval of one seed's rows."
)


LEFT = ("model", "probe", "seed", "adaptation", "adapter", "cache", "survey")
"""Settings that are the same for all, or say nothing."""


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


def accuracy_rows(summary: dict[str, Any]) -> list[Cells]:
    """What the paired comparison of accuracies adds to the table of ratios."""
    rows = []
    for peer, d in summary["accuracy_differences"].items():
        if d:
            points = f"{100 * d['effect']:+.1f}", f"{100 * d['low']:+.1f} - {100 * d['high']:+.1f}"
            met = "yes" if d["high"] >= 0 else "NO"
            rows.append(["accuracy", peer, "points, ours minus theirs, paired", *points, "not below 0", met])
    return rows


def sections(document: dict[str, Any]) -> list[Section]:
    """The three tables with their titles."""
    summary = document["summary"]
    head, rows = ratio_rows(summary["ratios"])
    found = [
        ("Contenders", *contender_rows(summary, document["titles"])),
        ("Ratios", head, rows + accuracy_rows(summary)),
        ("Gates", *gate_rows(summary["gates"])),
    ]
    return [section for section in found if section[2]]


def facts(document: dict[str, Any]) -> list[str]:
    """The machine, the peaks, the settings and the rows, a line each."""
    data, settings = document["data"], document["settings"]
    return [
        *machine_lines(document, ""),
        f"Rows: {data['train']} to train on and {data['valid']} others to predict, of {data['cleaned']} left of "
        f"{data['name']} without empty and repeated texts, drawn with seed {data['seed']}",
        "Settings: " + ", ".join(f"{k} {v}" for k, v in settings.items() if k not in LEFT)
        + ", linear schedule without warm-up, AdamW, the same initial weights and head for everyone",
        f"Useful operations: 6 x {document['shape']['body']:,} x tokens + 6 x {document['shape']['head']:,} x examples "
        f"+ 12 x {document['shape']['layers']} x {document['shape']['width']} x sum of squared lengths",
        *failure_lines(document),
    ]  # fmt: skip


def caption(document: dict[str, Any]) -> str:
    """What the columns mean."""
    return filled(CAPTION, document)
