"""Runs with LoRA of every task, and runs whose adapter peft has made by hand. No tests: what tests of merging share."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from toy_runs import TASKS, Forks, lay

from tunewright.models.saving import CARD, open_saved, save

CASES: dict[str, dict[str, Any]] = {
    "classification": {},
    "multilabel": {"task": "multilabel", "data": {"label": "marks", "separator": "|"},
                   "evaluation": {"baselines": ["majority"]}},
    "regression": {"task": "regression", "data": {"label": "score"}, "evaluation": {"baselines": ["majority"]}},
    **{name: TASKS[name] for name in TASKS if name != "thumbs"},
}  # fmt: skip
Made = Callable[..., Path]
TRAINING = {"epochs": 1, "batch": 16, "rate": 0.01}
MODEL = {"name": "toy", "precision": "float32"}


def made(forks: Forks, place: Path, **changes: Any) -> Path:
    """The folder of a finished run."""
    lay(place, **{"training": TRAINING, "model": MODEL, "adaptation": {"lora": {"rank": 4}}, **changes})
    said = forks("run", "toy.yaml", at=place)
    assert said.code == 0, said.out
    return place / "runs" / "toy"


def copied(run: Path, place: Path) -> Path:
    """The run elsewhere, with what its adapter says of its base."""
    shutil.copytree(run, place)
    return place


def adapted(run: Path, config: Callable[[], Any], spread: float = 0.3) -> None:
    """Puts an adapter by plain peft with random weights into the place of the run's own."""
    from peft import get_peft_model

    saved = open_saved(run / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = saved.model.unload()
        for module in base.modules():
            module.__dict__.pop("peft_config", None)
        model = get_peft_model(base, config())
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(
                    torch.randn(parameter.shape, generator=generator)
                    * spread
                    * (parameter.std() if parameter.numel() > 1 and parameter.std() > 0 else 0.1)
                )
    card = json.loads((run / "model" / CARD).read_text())
    extra = {k: v for k, v in card.items() if k not in ("version", "files", "labels", "limit", "adaptation", "base")}
    old = saved.found
    if (run / "model" / "base").is_dir():  # the toy's, which goes with the folder that is replaced
        shutil.copytree(run / "model" / "base", run / "base")
        old = type(old)("base", str(run / "base"))
    save(type(saved)(old, model, saved.tokenizer, saved.labels, saved.limit, saved.head, saved.precision, card), model,
         run / "model", adaptation_name="lora", extra=extra)  # fmt: skip
