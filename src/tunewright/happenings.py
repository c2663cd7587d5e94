"""What a run tells as it goes on, and the lines and facts that it leaves of a training."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunewright.core.tensors import Report
from tunewright.fitting import Fit, Resumed, Validated
from tunewright.identity import with_rate
from tunewright.kinds import Kind
from tunewright.models.forward import ModelForward
from tunewright.recipe import Recipe, read, write
from tunewright.tracking import RunFolder


@dataclass(frozen=True)
class Event:
    """Something that happened: `kind` is stage, step, validation, resumed, note or finished."""

    kind: str
    name: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


def happened(happening: Report | Validated | Resumed, job: Fit, folder: RunFolder) -> Event:
    """Enters what a training told into the files that grow."""
    if isinstance(happening, Resumed):
        folder.cut(folder.history, happening.step)
        folder.cut(folder.evaluations, happening.step)
        return Event("resumed", "", {"step": happening.step, "damaged": [str(p) for p in happening.damaged]})
    if isinstance(happening, Validated):
        row = {"step": happening.step, "epoch": happening.epoch, "split": "validation",
               "metrics": dict(happening.metrics), "best": happening.best}  # fmt: skip
        folder.append(folder.evaluations, row)
        return Event("validation", "", row)
    row = {
        "step": happening.step + 1, "epoch": job.epoch(happening.step), "loss": happening.loss,
        "parts": dict(happening.parts), "totals": dict(happening.totals),
        "gradient_norm": happening.gradient_norm, "rate": happening.rate,
        **({"watched": dict(happening.watched)} if happening.watched else {}),
    }  # fmt: skip
    folder.append(folder.history, row)
    return Event("step", "", row)


def model_card(recipe: Recipe, kind: Kind, forward: ModelForward) -> dict[str, Any]:
    """What is saved beside a model."""
    return {"precision": forward.precision, "max_tokens": kind.limit, "text": recipe.data.text, "pair": recipe.data.pair,
            "layout": forward.layout, "device": recipe.model.device, "adapted": recipe.dump()["adaptation"],
            **kind.card()}  # fmt: skip


def write_rate(folder: RunFolder, rate: float) -> None:
    """Puts the rate that `auto` came to into the saved recipe, so that the file means the same next year."""
    recipe = read(folder.recipe)
    if recipe.training.rate == "auto":
        folder.note({"rate_was_auto": True})
        write(with_rate(recipe, rate), folder.recipe)


def trained(job: Fit, seconds: float, session: float, tokens: int) -> dict[str, Any]:
    """What run.json says of a training that is done.

    Args:
        seconds: that it took in all. session: since it last went on, in which it read `tokens` tokens.
    """
    done, trunk = job.windows.drawn, getattr(job.forward, "trunk", None)
    return {
        **({"trunk": trunk.facts()} if trunk is not None and trunk.frozen() else {}),
        "training": {"steps": job.step, "planned_steps": job.plan.steps, "epochs": job.epoch(job.step),
                     "best_step": job.stopping.best_step or job.step, "stopped_early": job.stopped_early, "examples": done},
        "speed": {"train_examples_per_second": round(done / seconds, 1),
                  "train_tokens_per_second": round(tokens / session, 1) if tokens else None, "peak_memory_mib": peak()},
    }  # fmt: skip


def peak() -> int:
    """Peak resident memory of this process in MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(used / (2**20 if sys.platform == "darwin" else 2**10))
