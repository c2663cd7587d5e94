"""Did the tasks help one another? Each task trained alone against together with the others, paired on its test items.

The tasks are one family of tests: every p is Holm's over all of them, and so is the level of each interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunewright.core.errors import listed
from tunewright.core.outcomes import Judged
from tunewright.evaluation.compare import Comparison, Plan, compare, corrected
from tunewright.evaluation.scoring import score
from tunewright.metrics import task_of


@dataclass(frozen=True)
class Pair:
    """One task's predictions by the model trained alone and by the one trained together, and the metric that decides."""

    metric: str
    alone: Judged
    together: Judged


def transfer(pairs: Mapping[str, Pair], plan: Plan) -> list[dict[str, Any]]:
    """A row a task: both values with their intervals, the difference, Holm's p, and better, worse or can't tell.

    Raises:
        DataError: a task's two models did not predict the same items.
    """
    found = {name: _compared(pair, plan) for name, pair in pairs.items()}
    known = {name: c for name, c in found.items() if c is not None}
    family = dict(zip(known, corrected(list(known.values()), plan.alpha), strict=True))
    return [_row(name, pair, family.get(name), plan) for name, pair in pairs.items()]


def _compared(pair: Pair, plan: Plan) -> Comparison | None:
    metric = task_of(pair.together).metric(pair.metric)
    return compare(metric, pair.together, pair.alone, plan)


def _row(task: str, pair: Pair, c: Comparison | None, plan: Plan) -> dict[str, Any]:
    sides = {
        name: score(p, plan.resamples, plan.confidence, plan.seed)[pair.metric]
        for name, p in (("alone", pair.alone), ("together", pair.together))
    }
    nothing = {"value": None, "low": None, "high": None}
    return {
        "task": task,
        "metric": pair.metric,
        **sides,
        "difference": nothing if c is None else {"value": c.effect, "low": c.interval.low, "high": c.interval.high},
        "confidence": None if c is None else c.confidence,
        "test": None if c is None else c.test.name,
        "p": None if c is None else c.p_holm,
        "p_alone": None if c is None else c.test.p,
        "smallest_detectable": None if c is None else c.detectable(plan.alpha),
        "verdict": "can't tell" if c is None else c.outcome(plan.alpha),
    }


def several(
    tasks: Mapping[str, dict[str, Any]],
    moved: list[dict[str, Any]],
    weights: Mapping[str, float],
    plan: Plan,
) -> dict[str, Any]:
    """The evidence of several tasks: each task's own, the transfer between them, and one verdict in plain words.

    The verdict is worse where one task is worse than its strongest baseline, better where all are better.
    """
    outcomes = {name: str(evidence["verdict"]["outcome"]) for name, evidence in tasks.items()}
    said = list(outcomes.values())
    overall = "worse" if "worse" in said else "better" if set(said) == {"better"} else "can't tell"
    empty = dict.fromkeys(("against", "metric", "effect", "low", "high", "confidence", "p_holm", "smallest_detectable"))
    return {
        "version": 1,
        "task": "multitask",
        "split": "test",
        "confidence": plan.confidence,
        "resamples": plan.resamples,
        "seed": plan.seed,
        "tasks": dict(tasks),
        "transfer": moved,
        "weights": [{"task": name, "weight": weight} for name, weight in weights.items()],
        "verdict": {"outcome": overall, **empty, "sentence": _sentence(outcomes, moved)},
        "not_tested": [
            "Other mixtures: another sampler or other weights may move what one task gains from the others.",
            *([] if moved else ["Whether the tasks help one another: evaluation.transfer was false."]),
        ],
    }


def _sentence(outcomes: Mapping[str, str], moved: list[dict[str, Any]]) -> str:
    words = {"better": "Better than the strongest baseline", "worse": "Worse than the strongest baseline",
             "can't tell": "Can't tell from the strongest baseline"}  # fmt: skip
    own = [
        f"{start} on {len(names)} of {len(outcomes)} tasks ({listed(names, 12)})."
        for kind, start in words.items()
        if (names := [name for name, outcome in outcomes.items() if outcome == kind])
    ]
    if not moved:
        return " ".join(own)
    ends = {"better": "helped {}", "worse": "harmed {}", "can't tell": "made no difference that shows to {}"}
    groups = {kind: [row["task"] for row in moved if row["verdict"] == kind] for kind in ends}
    effects = [ends[kind].format(listed(names, 12)) for kind, names in groups.items() if names]
    return " ".join([*own, f"Beside each task trained alone, training together {'; '.join(effects)}."])
