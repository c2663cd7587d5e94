"""From predictions to evidence.json: figures with intervals, paired tests, a verdict. No model, no clock, no chance.

The verdict rests on one family of tests: the tuned model against every baseline by the primary metric. The
other metrics make a second family, which explores and does not decide.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tunewright.core.errors import DataError, Problem
from tunewright.core.files import write_text
from tunewright.core.outcomes import Judged
from tunewright.evaluation.compare import Comparison, Plan, aligned, compare, corrected, incomparable
from tunewright.evaluation.predictions import Contender
from tunewright.evaluation.resampling import shared_draws
from tunewright.evaluation.scoring import Draws, averaged_metrics, score
from tunewright.evaluation.shapes import Shape, shape_of, together
from tunewright.evaluation.verdict import strongest, verdict, without
from tunewright.metrics import Metric

VERSION = 1
SHOWN = 30


def gather(
    contenders: Sequence[Contender],
    *,
    metric: str | None = None,
    also: Sequence[str] | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """The evidence that these predictions hold, as in evidence.json. Their type tells the task.

    Args:
        contenders: the tuned model and its baselines, on the same items of one split.
        metric: what the verdict goes by; None is the task's own.
        also: other metrics to compare by, where they have a value; None is the task's own.
        confidence: of every interval; 1 - confidence is the accepted chance of a false verdict.
        resamples: of every bootstrap.
        seed: keys the resamples: the same predictions and seed give the same evidence.

    Raises:
        DataError: there is no contender, two have one name, or they did not predict the same items.
        RecipeError: there is no metric of that name.
    """
    contenders = _same_items(contenders)
    plan = Plan(resamples, confidence, seed)
    first = contenders[0].predictions
    shape = shape_of(first)
    primary: Metric = shape.TASK.metric(metric or shape.TASK.primary)
    others = [shape.TASK.metric(name) for name in (shape.TASK.also if also is None else also) if name != primary.name]
    labelled = [c.predictions.supervised() for c in contenders]
    drawn = shared_draws(labelled, averaged_metrics(shape.TASK), resamples, seed)
    rows = [_contender(c, shape, plan, drawn) for c in contenders]
    values = {row["name"]: row["metrics"][primary.name]["value"] for row in rows}
    tuned = next((c for c in contenders if c.role == "tuned"), None)
    baselines = [c for c in contenders if c.role == "baseline"]
    variants = [c for c in contenders if c.role == "variant"]
    against = strongest(_comparable(tuned, baselines, primary) or baselines, values, primary)
    for row, c in zip(rows, contenders, strict=True):
        row.update(shape.closeup(c.predictions, seed) if c is tuned or c is against else {})
    deciding, exploring = _comparisons(tuned, (baselines, variants), (primary, others), plan, drawn)
    decided = next((c for c in deciding if against and c.against == against.name), None)
    return {
        "version": VERSION,
        "task": shape.TASK.name,
        "split": first.split,
        "items": len(labelled[0]),
        "labels": list(first.labels),
        "confidence": confidence,
        "resamples": resamples,
        "seed": seed,
        **shape.overview(first),
        **together([c.predictions for c in contenders], seed),
        "contenders": rows,
        "comparisons": [c.as_json(plan.alpha) for c in [*deciding, *exploring]],
        "verdict": verdict(decided, tuned, against, values, plan.alpha)
        if decided and tuned and against
        else without(primary, _why_not(tuned, baselines, primary)),
        "mistakes": [] if tuned is None else shape.mistakes(tuned.predictions, SHOWN),
        "flips": None if not tuned or not against else shape.flips(tuned.predictions, against.predictions, SHOWN),
        "not_tested": not_tested(first, shape, len(exploring), primary),
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


def _contender(c: Contender, shape: Shape, plan: Plan, drawn: Draws) -> dict[str, Any]:
    p = c.predictions
    return {
        "name": c.name,
        "title": c.title,
        "role": c.role,
        "metrics": score(p, plan.resamples, plan.confidence, plan.seed, drawn),
        **shape.details(p, plan, drawn),
        "seconds_per_item": None if p.seconds is None or len(p) == 0 else float(np.mean(p.seconds)),
    }


def _comparisons(
    tuned: Contender | None,
    others: tuple[Sequence[Contender], Sequence[Contender]],
    metrics: tuple[Metric, Sequence[Metric]],
    plan: Plan,
    drawn: Draws,
) -> tuple[list[Comparison], list[Comparison]]:
    """The family that decides and the family that explores, each corrected by itself.

    Args:
        tuned: the one that is compared.
        others: baselines, and variants of the tuned model, which only explore.
        metrics: the one that decides, and those that explore.
        plan: resamples and confidence.
        drawn: what is resampled once for all.
    """
    if tuned is None:
        return [], []
    (primary, rest), (baselines, variants) = metrics, others
    exploring = [(m, b) for m in rest for b in baselines] + [(m, v) for m in (primary, *rest) for v in variants]
    families: list[list[Comparison]] = []
    for family in ([(primary, b) for b in baselines], exploring):
        found = [compare(m, tuned.predictions, c.predictions, plan, drawn) for m, c in family]
        families.append(corrected([c for c in found if c is not None], plan.alpha))
    return families[0], families[1]


def _why_not(tuned: Contender | None, baselines: Sequence[Contender], primary: Metric) -> str:
    if tuned is None:
        return "there is no tuned model among the contenders"
    if not baselines:
        return "there is no baseline to compare with"
    said = primary.undefined(tuned.predictions)
    if said is not None:
        return f"{primary.title} has no value on this split ({said})"
    reasons = {incomparable(primary, tuned.predictions, b.predictions) for b in baselines}
    return f"no baseline can be held against it by {primary.title} ({'; '.join(sorted(filter(None, reasons)))})"


def _comparable(tuned: Contender | None, baselines: Sequence[Contender], metric: Metric) -> list[Contender]:
    """The baselines that the verdict may be about."""
    if tuned is None:
        return list(baselines)
    return [b for b in baselines if incomparable(metric, tuned.predictions, b.predictions) is None]


def not_tested(p: Judged, shape: Shape, exploring: int, primary: Metric) -> list[str]:
    """What this evidence does not show, in plain sentences."""
    answer = shape.TASK.answer
    unlabelled = int((~p.known()).sum())
    said = [
        "Another training run: the intervals cover the choice of test items, not of the training seed.",
        "Other sources, times and languages: the test items come from where the training items came from.",
    ]
    if answer:
        said.append(f"The gold {shape.TASK.answers} themselves: a wrong {answer} counts against whoever is right.")
    if unlabelled:
        said.append(f"{unlabelled:,} items without a {answer}: predicted, not scored.")
    said += shape.limits(p)
    if exploring:
        said.append(
            f"Claims by other metrics than {primary.title}: their {exploring} comparisons are corrected among "
            f"themselves, explore and do not decide the verdict."
        )
    return said
