"""The figures of the benchmark of causal language models in words and tables."""

from __future__ import annotations

from typing import Any

from tables import Cells, Section, failure_lines, filled, gate_rows, machine_lines, number, ratio_rows

CAPTION = (
    "Medians of {rounds} rounds in turn ({discarded} discarded for drift of the peak), {seeds} seeds. Steady: without "
    "imports, loading and the first two steps; whole: all of the training call. Time to result: from the start of the "
    "process until the last step, saving not included. Peak: resident memory of the process until then. Losses are "
    "nats a supervised token; that of the held-out rows is measured by the same plain float32 code for everyone."
)


def contender_rows(table: dict[str, Any], titles: dict[str, str]) -> tuple[Cells, list[Cells]]:
    """Head and rows of the main table."""
    head = ["contender", "supervised tokens/s", "whole", "tokens/s", "supervised tokens / CPU s", "train CPU s",
            "time to result s", "peak MiB", "last quarter's loss", "held-out loss", "share of bf16 peak"]  # fmt: skip
    gpu = any(row["device_mib"] is not None for row in table.values())
    rows = [
        [
            f"{name.split('/')[0]}: {titles.get(name.split('/', 1)[1], name)}",
            number(row["supervised_per_second"], 0),
            number(row["supervised_per_second_whole"], 0),
            number(row["tokens_per_second"], 0),
            number(row["supervised_per_cpu_second"], 0),
            number(row["train_cpu_seconds"]),
            number(row["time_to_result"]),
            number(row["peak_mib"], 0),
            number(row["last_quarter_loss"], 3),
            number(row["held_out_loss"], 3),
            f"{row['share_of_bfloat16_peak']:.0%}",
            *([number(row["device_mib"], 0)] if gpu else []),
        ]
        for name, row in table.items()
    ]
    return [*head, *(["GPU peak MiB"] if gpu else [])], rows


def sections(document: dict[str, Any]) -> list[Section]:
    """The tables with their titles."""
    summary, titles = document["summary"], document["titles"]
    found = [("Contenders", *contender_rows(summary["contenders"], titles))]
    if summary["screen"]:
        head, rows = contender_rows(summary["screen"], titles)
        kept = [0, 1, 3, 4, 7, 10]
        trial = "Trial of all peers on few rows, once each"
        found.append((trial, [head[i] for i in kept], [[row[i] for i in kept] for row in rows]))
    found += [("Ratios", *ratio_rows(summary["ratios"])), ("Gates", *gate_rows(summary["gates"]))]
    return [section for section in found if section[2]]


def facts(document: dict[str, Any]) -> list[str]:
    """The machine, the peaks, the model, the rows and the settings, a line each."""
    shape, data, settings = document["shape"], document["data"], document["settings"]
    left = ("model", "probe", "seed", "adaptation", "adapter", "steps", "rate", "lora_rate")
    named = ", ".join(f"{name} ({count:,})" for name, count in shape["rows"].items())
    return [
        *machine_lines(document, f" on {document['device']}"),
        f"Model: a Llama of {shape['parameters']:,} parameters with random weights ({data['shape']}: {shape['layers']} "
        f"layers, width {shape['width']}, {shape['body']:,} weights in the layers, {shape['head']:,} in the tied head); "
        f"{shape['pieces']:,} pieces, learnt from the same texts",
        f"Rows: {data['train']:,} to learn ({shape['tokens']:,} tokens, {shape['supervised']:,} supervised, the longest "
        f"{shape['longest']:,}) and {data['valid']:,} held out, as many of each of {named}, drawn with seed "
        f"{data['seed']}" + (", several joined to a row" if data["joined"] else ""),
        "Settings: " + ", ".join(f"{k} {v}" for k, v in settings.items() if k not in left)
        + f", rate {settings['rate']} (LoRA {settings['lora_rate']}), linear schedule without warm-up, AdamW, the same "
        "initial weights for everyone; one order of the rows but for those that group or pack them"
        + (f", at most {settings['steps']} steps" if settings["steps"] else ""),
        *failure_lines(document),
    ]  # fmt: skip


def caption(document: dict[str, Any]) -> str:
    """What the columns mean."""
    return filled(CAPTION, document)
