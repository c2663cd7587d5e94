"""Tasks on one body, whatever learns of it: a step is taken, all tasks share what has learnt, and what is saved opens alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from test_multitask import NO_TRANSFER, write
from toy_runs import merged

import tunewright

LEARNERS: dict[str, Any] = {
    "bottleneck": {"bottleneck": {"placement": "houlsby", "reduction": 2}},
    "ia3": "ia3",
    "eva": {"lora": {"rank": 4, "init": "eva"}},
    "prompt_tuning": {"prompt_tuning": {"tokens": 4}},
    "p_tuning": {"p_tuning": {"tokens": 4}},
    "prefix_tuning": {"prefix_tuning": {"tokens": 4, "projection": 8}},
    "quantized": [{"quantized": "nf4"}, {"lora": {"rank": 4}}],
}


@pytest.mark.parametrize("name", LEARNERS)
def test_a_step_on_one_body(name: str, tmp_path: Path) -> None:
    changes = {"adaptation": LEARNERS[name], "training": {"epochs": 1, "steps": 2}}
    tunewright.run(write(tmp_path, **merged(changes, NO_TRANSFER)), folder=tmp_path / "run")
    models = [
        load_file(next((tmp_path / "run" / "tasks" / task / "model").glob("*.safetensors")))
        for task in ("feel", "score")
    ]
    body = [n for n in models[0] if "classifier" not in n and "modules_to_save" not in n]
    assert body and all(models[0][n].equal(models[1][n]) for n in body), "what the tasks share is one thing"
    for task in ("feel", "score"):
        assert tunewright.load(tmp_path / "run", task=task).predict(["sun and snow"])
