"""Prompts and prefixes in whole runs: every task learns with them, says what its saved model says, and has fewer places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toy_runs import TASKS, Cli, Forks, lay, merged

TRAINING = {"epochs": 1, "batch": 16, "rate": 0.02}
CASES = {
    "classification": ({}, "prompt_tuning"),
    "regression": ({"task": "regression", "data": {"label": "score"}}, "p_tuning"),
    "token_classification": (TASKS["token_classification"], "p_tuning_v2"),
    "language_modeling": (TASKS["language_modeling"], "prefix_tuning"),
    "chat": (TASKS["chat"], "prompt_tuning"),
    "seq2seq": (TASKS["seq2seq"], "prefix_tuning"),
    "preference": (TASKS["preference"], "p_tuning_v2"),
}


@pytest.mark.parametrize("task", sorted(CASES))
def test_a_run_learns_saves_and_answers(task: str, forks: Forks, cli: Cli, tmp_path: Path) -> None:
    changes, name = CASES[task]
    options: dict[str, Any] = {"tokens": 6}
    if name == "prompt_tuning":
        options |= {"start": "text", "text": "a warm lamp"}
    if name == "prefix_tuning":
        options |= {"projection": 16}
    lay(tmp_path, **merged(changes, {"training": TRAINING, "adaptation": {name: options}}))
    said = forks("run", "toy.yaml", at=tmp_path)
    assert said.code == 0, said.out
    run = tmp_path / "runs" / "toy"
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))["model"]
    assert 0 < facts["trainable"] < facts["parameters"]
    config = json.loads((run / "model" / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["num_virtual_tokens"] == 6
    evidence = json.loads((run / "evidence.json").read_text(encoding="utf-8"))
    told = next(c for c in evidence["contenders"] if c["name"] == "tuned")
    assert all(m["value"] is not None for m in told["metrics"].values())
    if task in ("classification", "chat", "seq2seq"):
        said = cli("predict", run, "a warm lamp", "--json")
        assert said.code == 0, said.err


def test_the_longest_text_is_shorter_by_the_virtual_tokens(cli: Cli, tmp_path: Path) -> None:
    lay(tmp_path, adaptation={"p_tuning_v2": {"tokens": 20}})
    said = cli("check", tmp_path / "toy.yaml", "--json")
    assert said.code == 0 and said.value["facts"]["tokens"]["limit"] == 44
    said = cli("check", tmp_path / "toy.yaml", "--json", "--set", "adaptation={p_tuning_v2: {tokens: 60}}")
    assert said.code == 2 and any("64 places" in p["allowed"] for p in said.value["errors"])
