"""What the programs of all benchmarks in rounds share: options, rounds told as they are played, the document, the end."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from contract import Settings
from rounds import Plan, Round, WorkerError, contend, measure_peak, names_in, play
from sitting import machine, today, versions, write
from tables import Section, markdown, show

Document = dict[str, Any]


def options_of(about: str) -> argparse.ArgumentParser:
    """A command line with the options that all of them have."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    add = parser.add_argument
    add("--rounds", type=int, default=5)
    add("--extra-rounds", type=int, default=3, help="how many discarded rounds may be played again")
    add("--seeds", type=int, default=3, help="initial weights, orders and dropout; rounds take them in turn")
    add("--out", type=Path, default=None, help="write everything as JSON")
    add("--markdown", type=Path, default=None, help="write the tables as Markdown")
    add("--quick", action="store_true", help="a smoke test: few rows, one round, figures without meaning")
    add("--strict", action="store_true", help="exit with 1 when a gate fails or a needed ratio is missed")
    return parser


def plan_of(
    options: argparse.Namespace, jobs: str, contenders: Sequence[str], device: str = "cpu", peak_size: int = 2048
) -> Plan:
    """The rounds to play: one without meaning in a quick run."""
    names = tuple(contenders)
    if options.quick:
        return Plan(jobs, names, 1, 0, (0,), peak_size=256, peak_repetitions=3, keep_drifted=True, device=device)
    seeds = tuple(range(max(1, options.seeds)))
    return Plan(jobs, names, options.rounds, options.extra_rounds, seeds, peak_size=peak_size, device=device)


def trial(
    plan: Plan, names: Sequence[str], settings: Settings, folder: Path, console: Console, rows: str = "screen.json"
) -> Round:
    """Every contender once on few rows, with a look at step 0. Its figures only choose who plays the rounds."""
    before, answers, failures = measure_peak(folder, plan), dict[str, dict[str, Any]](), dict[str, str]()
    for name in names:
        try:
            answers[name] = contend(folder, plan, name, settings, rows)
        except WorkerError as error:
            failures[name] = str(error)
            console.print(f"trial: {name} failed: {str(error).splitlines()[-1]}", markup=False)
            continue
        console.print(f"trial: {name} {answers[name]['seconds']['train']:.1f} s of training", markup=False)
    return Round(0, settings.seed, tuple(reversed(names)), answers, failures, before, measure_peak(folder, plan),
                 os.getloadavg(), False)  # fmt: skip


def played(plan: Plan, settings: Settings, models: dict[int, Path], folder: Path, console: Console) -> list[Round]:
    """All rounds, each told when it is over."""
    rounds = list[Round]()
    for one in play(plan, settings, models, folder, lambda line: console.print(line, markup=False)):
        rounds.append(one)
        state = "kept" if one.kept else "DISCARDED"
        console.print(f"round {one.number}: peak drifted by {one.drift:.1%}, {state}", markup=False)
    return rounds


def document_of(
    plan: Plan, settings: Settings, rounds: Sequence[Round], packages: Sequence[str] = (), first: Round | None = None
) -> Document:
    """What every benchmark writes down, whatever it measures. `first`: the trial, where there was one."""
    last = {name: next(r.answers[name] for r in reversed(rounds) if name in r.answers) for name in names_in(rounds)}
    return {
        "date": today(),
        "machine": machine(),
        "versions": versions(*packages),
        "settings": asdict(settings),
        "plan": asdict(plan),
        "options": {name: answer["options"] for name, answer in last.items()},
        "failures": {name: text for r in [*([first] if first else []), *rounds] for name, text in r.failures.items()},
        "trial": first and {**asdict(first), "drift": first.drift},
        "rounds": [{**asdict(r), "drift": r.drift} for r in rounds],
    }


def sound(summary: dict[str, Any]) -> bool:
    """Whether every gate passed, every needed ratio was met and no accuracy is below its peer's."""
    return (
        all(gate["passed"] for gate in summary["gates"] if gate["counts"])
        and all(ratio["met"] is not False for ratio in summary["ratios"])
        and all(d is None or d["high"] >= 0 for d in summary.get("accuracy_differences", {}).values())
    )


@dataclass(frozen=True)
class Program:
    """A benchmark from its options to its exit code: `measure` finds everything, the others put it in words."""

    title: str
    measure: Callable[[argparse.Namespace, Path, Console], Document]
    sections: Callable[[Document], list[Section]]
    caption: Callable[[Document], str]
    facts: Callable[[Document], list[str]]

    def run(self, options: argparse.Namespace) -> int:
        """Exit code 0: everything ran; 1: a contender failed, or (strict) a gate or need was missed; 3: no round counts.

        Raises:
            SystemExit: it could not start.
        """
        console = Console(width=None if sys.stdout.isatty() else 180)
        with tempfile.TemporaryDirectory(prefix=f"{self.title.lower().replace(' ', '-')}-") as folder:
            try:
                document = self.measure(options, Path(folder), console)
            except WorkerError as error:
                raise SystemExit(f"the benchmark could not start: {error}") from error
        if options.out:
            write(options.out, json.dumps(document, ensure_ascii=False, indent=1))
        if not any(r["kept"] for r in document["rounds"]):
            console.print("every round was discarded: the machine is not quiet")
            return 3
        caption, sections, facts = self.caption(document), self.sections(document), self.facts(document)
        show(sections, (caption, *facts), console)
        if options.markdown:
            title = f"{self.title}, {document['date']}"
            write(options.markdown, markdown(title, caption, sections, facts, document["options"]))
        return 1 if document["failures"] or (options.strict and not sound(document["summary"])) else 0
