"""Ways of adapting a small encoder to short texts: Tunewright against Trainer, and Trainer with peft.

    python benchmarks/adaptations.py --out result.json --markdown result.md
    python benchmarks/adaptations.py --ways top head --rounds 3
    python benchmarks/adaptations.py --ways lora --rounds 3 --extra-rounds 1 --train-rows 1000 --epochs 3
    python benchmarks/adaptations.py --quick

The head and the top layer alone, the head alone, and LoRA of rank 16 on every linear layer; 2,000 tweets, five epochs.
What is compared, and how:

- As `encoder_classification.py` does it: fresh processes, rounds in turn, medians and the ratios within each round, the
  machine's peak around each; the same rows, token ids, initial weights (of head and LoRA too), batch, rate, schedule.
- The peer as it comes (float32, dynamic padding) and as an expert sets it: a trial of all settings on few rows (grouped
  by length, bfloat16, eager attention, frozen weights kept in bfloat16) finds the fastest, which plays the rounds.
- Ours computes layers below the lowest that learns once, so without dropout, which Trainer leaves on there: a change of
  method. The peer has a row in which its frozen layers do not drop out either, and the curves are held against that.
- Gates before figures: token ids, work, the number of parameters that learn; loss and gradient norm at step 0 with
  dropout off; mean training losses; accuracy over seeds not below the peer's by more than its paired interval.
- What is kept is also used again: a second prediction of the same rows, and the second of two runs over one cache on
  the disk, each in a process of its own.

Not compared: features computed once and a linear model fitted to them, as one can do by hand (`baselines: [linear]`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from adaptation_figures import fastest, of_answer, summarise
from adaptation_peers import AS_IT_COMES, PEERS, STILL, plays
from adaptation_tables import caption, facts, sections
from contract import EncoderSettings
from encoder_classification import model_folder, prepared, rows_for, with_rows
from encoder_rows import Rows
from program import Program, document_of, options_of, plan_of, played, trial
from rounds import Round

JOBS = "adaptation_jobs"
OURS = {
    "ours": "Tunewright",
    "ours_first": "Tunewright, first run of a sweep, cache on disk",
    "ours_again": "Tunewright, second run of a sweep, cache on disk",
}
TITLES = {name: f"Trainer, {peer.title}" for name, peer in PEERS.items()} | OURS
QUICK = (AS_IT_COMES, "tuned_bfloat16", f"tuned_bfloat16{STILL}", "ours", "ours_again")
COMPARED = ("top", "pooler", "head", "lora", "full")
FROZEN = ("top", "pooler", "head")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = with_rows(options_of(__doc__ or ""))
    add = parser.add_argument
    names = [name for name in TITLES if name != "ours_first"]
    add(
        "--ways",
        nargs="+",
        choices=COMPARED,
        default=["top", "head", "lora"],
        help="what is adapted; default: %(default)s",
    )
    add("--contenders", nargs="+", choices=names, default=None, metavar="NAME",
        help=f"who plays, in place of a trial's fastest: {', '.join(names)}")  # fmt: skip
    add("--screen-rows", type=int, default=256, help="rows of the trial that finds the fastest peer of each way")
    add("--epochs", type=int, default=5)
    add("--batch", type=int, default=32)
    add("--weight-decay", type=float, default=0.01)
    return parser.parse_args(arguments)


def tried(ways: Sequence[str]) -> list[str]:
    """The contenders of the trial: every setting of the peer but the one as it comes; the same with still layers later."""
    names = [n for n in PEERS if n != AS_IT_COMES and not n.endswith(STILL)]
    return [f"{way}/{name}" for way in ways for name in names if plays(name, way)]


def contenders(options: argparse.Namespace, screen: Round | None) -> list[str]:
    """Who plays the rounds: for each way the peer as it comes, its fastest of the trial, and ours; and ours in full."""
    found = []
    table = {name: of_answer(answer, 1) for name, answer in screen.answers.items()} if screen else {}
    for way in options.ways:
        names = list(options.contenders or QUICK)
        if screen is not None:
            best = fastest(table, way, still=False)
            tuned = [best.split("/", 1)[1]] if best else []
            names = [AS_IT_COMES, *tuned, *(f"{n}{STILL}" for n in tuned), "ours", "ours_again"]
        may = [n for n in names if (plays(n, way) if n in PEERS else n != "ours_again" or way in FROZEN)]
        found += [f"{way}/{name}" for name in may]
    if "lora" in options.ways and "full/ours" not in found:
        found.append("full/ours")
    return found


def measure(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    """Prepare rows and initial models, play the trial and the rounds, return everything that was found."""
    rows, data = rows_for(options)
    plan = plan_of(options, JOBS, ())  # who plays is put in after the trial
    models, shape = prepared(plan, rows, model_folder(options.model), folder, JOBS)
    settings = EncoderSettings(
        labels=len(rows.names), epochs=options.epochs, batch=options.batch, weight_decay=options.weight_decay
    )
    screen = None
    if not options.quick and not options.contenders:
        few = Rows(rows.names, rows.train_texts[: options.screen_rows], rows.train_labels[: options.screen_rows],
                   rows.valid_texts[:1], rows.valid_labels[:1])  # fmt: skip
        (folder / "screen.json").write_text(json.dumps(asdict(few)), encoding="utf-8")
        seed = plan.seeds[0]
        first = replace(settings, model=str(models[seed]), seed=seed, epochs=1, probe=False)
        screen = trial(plan, tried(options.ways), first, folder, console)
    plan = replace(plan, contenders=tuple(contenders(options, screen)))
    rounds = played(plan, settings, models, folder, console)
    return document_of(plan, settings, rounds, ("peft",), screen) | {
        "shape": shape,
        "data": data | {"ways": list(dict.fromkeys(name.split("/")[0] for name in plan.contenders))},
        "titles": TITLES,
        "summary": summarise(rounds, screen, shape, rows.valid_labels, not options.quick),
    }


if __name__ == "__main__":
    sys.exit(Program("Ways of adapting", measure, sections, caption, facts).run(parse()))
