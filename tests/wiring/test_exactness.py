"""Killed anywhere and run again, a run ends as if it had never been killed: byte for byte."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from toy_runs import TASKS, Forks, lay, lines, merged

KILLED = -9
EVERY_2 = {"training": {"checkpoint_every": 2, "epochs": 2, "batch": 16, "stop": {"metric": "loss"}}}
"""79 training rows: 10 steps, validations after steps 5 and 10, checkpoints after every second and at validations."""

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "frozen": {"adaptation": {"frozen": {"top": 1}}, "training": {"sampler": "balanced", "micro_tokens": 40}},
    "head": {"adaptation": {"frozen": {"top": 0}}},
    "lora_on_top": {"adaptation": [{"lora": {"rank": 4, "dropout": 0.2}}, {"frozen": {"top": 1}}],
                    "training": {"trunk": {"keep": "disk", "folder": "trunks"}}},
    "lora": {
        "adaptation": {"lora": {"rank": 4, "dropout": 0.2}},
        "training": {"sampler": {"length_aware": {"pool": 32, "chunk": 8}}, "batch_tokens": 150},
    },
    "padded": {"model": {"name": "toy", "layout": "padded"}, "objective": {"focal": {"gamma": 2.0}},
               "training": {"validate_every": 3, "stop": {"metric": "f1_macro", "patience": 2}}},
    "multilabel": {"task": "multilabel", "data": {"label": "marks", "separator": "|"},
                   "training": {"sampler": "balanced", "micro_tokens": 40}},
    "regression": {"task": "regression", "data": {"label": "score"}, "objective": "huber"},
    **{name: merged(TASKS[name], {"training": {"stop": {"metric": metric}}}) for name, metric in (
        ("token_classification", "f1"), ("language_modeling", "loss"), ("chat", "loss"), ("preference", "accuracy"),
        ("thumbs", "margin"), ("reward", "accuracy"))},
}  # fmt: skip

LEARNERS: dict[str, Any] = {
    "bottleneck": {"bottleneck": {"placement": "houlsby", "reduction": 2, "dropout": 0.2}},
    "ia3": "ia3",
    "pissa": {"lora": {"rank": 4, "init": "pissa", "dora": True, "dropout": 0.1}},
    "eva": {"lora": {"rank": 4, "init": "eva"}},
    "prompt_tuning": {"prompt_tuning": {"tokens": 4}},
    "p_tuning": {"p_tuning": {"tokens": 4}},
    "prefix_tuning": {"prefix_tuning": {"tokens": 4, "projection": 8}},
    "quantized + lora": [{"quantized": "nf4"}, {"lora": {"rank": 4, "dropout": 0.1}}],
}
"""What else can learn, killed once each, where a checkpoint must hold all that it has learnt."""

MOMENTS: dict[str, dict[str, Any]] = {
    "after step 1": {"at": "line", "file": "history.jsonl", "nth": 1, "half": False},
    "after step 3": {"at": "line", "file": "history.jsonl", "nth": 3, "half": False},
    "half a line of history": {"at": "line", "file": "history.jsonl", "nth": 7, "half": True},
    "first checkpoint, before its manifest": {"at": "hash", "folder": "step-00000002"},
    "checkpoint, before its manifest": {"at": "hash", "folder": "step-00000004"},
    "checkpoint, whole but not renamed": {"at": "rename", "name": "step-00000006", "before": True},
    "checkpoint, just renamed": {"at": "rename", "name": "step-00000006", "before": False},
    "the best, before its manifest": {"at": "hash", "folder": "best"},
    "the best, just renamed": {"at": "rename", "name": "best", "before": False},
    "the best, between two renames": {"at": "rename", "name": ".best.old", "before": False},
    "after a validation": {"at": "line", "file": "evaluations.jsonl", "nth": 1, "half": False},
    "half a line of a validation": {"at": "line", "file": "evaluations.jsonl", "nth": 2, "half": True},
    "the model, before its card": {"at": "rename", "name": "tunewright.json", "before": True},
    "the model, before it is in place": {"at": "rename", "name": "model", "before": True},
    "the model, in place": {"at": "rename", "name": "model", "before": False},
    "training, not yet entered": {"at": "stage", "stage": "train"},
    "while a prediction is written": {"at": "rename", "name": "tuned.test.jsonl", "before": True},
    "predictions, not yet entered": {"at": "stage", "stage": "predict"},
    "evidence, before it is in place": {"at": "rename", "name": "evidence.json", "before": True},
    "the report, before it is in place": {"at": "rename", "name": "report.html", "before": True},
    "the data, half of them": {"at": "rename", "name": "validation.jsonl", "before": False},
    "run.json": {"at": "rename", "name": "run.json", "before": True, "nth": 3},
    "the recipe": {"at": "rename", "name": "recipe.yaml", "before": True},
}


def options(variant: str) -> dict[str, Any]:
    return merged(EVERY_2, VARIANTS[variant])


def left(run: Path) -> dict[str, Any]:
    """All that must be equal: the files as bytes, what holds a clock's reading without it."""
    weights = next(p for p in (run / "model").glob("*.safetensors"))
    evidence = json.loads((run / "evidence.json").read_text())
    for contender in evidence["contenders"]:
        contender.pop("seconds_per_item")
    predicted = {
        path.name: [{k: v for k, v in row.items() if k != "seconds"} for row in lines(path)]
        for path in sorted((run / "predictions").glob("tuned.*.jsonl"))
    }
    names = ("history.jsonl", "evaluations.jsonl", "recipe.yaml", "data/train.jsonl")
    return {**{name: (run / name).read_bytes() for name in names}, weights.name: weights.read_bytes(),
            "predictions": predicted, "evidence": evidence}  # fmt: skip


