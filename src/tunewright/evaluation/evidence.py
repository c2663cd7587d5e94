"""From predictions to evidence.json: figures with intervals, paired tests, a verdict. No model, no clock, no chance.

The verdict rests on one family of tests: the tuned model against every baseline by the primary metric. The
other metrics make a second family, which explores and does not decide.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import DataError, Problem
from tunewright.core.files import write_text
from tunewright.core.records import Predictions
from tunewright.evaluation.compare import Comparison, Plan, aligned, compare, corrected
from tunewright.evaluation.predictions import Contender
from tunewright.evaluation.resampling import shared_draws
from tunewright.evaluation.scoring import (
    averaged_metrics,
    calibration,
    confusion_counts,
    metric_named,
    per_class,
    score,
)
from tunewright.evaluation.verdict import strongest, verdict, without
from tunewright.metrics import Metric
from tunewright.metrics.calibration import confidence

Draws = Mapping[tuple[str, str], NDArray[np.float64]]
VERSION = 1
ALSO = ("f1_macro", "roc_auc", "log_loss", "brier")
SHOWN = 30
FEW = 10


def gather(
    contenders: Sequence[Contender],
    *,
    metric: str = "accuracy",
    also: Sequence[str] = ALSO,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """The evidence that these predictions hold, as in evidence.json.

    Args:
        contenders: the tuned model and its baselines, on the same items of one split.
        metric: what the verdict goes by.
        also: other metrics to compare by, where they have a value.
        confidence: of every interval; 1 - confidence is the accepted chance of a false verdict.
        resamples: of every bootstrap.
        seed: keys the resamples: the same predictions and seed give the same evidence.

    Raises:
        DataError: there is no contender, two have one name, or they did not predict the same items.
        RecipeError: there is no metric of that name.
    """
    contenders = _same_items(contenders)
    primary = metric_named(metric)
    plan = Plan(resamples, confidence, seed)
    first = contenders[0].predictions
    labelled = [c.predictions.supervised() for c in contenders]
    drawn = shared_draws(labelled, averaged_metrics(), resamples, seed)
    rows = [_contender(c, plan, drawn) for c in contenders]
    values = {row["name"]: row["metrics"][metric]["value"] for row in rows}
    tuned = next((c for c in contenders if c.role == "tuned"), None)
    baselines = [c for c in contenders if c is not tuned]
    against = strongest(baselines, values, primary)
    deciding, exploring = _comparisons(tuned, baselines, (primary, also), plan, drawn)
    decided = next((c for c in deciding if against and c.against == against.name), None)
    return {
        "version": VERSION,
        "task": "classification",
        "split": first.split,
        "items": len(first.supervised()),
        "labels": list(first.labels),
        "confidence": confidence,
        "resamples": resamples,
        "seed": seed,
        "contenders": rows,
        "comparisons": [c.as_json(plan.alpha) for c in [*deciding, *exploring]],
        "verdict": verdict(decided, tuned, against, values, plan.alpha)
        if decided and tuned and against
        else without(primary, _why_not(tuned, baselines, primary)),
        "mistakes": [] if tuned is None else mistakes(tuned.predictions),
        "flips": None if tuned is None or against is None else flips(tuned.predictions, against.predictions),
        "not_tested": not_tested(first, len(exploring), primary),
    }


def write_evidence(run_folder: Path, evidence: dict[str, Any]) -> Path:
    """Write evidence.json atomically and return its path.

    Raises:
        StorageError: the file cannot be written.
    """
    path = Path(run_folder) / "evidence.json"
    write_text(path, json.dumps(evidence, ensure_ascii=False, allow_nan=False, indent=1) + "\n")
    return path


def _same_items(contenders: Sequence[Contender]) -> list[Contender]:
    if not contenders:
        raise DataError(Problem(where="evidence", found="no contender", allowed="predictions of at least one"))
    names = [c.name for c in contenders]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(Problem(where="evidence", found=f"two contenders named {twice[0]!r}", allowed="one each"))
    in_order = aligned([c.predictions for c in contenders])
    return [replace(c, predictions=p) for c, p in zip(contenders, in_order, strict=True)]


def _contender(c: Contender, plan: Plan, drawn: Draws) -> dict[str, Any]:
    p = c.predictions
    return {
        "name": c.name,
        "title": c.title,
        "role": c.role,
        "metrics": score(p, plan.resamples, plan.confidence, plan.seed, drawn),
        "per_class": per_class(p, plan.resamples, plan.confidence, plan.seed),
        "confusion": confusion_counts(p),
        "calibration": calibration(p, plan.confidence),
        "seconds_per_item": None if p.seconds is None or len(p) == 0 else float(np.mean(p.seconds)),
    }


def _comparisons(
    tuned: Contender | None,
    baselines: Sequence[Contender],
    metrics: tuple[Metric, Sequence[str]],
    plan: Plan,
    drawn: Draws,
) -> tuple[list[Comparison], list[Comparison]]:
    """The family that decides and the family that explores, each corrected by itself."""
    if tuned is None:
        return [], []
    primary, also = metrics
    families: list[list[Comparison]] = []
    for family in ([primary], [metric_named(name) for name in also if name != primary.name]):
        found = [compare(m, tuned.predictions, b.predictions, plan, drawn) for m in family for b in baselines]
        families.append(corrected([c for c in found if c is not None], plan.alpha))
    return families[0], families[1]


def _why_not(tuned: Contender | None, baselines: Sequence[Contender], primary: Metric) -> str:
    if tuned is None:
        return "there is no tuned model among the contenders"
    if not baselines:
        return "there is no baseline to compare with"
    return f"{primary.title} has no value on this split ({primary.undefined(tuned.predictions)})"


def mistakes(p: Predictions, shown: int = SHOWN) -> list[dict[str, Any]]:
    """The wrong items, most confident first (ties in item order)."""
    p = p.supervised()
    given = confidence(p)
    wrong = np.flatnonzero(p.gold != p.output)
    order = wrong[np.argsort(-given[wrong], kind="stable")][:shown]
    return [
        {
            "id": p.ids[i],
            "gold": p.labels[p.gold[i]],
            "output": p.labels[p.output[i]],
            "confidence": float(given[i]),
        }
        for i in order
    ]


def flips(tuned: Predictions, against: Predictions, shown: int = SHOWN) -> dict[str, Any]:
    """Items that only one of two aligned contenders got right, the tuned model's surest first."""
    a, b = tuned.supervised(), against.supervised()
    right_a, right_b = a.gold == a.output, b.gold == b.output
    given = confidence(a)

    def top(where: NDArray[np.bool_]) -> list[dict[str, Any]]:
        found = np.flatnonzero(where)
        order = found[np.argsort(-given[found], kind="stable")][:shown]
        return [
            {
                "id": a.ids[i],
                "gold": a.labels[a.gold[i]],
                "from": b.labels[b.output[i]],
                "to": a.labels[a.output[i]],
            }
            for i in order
        ]

    gained, lost = right_a & ~right_b, right_b & ~right_a
    return {
        "against": against.contender,
        "gained": top(gained),
        "lost": top(lost),
        "gained_total": int(gained.sum()),
        "lost_total": int(lost.sum()),
    }


def not_tested(p: Predictions, exploring: int, primary: Metric) -> list[str]:
    """What this evidence does not show, in plain sentences."""
    unlabelled = int((p.gold < 0).sum())
    support = np.bincount(p.gold[p.gold >= 0], minlength=len(p.labels))
    rare = [label for label, n in zip(p.labels, support, strict=True) if n < FEW]
    said = [
        "Another training run: the intervals cover the choice of test items, not of the training seed.",
        "Other sources, times and languages: the test items come from where the training items came from.",
        "The gold labels themselves: a wrong label counts against whoever is right.",
    ]
    if unlabelled:
        said.append(f"{unlabelled:,} items without a label: predicted, not scored.")
    if rare:
        names = ", ".join(rare[:8]) + (f" and {len(rare) - 8} more" if len(rare) > 8 else "")
        said.append(f"Classes with fewer than {FEW} test items, whose figures are rough: {names}.")
    if exploring:
        said.append(
            f"Claims by other metrics than {primary.title}: their {exploring} comparisons are corrected among "
            f"themselves, explore and do not decide the verdict."
        )
    return said
