"""What tutorials say of LoRA, measured on real data; and what every other way of adapting costs and is worth.

    python benchmarks/claims.py --out result.json --markdown result.md
    python benchmarks/claims.py --ways full lora lora_4
    python benchmarks/claims.py --quick

It trains 0.1% to 1% of the parameters, reaches nearly full quality, trains 3 to 5 times as fast and saves 90% of the
storage. MiniLM on several sets, two seeds, each way at the rate that `rate: auto` gives it, each run in a fresh process.
Accuracy on other rows with its Wilson interval, the difference from full fine-tuning paired by item over the seeds.
All runs are Tunewright's own; `adaptations.py` holds it against others. No claim is a gate: whatever comes out is told.
The model was trained on English; what it makes of Chinese characters says how the ways compare there, and no more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from adaptation_figures import way_of
from adaptation_tables import accuracy_cell
from claims_figures import summarise
from contract import EncoderSettings
from encoder_classification import model_folder, prepared
from encoder_rows import draw, made_up, read, shared_data
from program import Program, document_of, options_of, plan_of, played
from rounds import Round
from tables import Section, failure_lines, filled, gate_rows, machine_lines, number
from ways import WAYS

JOBS = "adaptation_jobs"
SETS: dict[str, tuple[str, str, str]] = {
    "tweets": ("tweets/tweets.csv", "text", "sentiment"),
    "sst2": ("sst2/train.tsv", "sentence", "label"),
    "waimai": ("waimai/waimai_10k.csv", "review", "label"),
}
"""A file, the column of the text, and that of the label."""
SPARED = ("vera", "pooler")
"""Ways that must be asked for: the others take a quarter of an hour on two cores."""
CAPTION = (
    "Medians over {seeds} runs of each way and set, one a seed; accuracy is the mean with the Wilson interval of one seed's rows; "
    "the difference is paired by item. Stored: the weights that a run saves. Training: of token ids, what is computed "
    "once included; faster: examples a second against full, median and range over the runs."
)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = options_of(__doc__ or "")
    parser.set_defaults(rounds=2, seeds=2, extra_rounds=0)
    add = parser.add_argument
    add("--sets", nargs="+", choices=[*SETS], default=[*SETS])
    usual = [way for way in WAYS if way not in SPARED]
    add("--ways", nargs="+", choices=[*WAYS], default=usual, metavar="WAY",
        help=f"{', '.join(WAYS)}; default: all but {' and '.join(SPARED)}")  # fmt: skip
    add("--model", type=Path, default=None, help="a model folder; default: the MiniLM of the demo package")
    add("--train-rows", type=int, default=1000)
    add("--valid-rows", type=int, default=2000)
    add("--epochs", type=int, default=3)
    return parser.parse_args(arguments)


def measure_set(options: argparse.Namespace, name: str, folder: Path, console: Console) -> tuple[list[Round], Any, Any]:
    """All runs on one set, with its plan and what was found."""
    train, valid = (64, 32) if options.quick else (options.train_rows, options.valid_rows)
    file, text, label = SETS[name]
    path = shared_data() / file
    rows = draw(
        made_up(train + valid) if options.quick and not path.is_file() else read(path, text, label), train, valid, 0
    )
    folder.mkdir()
    plan = replace(plan_of(options, JOBS, ()), keep_drifted=True)
    models, shape = prepared(plan, rows, model_folder(options.model), folder, JOBS)
    ways = [way for way in options.ways if WAYS[way].member in shape["adaptations"]]
    plan = replace(plan, contenders=tuple(f"{way}/ours" for way in ways))
    settings = EncoderSettings(labels=len(rows.names), epochs=1 if options.quick else options.epochs, survey=True)
    rounds = played(plan, settings, models, folder, console)
    found = summarise(rounds, shape["parameters"], rows.valid_labels)
    return rounds, (plan, settings, shape), found | {"train": train, "valid": valid, "labels": rows.names}


def measure(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    """All sets, one after the other."""
    rounds, sets, last = list[Round](), dict[str, Any](), None
    for name in options.sets:
        console.print(f"{name}:", markup=False)
        played_, last, sets[name] = measure_set(options, name, folder / name, console)
        rounds += played_
    assert last is not None
    plan, settings, shape = last
    gates = [{**gate, "contender": f"{name}: {gate['contender']}"} for name in sets for gate in sets[name]["gates"]]
    return document_of(plan, settings, rounds, ("peft",)) | {
        "shape": shape, "sets": sets, "summary": {"ratios": [], "gates": gates}
    }  # fmt: skip


def sections(document: dict[str, Any]) -> list[Section]:
    """The claims, then a table a set."""
    said = {True: "holds", False: "does not hold", None: "can't tell"}
    claims = [
        [c["claim"], name, WAYS[c["way"]].title, c["measured"], said[c["holds"]]]
        for name, found in document["sets"].items()
        for c in found["claims"]
    ]
    claims.sort(key=lambda row: row[0])
    head = ["way", "learns", "share", "accuracy", "minus full, points", "train s", "times as fast as full", "stored KiB",
            "of full", "peak MiB"]  # fmt: skip
    tables: list[Section] = [
        (f"{name}: {found['train']:,} rows to learn, {found['valid']:,} others, {len(found['labels'])} classes", head,
         [way_row(contender, row) for contender, row in found["ways"].items()])
        for name, found in document["sets"].items()
    ]  # fmt: skip
    gates = [gate for gate in document["summary"]["gates"] if not gate["passed"]]
    shown = [("What is said of LoRA", ["claim", "set", "way", "measured", "here"], claims), *tables,
             ("Gates that failed", *gate_rows(gates))]  # fmt: skip
    return [section for section in shown if section[2]]


def way_row(contender: str, row: dict[str, Any]) -> list[str]:
    """A way's row of a set's table."""
    difference, faster = row.get("difference"), row.get("faster")
    points = "-"
    if difference:
        low, high = 100 * difference["low"], 100 * difference["high"]
        points = f"{100 * difference['effect']:+.1f} [{low:+.1f}, {high:+.1f}]"
    return [
        WAYS[way_of(contender)].title,
        number(row["learns"], 0),
        f"{row['share']:.2%}",
        accuracy_cell(row["accuracy"]),
        points,
        number(row["train_seconds"]),
        f"{faster['median']:.2f} ({faster['least']:.2f} - {faster['greatest']:.2f})" if faster else "-",
        number(row["stored"] / 1024, 0),
        f"{row['stored_share']:.1%}" if "stored_share" in row else "-",
        number(row["peak_mib"], 0),
    ]


def facts(document: dict[str, Any]) -> list[str]:
    """The machine, the model and the settings, a line each."""
    settings, shape = document["settings"], document["shape"]
    rates = ", ".join(f"{WAYS[way_of(n)].title} {o['rate']:g}" for n, o in document["options"].items())
    drift = max(r["drift"] for r in document["rounds"])
    return [
        *machine_lines(document, f" (it drifted by {drift:.0%} at most; no round was discarded)"),
        f"Model: {shape['parameters']:,} parameters, {shape['layers']} layers, width {shape['width']}",
        f"Settings: epochs {settings['epochs']}, batch {settings['batch']}, AdamW, linear schedule without warm-up; "
        f"rates (`auto`): {rates}",
        "Full: every parameter learns, of the embeddings those of tokens that the training texts hold (the others would not "
        "move, and are not counted)",
        *failure_lines(document),
    ]


def caption(document: dict[str, Any]) -> str:
    """What the columns mean."""
    return filled(CAPTION, document)


if __name__ == "__main__":
    sys.exit(Program("Claims about LoRA", measure, sections, caption, facts).run(parse()))
