"""Rounds of contenders in turn (A B, B A, ...), each in a fresh process, between two looks at the machine's peak."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from contract import Settings
from worker import MARK

WORKER = Path(__file__).with_name("worker.py")
DRIFT = 0.10
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_MODE": "disabled",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONHASHSEED": "0",
}


class WorkerError(Exception):
    """A worker ended without an answer; the text is the end of what it said."""


@dataclass(frozen=True)
class Plan:
    """What to run: contender names in order, kept rounds wanted, further ones allowed, seeds taken in turn.

    `jobs` is the module with the benchmark's `contend` and `prepare`; the peak is measured on `device`.
    """

    jobs: str
    contenders: tuple[str, ...]
    rounds: int
    extra: int
    seeds: tuple[int, ...]
    peak_size: int = 2048
    peak_repetitions: int = 15
    keep_drifted: bool = False
    device: str = "cpu"


@dataclass(frozen=True)
class Round:
    """One round: each contender's answer, the failures, the peaks around it and whether it counts."""

    number: int
    seed: int
    order: tuple[str, ...]
    answers: dict[str, dict[str, Any]]
    failures: dict[str, str]
    peak_before: dict[str, dict[str, float]]
    peak_after: dict[str, dict[str, float]]
    load_average: tuple[float, ...]
    kept: bool

    @property
    def drift(self) -> float:
        """The larger relative change of the two precisions' peaks over the round."""
        return drift(self.peak_before, self.peak_after)


def drift(before: dict[str, dict[str, float]], after: dict[str, dict[str, float]]) -> float:
    """The larger relative change of the two precisions' best rates."""
    return max(abs(after[name]["best"] / before[name]["best"] - 1) for name in before)


def ask(folder: Path, request: dict[str, Any], timeout: float = 3600.0) -> dict[str, Any]:
    """The answer of a fresh process to one request; time to result counts from here.

    Raises:
        WorkerError: it ended with an error or without an answer.
    """
    path = folder / "request.json"
    path.write_text(json.dumps({**request, "started": time.monotonic()}), encoding="utf-8")
    try:
        done = subprocess.run(
            [sys.executable, str(WORKER), str(path)],
            capture_output=True, text=True, timeout=timeout, check=False, env={**os.environ, **QUIET},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise WorkerError(f"no answer after {timeout:.0f} s") from error
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not lines:
        raise WorkerError("\n".join((done.stderr or done.stdout).strip().splitlines()[-6:]) or "no answer")
    answer: dict[str, Any] = json.loads(lines[-1].removeprefix(MARK))
    return answer


def measure_peak(folder: Path, plan: Plan) -> dict[str, dict[str, float]]:
    """GFLOP/s of matrix products in a fresh process."""
    return ask(
        folder,
        {"jobs": "worker", "job": "peak", "size": plan.peak_size, "repetitions": plan.peak_repetitions,
         "device": plan.device},
    )  # fmt: skip


def contend(folder: Path, plan: Plan, name: str, settings: Settings, rows: str = "rows.json") -> dict[str, Any]:
    """One contender's answer; `folder` holds the file `rows`.

    Raises:
        WorkerError: it gave none.
    """
    return ask(
        folder,
        {"jobs": plan.jobs, "job": "contend", "contender": name, "settings": asdict(settings),
         "rows": str(folder / rows)},
    )  # fmt: skip


def play(plan: Plan, settings: Settings, models: dict[int, Path], folder: Path, say: Callable[[str], None]) -> Iterator[
    Round
]:  # fmt: skip
    """Yield rounds until enough count or the further ones are used up. `folder` holds `rows.json`.

    Seeds are taken in turn; step 0 is looked at once a seed, in a round that counts. A contender
    that failed is not tried again.
    """
    kept, failed, probed = 0, set[str](), set[tuple[str, int]]()
    before = measure_peak(folder, plan)
    for number in range(plan.rounds + plan.extra):
        if kept == plan.rounds:
            return
        seed = plan.seeds[kept % len(plan.seeds)]
        order = plan.contenders if number % 2 == 0 else plan.contenders[::-1]
        load, answers, failures = os.getloadavg(), dict[str, dict[str, Any]](), dict[str, str]()
        for name in order:
            if name in failed:
                continue
            mine = replace(settings, seed=seed, model=str(models[seed]), probe=(name, seed) not in probed)
            try:
                answers[name] = contend(folder, plan, name, mine)
            except WorkerError as error:
                failures[name] = str(error)
                failed.add(name)
                say(f"round {number + 1}: {name} failed: {str(error).splitlines()[-1]}")
                continue
            say(f"round {number + 1}: {name} {answers[name]['seconds']['train']:.1f} s of training")
        after = measure_peak(folder, plan)
        counts = plan.keep_drifted or drift(before, after) <= DRIFT
        kept += counts
        if counts:
            probed |= {(name, seed) for name in answers}
        yield Round(number + 1, seed, order, answers, failures, before, after, load, counts)
        before = after


def names_in(rounds: Sequence[Round]) -> list[str]:
    """The contenders that answered in at least one round, in the plan's order."""
    if not rounds:
        return []
    order = rounds[0].order if rounds[0].number % 2 else rounds[0].order[::-1]
    return [name for name in order if any(name in r.answers for r in rounds)]
