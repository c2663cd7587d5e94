"""Fine-tuning a causal language model on questions with answers: Tunewright against TRL, and transformers with peft.

    python benchmarks/causal_lm.py --out result.json --markdown result.md
    python benchmarks/causal_lm.py --quick --contenders trl_default hf_bfloat16_grouped ours
    python benchmarks/causal_lm.py --device cuda --shape 0.5b

Full fine-tuning and LoRA of a Llama with random weights (about 25 million parameters, 32,000 pieces) on 1,000 rows of
alpaca and gsm8k, the loss on the answers alone. What makes the comparison one that others accept:

- One machine, one sitting; every contender in a fresh process; rounds in turn (A B, B A, ...); medians, and the ratios
  within each round. CPU seconds stand beside wall-clock seconds.
- The same token ids, labels, initial weights (of the adapter too), epochs, batch, rate, schedule, optimizer and
  clipping; the same order of rows, but for peers that group rows by length or pack them.
- TRL as its quick start has it, and every setting that an expert would try. A trial of all of them on few rows finds
  the fastest; these play the rounds, and the headline is against the fastest there.
- Gates before figures: ids and labels; loss (1e-5 in float32, 1e-2 in bfloat16) and gradient norm (2%) at step 0
  against plain float32 code; the loss of the last quarter and of held-out rows within 0.05 over the seeds.
- The machine's matrix-product peak is measured around every round; one over which it drifts by more than 10% is
  reported, discarded and played again.

Not compared: `torch.compile`, which costs more than it gives on a CPU at this length of run; saving of the result.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from causal_figures import DEFAULT, finalists, is_ours, summarise
from causal_peers import PEERS
from causal_tables import caption, facts, sections
from contract import CausalSettings
from program import Program, document_of, options_of, plan_of, played, trial
from rounds import Plan, Round, ask

JOBS = "causal_jobs"
SHAPES = ("tiny", "25m", "0.5b", "1b")
OURS = {"ours": "Tunewright", "ours_float32": "Tunewright, float32"}
TITLES = {name: peer.title for name, peer in PEERS.items()} | OURS
QUICK = ("trl_default", "hf_bfloat16_grouped", "ours")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line. What is left out depends on the device, and on --quick."""
    parser = options_of(__doc__ or "")
    add = parser.add_argument
    add("--alpaca", type=Path, default=None, help="JSON rows of instruction, input, output; default: the shared ones")
    add("--gsm8k", type=Path, default=None, help="JSON lines of question, answer; default: the shared ones")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--shape", choices=SHAPES, default=None, help="default: 25m, on a GPU 0.5b, in a quick run tiny")
    add("--adaptations", nargs="+", choices=("full", "lora"), default=["full", "lora"])
    add("--contenders", nargs="+", choices=[*TITLES], default=None, metavar="NAME", help=", ".join(TITLES))
    add("--train-rows", type=int, default=None, help="default: 1,000, on a GPU 400, in a quick run 48")
    add("--valid-rows", type=int, default=None, help="default: 200, on a GPU 50, in a quick run 16")
    add("--max-length", type=int, default=None, help="default: 512, on a GPU 2,048")
    add("--data-seed", type=int, default=0, help="which rows are drawn")
    add("--screen-rows", type=int, default=256, help="rows of the trial that finds the fastest peers; 0: all play")
    add("--finalists", type=int, default=2, help="how many peers of the trial play the rounds, for each adaptation")
    add("--epochs", type=int, default=1)
    add("--steps", type=int, default=0, help="at most so many steps; 0: all of the epochs")
    add("--batch", type=int, default=8)
    add("--rank", type=int, default=16)
    add("--rate", type=float, default=None, help="default: 1e-3, on a GPU 2e-4")
    add("--lora-rate", type=float, default=None, help="default: 2e-3, on a GPU 1e-3")
    options = parser.parse_args(arguments)
    gpu = options.device == "cuda"
    for name, quick, cuda, cpu in (
        ("shape", "tiny", "0.5b", "25m"), ("train_rows", 48, 400, 1000), ("valid_rows", 16, 50, 200),
        ("max_length", 512, 2048, 512), ("rate", None, 2e-4, 1e-3), ("lora_rate", None, 1e-3, 2e-3),
    ):  # fmt: skip
        if getattr(options, name) is None:
            setattr(options, name, quick if options.quick and quick else cuda if gpu else cpu)
    return options


