"""Objectives over the model's own replies, through a recipe: the metric rises, and a run goes on exactly where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toy_runs import Cli, lines

from tunewright.core.errors import Interrupted, ModelError, RecipeError
from tunewright.models.toy import toy_bert
from tunewright.recipe import parse
from tunewright.running import work

RISK = {"minimum_risk": {"inner": None, "metric": "chrf", "samples": 8, "alpha": 1.0}}


def seq2seq(place: Path, **changes: Any) -> dict[str, Any]:
    """Sources of two words; every target is the same few letters."""
    rows = [{"text": f"{a} {b}", "label": "eeeeee"} for a in "abcdefgh" for b in "stuvwx"]
    (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"train": str(place / "rows.jsonl"), "text": "text", "label": "label"}
    return {
        "task": "seq2seq", "data": data, "model": {"name": "toy", "precision": "float32"}, "objective": RISK,
        "training": {"steps": 25, "epochs": 40, "batch": 16, "rate": 0.02, "validate_every": 10},
        "generation": {"max_new_tokens": 6}, "evaluation": {"resamples": 200, "baselines": ["majority"]}, **changes,
    }  # fmt: skip


def sampled(run: Path, name: str = "minimum_risk_sampled") -> list[float]:
    return [row["watched"][name] for row in lines(run / "history.jsonl")]


def carry_out(recipe: dict[str, Any], run: Path, **options: Any) -> None:
    for _ in work(parse(recipe), run, **options):
        pass


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("learnt")
    carry_out(seq2seq(place), place / "run")
    return place / "run"


def test_the_expected_metric_rises(learnt: Path) -> None:
    worth = sampled(learnt)
    assert len(worth) == 25 and sum(worth[-5:]) / 5 > sum(worth[:5]) / 5 + 0.2, worth
    told = [row["output"] for row in lines(learnt / "predictions" / "tuned.test.jsonl")[1:]]
    assert sum("e" in text for text in told) > len(told) / 2, told


def test_a_run_that_was_stopped_goes_on_exactly(learnt: Path, tmp_path: Path) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 9

    recipe = seq2seq(tmp_path)
    with pytest.raises(Interrupted):
        carry_out(recipe, tmp_path / "run", stop=stop)
    before = len(lines(tmp_path / "run" / "history.jsonl"))
    assert 0 < before < 20
    carry_out(recipe, tmp_path / "run")
    for name in ("history.jsonl", "evaluations.jsonl", "model/model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (learnt / name).read_bytes(), name


def test_how_a_step_is_cut_changes_nothing(learnt: Path, tmp_path: Path) -> None:
    recipe = seq2seq(tmp_path)
    recipe["training"] = {**recipe["training"], "steps": 3, "micro_tokens": 40, "schedule": "constant"}
    carry_out(recipe, tmp_path / "cut", until="train")
    recipe["training"]["micro_tokens"] = 8192
    carry_out(recipe, tmp_path / "whole", until="train")
    assert sampled(tmp_path / "cut") == pytest.approx(sampled(tmp_path / "whole"), rel=1e-5)


def talk(place: Path) -> str:
    rows = [
        {"messages": [{"role": "user", "content": f"{a}{b}"}, {"role": "assistant", "content": "Yes."}]}
        for a in "abcdef" for b in "stuvwxyz"
    ]  # fmt: skip
    (place / "talk.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(place / "talk.jsonl")


def test_chat_beside_cross_entropy(tmp_path: Path) -> None:
    recipe = seq2seq(tmp_path, task="chat", data={"train": talk(tmp_path)})
    recipe["objective"] = {"minimum_risk": {"metric": "chrf", "samples": 4, "weight": 0.5}}
    carry_out(recipe, tmp_path / "run")
    rows = lines(tmp_path / "run" / "history.jsonl")
    assert set(rows[0]["parts"]) == {"cross_entropy", "minimum_risk"}
    assert rows[-1]["parts"]["cross_entropy"] < rows[0]["parts"]["cross_entropy"] / 2
    worth = sampled(tmp_path / "run")
    assert worth[-1] > worth[0] + 0.2, worth


def test_factual_consistency_by_the_users_own_model(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found beside the recipe from everywhere; another model is another run."""
    model, tokenizer = toy_bert(3)
    model.config.id2label = {0: "contradiction", 1: "neutral", 2: "entailment"}
    model.save_pretrained(tmp_path / "judge")
    tokenizer.save_pretrained(tmp_path / "judge")
    recipe = seq2seq(tmp_path, objective={"factual_consistency": {"model": "judge", "samples": 2}})
    recipe["training"] = {**recipe["training"], "steps": 2}
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for _ in work(parse(recipe), tmp_path / "run", base=tmp_path):
        pass
    rows = lines(tmp_path / "run" / "history.jsonl")
    assert set(rows[0]["parts"]) == {"cross_entropy", "factual_consistency"}
    assert 0 < rows[0]["watched"]["factual_consistency_sampled"] < 1
    with pytest.raises(ModelError, match="no folder"):
        carry_out({**recipe, "objective": {"factual_consistency": {"model": "none"}}}, tmp_path / "other")


@pytest.mark.parametrize("task", ["language_modeling", "preference"])
def test_tasks_that_write_nothing_are_refused(task: str, tmp_path: Path) -> None:
    recipe = seq2seq(tmp_path, task=task)
    recipe.pop("generation")
    recipe["data"] = {"train": str(tmp_path / "rows.jsonl"), "text": "text"}
    if task == "preference":
        recipe["data"] = {"train": talk(tmp_path)}
    recipe["evaluation"] = {}
    with pytest.raises((RecipeError, ModelError)):
        carry_out(recipe, tmp_path / "run", until="train")
