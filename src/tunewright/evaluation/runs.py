"""Evidence from run folders: computed again from the predictions alone, or between two runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, Problem, RunDamaged, listed
from tunewright.core.outcomes import Judged
from tunewright.evaluation.compare import differing, take
from tunewright.evaluation.evidence import gather
from tunewright.evaluation.predictions import Contender, read_all
from tunewright.evaluation.shapes import shape_of
from tunewright.metrics import task_of


def recompute(run_folder: Path, split: str | None = None, **options: Any) -> dict[str, Any]:
    """The evidence of a run from its predictions. No model is loaded, nothing is written.

    Settings are those of the run's evidence.json where it has one (split, confidence, resamples, seed, metric);
    `options` of `gather` override them.

    Raises:
        RunDamaged: the predictions, or an evidence.json that is there, cannot be read.
        DataError: as `gather`.
    """
    before = _settings(Path(run_folder) / "evidence.json")
    split = split or before.pop("split", "test")
    before.pop("split", None)
    return gather(read_all(Path(run_folder), split), **{**before, **options})


def _settings(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        evidence = json.loads(path.read_text(encoding="utf-8"))
        found = {name: evidence[name] for name in ("split", "confidence", "resamples", "seed")}
        deciding = evidence["verdict"]["metric"]
        also = [c["metric"] for c in evidence["comparisons"] if c["metric"] != deciding]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunDamaged(
            Problem(
                where=str(path),
                found=f"not a whole evidence.json ({type(error).__name__}: {error})",
                to_do="delete the file: it can be computed again from the predictions",
            )
        ) from error
    return {**found, "metric": deciding, **({"also": tuple(dict.fromkeys(also))} if also else {})}


def compare_runs(folder_a: Path, folder_b: Path, split: str = "test", **options: Any) -> dict[str, Any]:
    """Is run B's tuned model better than run A's? Paired on the items that both predicted.

    Returns the evidence of `gather` with A as the baseline and B as the tuned model, and beside it
    `left_out`: how many labelled items only one run has, e.g. {"runs/a": 3, "runs/b": 0} by contender name.

    Raises:
        RunDamaged: a run's predictions cannot be read.
        DataError: the runs have no labelled item in common, or do not agree on the gold labels.
    """
    a: Any = _tuned(Path(folder_a), split)
    b: Any = _tuned(Path(folder_b), split)
    name_a, name_b = Path(folder_a).resolve().name, Path(folder_b).resolve().name
    if name_a == name_b:
        name_a, name_b = f"{name_a} (first)", f"{name_b} (second)"
    where = f"{folder_a} beside {folder_b}"
    if task_of(a) is not task_of(b):
        raise DataError(Problem(where=where, found=f"a run of {task_of(a).name} and one of {task_of(b).name}",
                                allowed="two runs of one task"))  # fmt: skip
    a, b = shape_of(a).joined(a.supervised(), b.supervised())
    total_a, total_b, in_b = len(a), len(b), set(b.ids)
    common = [item for item in a.ids if item in in_b]
    a, b = take(a, common), take(b, common)
    _agreeing(a, b, where)
    contenders = [
        Contender(replace(b, contender=name_b), name_b, "tuned"),
        Contender(replace(a, contender=name_a), name_a, "baseline"),
    ]
    evidence = gather(contenders, **options)
    return {**evidence, "left_out": {name_a: total_a - len(common), name_b: total_b - len(common)}}


def _tuned(folder: Path, split: str) -> Judged:
    for contender in read_all(folder, split):
        if contender.role == "tuned":
            return contender.predictions
    raise RunDamaged(
        Problem(
            where=str(folder / "predictions"),
            found=f"no tuned model's predictions of split {split!r}",
            to_do="run `tunewright evaluate` on this run",
        )
    )


def _agreeing(a: Judged, b: Judged, where: str) -> None:
    if len(a) == 0:
        raise DataError(
            Problem(
                where=where,
                found="no labelled item of the split is in both runs",
                allowed="runs that were tested on at least some of the same texts",
                to_do="run both on one file with a fixed test split",
            )
        )
    answer, answers = task_of(a).answer or "size", task_of(a).answers or "sizes"
    other = differing(b, {item: a.gold_of(i) for i, item in enumerate(a.ids)})
    if other:
        raise DataError(
            Problem(
                where=where,
                found=f"{len(other)} of {len(a)} common items have another gold {answer}: {listed(other, 5)}",
                allowed=f"the same gold {answers} in both runs",
                to_do="evaluate both runs on the same corrected file",
            )
        )