def check_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        assert found[name] == value, f"{name} differs"


def stray(run: Path) -> list[str]:
    hidden = {p.relative_to(run).as_posix() for p in run.rglob(".*")} - {".lock"}
    return sorted(hidden)


@pytest.fixture(scope="module")
def whole(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of every variant that was never interrupted."""
    out = {}
    for variant in VARIANTS:
        at = tmp_path_factory.mktemp(variant)
        lay(at, **options(variant))
        said = forks("run", "toy.yaml", at=at)
        assert said.code == 0, said.out
        out[variant] = at
    return out


def interrupted(forks: Forks, at: Path, kill: dict[str, Any]) -> Path:
    run = at / "runs" / "other"
    shutil.rmtree(run, ignore_errors=True)
    said = forks("run", "toy.yaml", "--folder", "runs/other", at=at, kill=kill)
    assert said.code == KILLED, f"the moment never came: {said.out}"
    return run


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment(moment: str, whole: dict[str, Path], forks: Forks) -> None:
    at = whole["full"]
    run = interrupted(forks, at, MOMENTS[moment])
    said = forks("run", "toy.yaml", "--folder", "runs/other", at=at)
    assert said.code == 0, said.out
    check_same(left(run), left(at / "runs" / "toy"))
    assert stray(run) == []
    assert json.loads((run / "run.json").read_text())["status"] == "finished"


@pytest.mark.parametrize(
    "moment", ["after step 3", "half a line of history", "after a validation", "training, not yet entered"]
)
@pytest.mark.parametrize("variant", [v for v in VARIANTS if v != "full"])
def test_killed_whatever_learns(variant: str, moment: str, whole: dict[str, Path], forks: Forks) -> None:
    at = whole[variant]
    run = interrupted(forks, at, MOMENTS[moment])
    said = forks("run", "toy.yaml", "--folder", "runs/other", at=at)
    assert said.code == 0, said.out
    check_same(left(run), left(at / "runs" / "toy"))


@pytest.mark.parametrize("name", LEARNERS)
def test_every_adaptation_goes_on_exactly(name: str, forks: Forks, tmp_path: Path) -> None:
    lay(tmp_path, **merged(EVERY_2, {"adaptation": LEARNERS[name]}))
    assert forks("run", "toy.yaml", at=tmp_path).code == 0
    run = interrupted(forks, tmp_path, MOMENTS["after step 3"])
    said = forks("run", "toy.yaml", "--folder", "runs/other", at=tmp_path)
    assert said.code == 0 and "going on after step 2" in said.out, said.out
    check_same(left(run), left(tmp_path / "runs" / "toy"))


def test_killed_again_and_again(whole: dict[str, Path], forks: Forks) -> None:
    at = whole["full"]
    run = interrupted(forks, at, MOMENTS["after step 3"])
    for nth in (1, 2, 3):
        kill = {"at": "line", "file": "history.jsonl", "nth": nth, "half": nth == 2}
        assert forks("run", "toy.yaml", "--folder", "runs/other", at=at, kill=kill).code == KILLED
    assert forks("run", "toy.yaml", "--folder", "runs/other", at=at).code == 0
    check_same(left(run), left(at / "runs" / "toy"))


def test_dropout_is_on_and_the_variants_learn_differently(whole: dict[str, Path]) -> None:
    histories = {v: (at / "runs" / "toy" / "history.jsonl").read_bytes() for v, at in whole.items()}
    assert len(set(histories.values())) == len(VARIANTS)
    config = json.loads((whole["full"] / "runs/toy/model/config.json").read_text())
    assert config["hidden_dropout_prob"] == 0.1


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("name", ["weights.safetensors", "update.safetensors", "state.json", "manifest.json"])
def test_a_damaged_checkpoint_is_passed_over_and_said(name: str, whole: dict[str, Path], forks: Forks) -> None:
    at = whole["full"]
    run = interrupted(forks, at, {"at": "line", "file": "history.jsonl", "nth": 9, "half": False})
    newest = sorted((run / "checkpoints").glob("step-*"))[-1]
    assert newest.name == "step-00000008"
    flip(newest / name)
    said = forks("run", "toy.yaml", "--folder", "runs/other", at=at)
    assert said.code == 0 and "going on after step 6" in said.out, said.out
    assert newest.name in said.out and ("is not what was written" in said.out or "unreadable" in said.out)
    check_same(left(run), left(at / "runs" / "toy"))


def test_no_checkpoint_is_whole(whole: dict[str, Path], forks: Forks) -> None:
    at = whole["full"]
    run = interrupted(forks, at, MOMENTS["half a line of history"])
    for path in (run / "checkpoints").glob("step-*"):
        flip(path / "weights.safetensors")
    said = forks("run", "toy.yaml", "--folder", "runs/other", at=at)
    assert said.code == 0 and "starting again" in said.out
    check_same(left(run), left(at / "runs" / "toy"))


def test_the_best_weights_are_damaged(whole: dict[str, Path], forks: Forks) -> None:
    """To save the last weights in their place without a word would be another model than the one that was chosen."""
    at = whole["full"]
    run = interrupted(forks, at, MOMENTS["training, not yet entered"])
    flip(run / "checkpoints" / "best" / "weights.safetensors")
    said = forks("run", "toy.yaml", "--folder", "runs/other", at=at)
    assert said.code == 6 and "best weights are missing or damaged" in said.out and "--fresh" in said.out
    said = forks("run", "toy.yaml", "--folder", "runs/other", "--fresh", at=at)
    assert said.code == 0, said.out
    check_same(left(run), left(at / "runs" / "toy"))


def test_the_seed_decides(whole: dict[str, Path], forks: Forks) -> None:
    at = whole["full"]
    first = left(at / "runs" / "toy")
    assert forks("run", "toy.yaml", "--folder", "runs/again", at=at).code == 0
    check_same(left(at / "runs" / "again"), first)
    assert forks("run", "toy.yaml", "--folder", "runs/seed1", "--set", "seed=1", at=at).code == 0
    other = left(at / "runs" / "seed1")
    assert other["history.jsonl"] != first["history.jsonl"] and other["data/train.jsonl"] != first["data/train.jsonl"]