def contenders(options: argparse.Namespace) -> list[str]:
    """`ADAPTATION/NAME` of all who may play on this device."""
    wanted = options.contenders or (QUICK if options.quick else [*PEERS, *OURS])
    missing = {"liger": "liger_kernel", "flash": "flash_attn"}
    absent = [word for word, package in missing.items() if importlib.util.find_spec(package) is None]
    found = []
    for adaptation in options.adaptations:
        for name in wanted:
            peer = PEERS.get(name)
            if peer and (adaptation not in peer.adaptations or options.device not in peer.devices):
                continue
            if any(word in name for word in absent):
                continue
            found.append(f"{adaptation}/{name}")
    return found


def prepare(options: argparse.Namespace, plan: Plan, folder: Path) -> dict[str, Any]:
    """Rows, models and references, in a process of its own."""
    return ask(
        folder,
        {"jobs": JOBS, "job": "prepare", "folder": str(folder), "shape": options.shape,
         "alpaca": options.alpaca and str(options.alpaca), "gsm8k": options.gsm8k and str(options.gsm8k),
         "pretend": options.quick, "max_length": options.max_length, "train_rows": options.train_rows,
         "valid_rows": options.valid_rows, "data_seed": options.data_seed, "joined": options.max_length >= 1024,
         "screen_rows": options.screen_rows, "seeds": list(plan.seeds), "adaptations": options.adaptations,
         "rank": options.rank, "alpha": 2.0 * options.rank, "device": options.device},
    )  # fmt: skip


def chosen(
    names: Sequence[str], screen: Round | None, shape: dict[str, Any], options: argparse.Namespace
) -> tuple[str, ...]:
    """Who plays the rounds: TRL as it comes, the fastest peers of the trial, and ours."""
    if screen is None:
        return tuple(names)
    found = list[str]()
    for adaptation in options.adaptations:
        ours = f"{adaptation}/ours"
        found += [n for n in (f"{adaptation}/{DEFAULT}",) if n in names]
        found += finalists(screen, shape, adaptation, options.finalists)
        found += [ours] if ours in names else []
    return tuple(found)


def measure(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    """Prepare rows and initial models, play the trial and the rounds, return everything that was found.

    Raises:
        SystemExit: there is no such device.
    """
    device = ask(folder, {"jobs": JOBS, "job": "device", "device": options.device})
    if not device["there"]:
        raise SystemExit("PyTorch finds no CUDA device here: run this on a machine with a GPU, or with --device cpu")
    names, size = contenders(options), 8192 if options.device == "cuda" else 2048
    plan = plan_of(options, JOBS, (), options.device, size)  # who plays is put in after the trial
    shape = prepare(options, plan, folder)
    models = {seed: folder / f"model-{seed}" for seed in plan.seeds}
    each = shape["tokens"] / options.train_rows
    settings = CausalSettings(
        epochs=options.epochs, batch=options.batch, rate=options.rate, lora_rate=options.lora_rate, rank=options.rank,
        alpha=2.0 * options.rank, max_length=options.max_length, steps=options.steps, device=options.device,
        packs=max(1, round(options.batch * each / options.max_length)),
    )  # fmt: skip
    screen = None
    if options.screen_rows and not options.quick:
        first = replace(settings, model=str(models[plan.seeds[0]]), seed=plan.seeds[0])
        tried = [n for n in names if is_ours(n) or not n.endswith(f"/{DEFAULT}")]
        screen = trial(plan, tried, first, folder, console)
    plan = replace(plan, contenders=chosen(names, screen, shape, options))
    rounds = played(plan, settings, models, folder, console)
    return document_of(plan, settings, rounds, ("trl", "peft", "datasets", "liger-kernel"), screen) | {
        "device": device["name"],
        "shape": shape,
        "data": {"shape": options.shape, "train": options.train_rows, "valid": options.valid_rows,
                 "seed": options.data_seed, "joined": options.max_length >= 1024},
        "titles": TITLES,
        "summary": summarise(rounds, screen, shape, bool(options.steps), options.device == "cpu"),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(Program("Causal language models", measure, sections, caption, facts).run(parse()))
