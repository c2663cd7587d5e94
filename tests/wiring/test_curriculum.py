"""A curriculum from a recipe: what a step measured of the rows is what the sampler goes by."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_runs import Cli, lay, lines

CURRICULUM = {"curriculum": {"by": "rarity", "order": "easy_to_hard", "stages": 2}}


def test_a_run_by_rarity(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    steps = ["mojibake", "strip", {"difficulty": ["length", "rarity"]}]
    lay(tmp_path, data={"steps": steps}, training={"sampler": CURRICULUM, "epochs": 1})
    said = cli("run", "toy.yaml")
    assert said.code == 0, said.err
    rows = next(tmp_path.rglob("train.jsonl"))
    assert all({"length", "rarity"} <= row["difficulty"].keys() for row in lines(rows))


def test_what_was_not_measured_is_asked_for(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay(tmp_path, training={"sampler": CURRICULUM})
    said = cli("run", "toy.yaml")
    assert said.code == 2
    assert "training.sampler" in said.err
    assert "'rarity'" in said.err
    assert "difficulty" in said.err
