"""Training on several answers to one prompt: the prompt computed once, against every sequence computed whole.

    python benchmarks/shared_prefix.py --out result.json --markdown result.md

Eight answers of about 60 tokens to a prompt of 200; one prompt a step; the model of `causal_lm.py`. Both ways must
give the same loss and gradient: gates at step 0 (1e-2, and 2% for the gradient) and over the curve. What is needed is
a ratio of 1.8 in supervised tokens a second.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from causal_figures import last_quarter
from contract import WARM_UP_STEPS, CausalSettings
from figures import CURVE_LIMIT, GRADIENT_LIMIT, LOSS_LIMITS, Figures, Gates, Ratios, medians
from program import Program, document_of, options_of, plan_of, played
from rounds import Round, ask, names_in
from tables import Section, failure_lines, filled, gate_rows, machine_lines, number, ratio_rows

JOBS = "prefix_jobs"
NEEDED = 1.8
CAPTION = (
    "Medians of {rounds} rounds in turn. Steady: without loading and the first two steps. Tokens as the data has them: "
    "a prompt counts once for each of its answers."
)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = options_of(__doc__ or "")
    add = parser.add_argument
    add("--shape", choices=("tiny", "25m", "0.5b", "1b"), default=None, help="default: 25m, in a quick run tiny")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--adaptations", nargs="+", choices=("full", "lora"), default=["full", "lora"])
    add("--contenders", nargs="+", choices=("whole", "once"), default=["whole", "once"])
    add("--groups", type=int, default=None, help="prompts, one a step; default: 30, in a quick run 6")
    add("--prompt", type=int, default=200, help="tokens of a prompt")
    add("--answer", type=int, default=60, help="tokens of an answer, more or less")
    add("--rate", type=float, default=1e-3)
    options = parser.parse_args(arguments)
    options.shape = options.shape or ("tiny" if options.quick else "25m")
    options.groups = options.groups or (6 if options.quick else 30)
    return options


def of_answer(answer: Figures) -> Figures:
    """The figures of one side in one round."""
    steady = answer["steps"][WARM_UP_STEPS:] or answer["steps"]
    wall, supervised = sum(s["seconds"] for s in steady), sum(s["supervised"] for s in steady)
    return {
        "supervised_per_second": supervised / wall,
        "supervised_per_cpu_second": supervised / sum(s["cpu_seconds"] for s in steady),
        "tokens_per_second": sum(s["tokens"] for s in steady) / wall,
        "peak_mib": answer["finish"]["peak_mib"],
        "last_quarter_loss": last_quarter(answer),
    }


def summarise(rounds: Sequence[Round]) -> Figures:
    """Medians, ratios of once against whole, and gates."""
    used = [r for r in rounds if r.kept]
    names = names_in(used)
    each = {n: {r.number: of_answer(r.answers[n]) for r in used if n in r.answers} for n in names}
    ratios, gates = Ratios(each), Gates()
    for mine in (n for n in names if n.endswith("/once")):
        base = mine.replace("/once", "/whole")
        pairs = [(r.answers[mine], r.answers[base]) for r in used if mine in r.answers and base in r.answers]
        if not pairs:
            continue
        for what, key, needed, upward in (
            ("supervised tokens a second", "supervised_per_second", NEEDED, True),
            ("supervised tokens a CPU second", "supervised_per_cpu_second", None, True),
            ("peak memory", "peak_mib", None, False),
        ):
            ratios.add(what, mine, base, lambda _, f: f[key], needed, upward, mine)  # noqa: B023
        gates.add(mine, "other token ids", sum(a["tokens_digest"] != b["tokens_digest"] for a, b in pairs), 0)
        probes = [(a["probe"], b["probe"]) for a, b in pairs]
        limit = LOSS_LIMITS[pairs[0][0]["precision"]]
        gates.add(mine, "step 0: loss", max(abs(a["loss"] - b["loss"]) for a, b in probes), limit)
        away = max(abs(a["gradient_norm"] / b["gradient_norm"] - 1) for a, b in probes)
        gates.add(mine, "step 0: gradient norm", away, GRADIENT_LIMIT)
        apart = abs(statistics.mean(last_quarter(a) - last_quarter(b) for a, b in pairs))
        gates.add(mine, "loss of the last quarter, difference", apart, CURVE_LIMIT)
    return {"contenders": {n: medians(list(f.values())) for n, f in each.items()}, "ratios": ratios.found,
            "gates": gates.found}  # fmt: skip


def measure(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, Any]:
    """Prepare groups and models, play the rounds, return everything that was found.

    Raises:
        SystemExit: there is no such device.
    """
    if not ask(folder, {"jobs": "causal_jobs", "job": "device", "device": options.device})["there"]:
        raise SystemExit("PyTorch finds no CUDA device here: run this on a machine with a GPU, or with --device cpu")
    names = [f"{a}/{side}" for a in options.adaptations for side in options.contenders]
    plan = plan_of(options, JOBS, names, options.device)
    shape = ask(
        folder,
        {"jobs": JOBS, "job": "prepare", "folder": str(folder), "shape": options.shape, "groups": options.groups,
         "prompt": options.prompt, "answer": options.answer, "seeds": list(plan.seeds), "pretend": options.quick},
    )  # fmt: skip
    models = {seed: folder / f"model-{seed}" for seed in plan.seeds}
    settings = CausalSettings(rate=options.rate, batch=shape["answers"], device=options.device)
    rounds = played(plan, settings, models, folder, console)
    data = {"groups": options.groups, "prompt": options.prompt, "answer": options.answer}
    return document_of(plan, settings, rounds, ("peft",)) | {"shape": shape, "data": data, "summary": summarise(rounds)}


def sections(document: dict[str, Any]) -> list[Section]:
    """The tables with their titles."""
    head = ["way", "supervised tokens/s", "tokens/s", "supervised tokens / CPU s", "peak MiB", "last quarter's loss"]
    keys = (("supervised_per_second", 0), ("tokens_per_second", 0), ("supervised_per_cpu_second", 0),
            ("peak_mib", 0), ("last_quarter_loss", 3))  # fmt: skip
    summary = document["summary"]
    rows = [[n, *(number(f[key], digits) for key, digits in keys)] for n, f in summary["contenders"].items()]
    found = [("Ways", head, rows), ("Ratios", *ratio_rows(summary["ratios"])), ("Gates", *gate_rows(summary["gates"]))]
    return [section for section in found if section[2]]


def facts(document: dict[str, Any]) -> list[str]:
    """The machine and the model, a line each."""
    shape, data = document["shape"], document["data"]
    return [
        *machine_lines(document, ""),
        f"Model: a Llama of {shape['parameters']:,} parameters with random weights; {data['groups']} prompts of "
        f"{data['prompt']} tokens, one a step, {shape['answers']} answers of about {data['answer']} tokens each",
        *failure_lines(document),
    ]


def caption(document: dict[str, Any]) -> str:
    """What the columns mean."""
    return filled(CAPTION, document)


if __name__ == "__main__":
    sys.exit(Program("One prompt, several answers", measure, sections, caption, facts).run(parse()))
