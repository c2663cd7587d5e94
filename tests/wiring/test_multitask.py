"""Several tasks in one run, with the toy: from a recipe to each task's evidence, and whether they helped one another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from toy_runs import Cli, Forks, lay, lines, merged

import tunewright
from tunewright.core.errors import RecipeError
from tunewright.predicting import load
from tunewright.recipe import parse, read

SHARES = {"validation": 0.15, "test": 0.2}


def data(label: str, **more: Any) -> dict[str, Any]:
    return {"train": "toy.csv", "text": "text", "label": label, "shares": SHARES, **more}


RECIPE: dict[str, Any] = {
    "task": "multitask",
    "model": "toy",
    "tasks": {
        "feel": {"task": "classification", "baselines": ["majority"], "data": data("label")},
        "score": {"task": "regression", "baselines": ["majority"], "data": data("score", limit=60), "weight": 0.5},
    },
    "training": {"epochs": 2, "batch": 16, "rate": 0.01, "checkpoint_every": 2},
    "evaluation": {"resamples": 200},
}
TAGS = [
    {"text": f"the {place} is {word}", "label": [[4, 4 + len(place), "PLACE"]]}
    for place in ("river", "valley", "road", "lake") for word in ("warm", "cold", "wet", "near", "far", "dry", "old", "new")
]  # fmt: skip


def write(folder: Path, **changes: Any) -> Path:
    lay(folder)
    (folder / "tags.jsonl").write_text("".join(json.dumps(row) + "\n" for row in TAGS))
    path = folder / "both.yaml"
    path.write_text(yaml.safe_dump(merged(RECIPE, changes), sort_keys=False))
    return path


def weights_in(run: Path) -> dict[str, bytes]:
    return {p.relative_to(run).as_posix(): p.read_bytes() for p in sorted(run.glob("tasks/*/model/*.safetensors"))}


def said(path: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in lines(path)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with weights by uncertainty and each task alone."""
    folder = tmp_path_factory.mktemp("both")
    tunewright.run(write(folder, mixing={"weights": "uncertainty"}), folder=folder / "run")
    return folder / "run"


def test_a_run_of_several_tasks_leaves_evidence_of_each_and_of_transfer(run: Path) -> None:
    evidence = json.loads((run / "evidence.json").read_text())
    assert evidence["task"] == "multitask" and list(evidence["tasks"]) == ["feel", "score"]
    for name, own in evidence["tasks"].items():
        folder = run / "tasks" / name
        assert own == json.loads((folder / "evidence.json").read_text())
        assert {c["name"] for c in own["contenders"]} == {"tuned", "majority"}
        assert (folder / "data" / "ledger.json").is_file() and (folder / "predictions" / "tuned.test.jsonl").is_file()
        assert said(folder / "predictions" / "tuned.test.jsonl") != said(folder / "alone/predictions/tuned.test.jsonl")
    assert [row["task"] for row in evidence["transfer"]] == ["feel", "score"]
    assert evidence["verdict"]["outcome"] in ("better", "worse", "can't tell")
    assert all(name in evidence["verdict"]["sentence"] for name in ("feel", "score"))
    facts = json.loads((run / "run.json").read_text())["model"]
    alone = json.loads((run / "tasks/feel/alone/run.json").read_text())["model"]
    assert facts["parameters"] == alone["parameters"] + 33, "a body, and two heads: of three scores, and of one"
    assert (run / "report.html").is_file() and json.loads((run / "run.json").read_text())["status"] == "finished"


def test_transfer_is_the_paired_comparison_of_the_two_runs(run: Path) -> None:
    evidence = json.loads((run / "evidence.json").read_text())
    for row in evidence["transfer"]:
        folder = run / "tasks" / row["task"]
        same = tunewright.evaluation.compare_runs(
            folder / "alone", folder, metric=row["metric"], also=(), resamples=200, seed=0
        )
        (one,) = same["comparisons"]
        assert row["difference"]["value"] == one["effect"] and row["p_alone"] == one["p"]
        assert row["p"] >= row["p_alone"] and row["test"] == one["test"]
        values = [c["metrics"][row["metric"]]["value"] for c in same["contenders"]]
        assert [row["together"]["value"], row["alone"]["value"]] == values


def test_a_task_alone_is_an_ordinary_run_of_its_own_recipe(run: Path, tmp_path: Path) -> None:
    recipe = read(run / "tasks" / "feel" / "recipe.yaml")
    tunewright.run(recipe, folder=tmp_path / "single")
    for split in ("test", "validation"):
        name = f"predictions/tuned.{split}.jsonl"
        assert said(tmp_path / "single" / name) == said(run / "tasks/feel/alone" / name)


def test_history_has_every_tasks_part_and_weight(run: Path) -> None:
    rows = lines(run / "history.jsonl")
    for row in rows:
        assert row["loss"] == pytest.approx(sum(row["parts"].values()))
        assert set(row["watched"]) == {"feel/weight", "score/weight"}
        assert row["totals"]["example:feel"] + row["totals"]["example:score"] == row["totals"]["example"]
    assert rows[0]["watched"] == {"feel/weight": 1.0, "score/weight": 0.25}
    assert rows[-1]["watched"] != rows[0]["watched"]
    last = {row["task"]: row["weight"] for row in json.loads((run / "evidence.json").read_text())["weights"]}
    assert set(last) == {"feel", "score"} and last["feel"] == pytest.approx(
        rows[-1]["watched"]["feel/weight"], rel=0.05
    )
    for row in lines(run / "evaluations.jsonl"):
        assert {"score", "feel/loss", "score/pearson"} <= set(row["metrics"])
    assert lines(run / "evaluations.jsonl")[0]["metrics"]["score"] == pytest.approx(1.0)


def test_the_saved_models_share_a_body_and_open_in_plain_transformers(run: Path) -> None:
    from safetensors.torch import load_file
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    models = {name: load_file(run / f"tasks/{name}/model/model.safetensors") for name in ("feel", "score")}
    assert models["feel"].keys() == models["score"].keys()
    for name, value in models["feel"].items():
        assert torch.equal(value, models["score"][name]) == (not name.startswith("classifier"))
    tokenizer = AutoTokenizer.from_pretrained(run / "tasks/feel/model")
    plain = AutoModelForSequenceClassification.from_pretrained(run / "tasks/feel/model").eval()
    with torch.no_grad():
        wanted = plain(**tokenizer("a warm day", return_tensors="pt")).logits.softmax(-1)[0]
    found: Any = load(run, "feel").predict("a warm day")[0]
    assert np.allclose(list(found.scores.values()), wanted, atol=0.02)


def test_predict_and_evaluate_take_one_task(run: Path, cli: Cli) -> None:
    assert cli("predict", run, "a warm day", "--task", "feel", "--json").value[0]["label"] in ("warm", "cold", "wet")
    assert "values" in cli("predict", run, "a warm day", "--task", "score", "--json").value[0]
    for words in (("predict", run, "a warm day"), ("predict", run, "a warm day", "--task", "fell")):
        answer = cli(*words)
        assert answer.code == 2 and "feel, score" in answer.err
    assert cli("predict", run / "tasks/feel", "a day", "--task", "feel").code == 2
    judged = cli("evaluate", run, "--task", "score", "--data", run.parent / "toy.csv", "--json").value
    assert judged["task"] == "regression" and judged["data"]["left_out"] > 0
    before = (run / "evidence.json").read_text()
    assert cli("evaluate", run, "--json").code == 0 and "feel" in cli("runs", "show", run).out
    again, first = json.loads((run / "evidence.json").read_text()), json.loads(before)
    assert (again["transfer"], again["verdict"]) == (first["transfer"], first["verdict"])


def test_nothing_is_done_twice(run: Path, cli: Cli) -> None:
    before = weights_in(run)
    times = {p: p.stat().st_mtime_ns for p in run.glob("tasks/**/*.safetensors")}
    assert cli("run", run.parent / "both.yaml", "--set", "mixing.weights=uncertainty", "--folder", run).code == 0
    assert weights_in(run) == before and {p: p.stat().st_mtime_ns for p in times} == times
    other = cli("run", run.parent / "both.yaml", "--set", "mixing.weights=size", "--folder", run)
    assert other.code == 6 and "another recipe" in other.err
    assert weights_in(run) == before


def test_check_looks_at_every_task(tmp_path: Path, cli: Cli) -> None:
    found = cli("check", write(tmp_path), "--json")
    assert found.code == 0 and set(found.value["facts"]["tasks"]) == {"feel", "score"}
    wrong = write(tmp_path, tasks={"score": {"data": {"label": "nothing"}}})
    answer = cli("check", wrong, "--json")
    assert answer.code == 3 and all("tasks.score" in p["where"] for p in answer.value["errors"])
    assert {p.name for p in tmp_path.iterdir()} == {"both.yaml", "toy.csv", "toy.yaml", "tags.jsonl"}


VARIANTS: dict[str, dict[str, Any]] = {
    "uncertainty": {"mixing": {"weights": "uncertainty", "sampler": {"tempered": {"temperature": 2.0}}}},
    "gradnorm": {"mixing": {"weights": {"gradnorm": {"rate": 0.1}}, "sampler": "equal"}, "training": {"micro_tokens": 40}},
    "lora": {"adaptation": {"lora": {"rank": 4, "dropout": 0.2}}, "mixing": {"weights": "gradnorm"},
             "training": {"batch_tokens": 150}},
    "tags": {"tasks": {"places": {"task": "token_classification", "data": {"train": "tags.jsonl", "shares": SHARES},
                                  "baselines": ["lexicon"]}}, "mixing": {"weights": "size"}},
}  # fmt: skip
NO_TRANSFER = {"evaluation": {"transfer": False}}


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_killed_and_run_again_it_ends_as_if_it_had_not_been(variant: str, tmp_path: Path, forks: Forks) -> None:
    write(tmp_path, **merged(VARIANTS[variant], NO_TRANSFER))
    assert (told := forks("run", "both.yaml", "--folder", "whole", at=tmp_path)).code == 0, told.out
    kill = {"at": "line", "file": "history.jsonl", "nth": 5, "half": False}
    assert forks("run", "both.yaml", "--folder", "other", at=tmp_path, kill=kill).code == -9
    assert (told := forks("run", "both.yaml", "--folder", "other", at=tmp_path)).code == 0, told.out
    whole, other = tmp_path / "whole", tmp_path / "other"
    assert len(weights_in(whole)) == (3 if variant == "tags" else 2) and weights_in(other) == weights_in(whole)
    for name in ("history.jsonl", "evaluations.jsonl"):
        assert (other / name).read_bytes() == (whole / name).read_bytes()
    for path in whole.glob("tasks/*/predictions/tuned.*.jsonl"):
        assert said(other / path.relative_to(whole)) == said(path)
    assert (
        json.loads((other / "run.json").read_text())["weights"]
        == json.loads((whole / "run.json").read_text())["weights"]
    )


@pytest.mark.parametrize("kill", [{"at": "rename", "name": "model", "before": False}, {"at": "stage", "stage": "predict"},
                                  {"at": "rename", "name": "evidence.json", "before": True}])  # fmt: skip
def test_killed_after_training_it_ends_alike(kill: dict[str, Any], tmp_path: Path, forks: Forks) -> None:
    write(tmp_path, training={"epochs": 1})
    assert forks("run", "both.yaml", "--folder", "whole", at=tmp_path).code == 0
    assert forks("run", "both.yaml", "--folder", "other", at=tmp_path, kill=kill).code == -9
    assert (told := forks("run", "both.yaml", "--folder", "other", at=tmp_path)).code == 0, told.out
    whole, other = (json.loads((tmp_path / name / "evidence.json").read_text()) for name in ("whole", "other"))
    assert (other["transfer"], other["verdict"], other["weights"]) == (
        whole["transfer"],
        whole["verdict"],
        whole["weights"],
    )
    assert weights_in(tmp_path / "other") == weights_in(tmp_path / "whole")


def test_micro_batches_change_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, **NO_TRANSFER, mixing={"weights": "gradnorm"}, model={"name": "toy", "precision": "float32"})
    found = []
    for tokens in (8192, 30):
        tunewright.run(path, folder=tmp_path / str(tokens), changes=[f"training.micro_tokens={tokens}"])
        found.append([row["loss"] for row in lines(tmp_path / str(tokens) / "history.jsonl")])
    assert found[0] == pytest.approx(found[1], rel=1e-4)


@pytest.mark.parametrize(
    "change, where",
    [
        ({"mixing": {"weights": "uncertaint"}}, "mixing.weights"),
        ({"mixing": {"sampler": {"tempered": {"temperature": 0.5}}}}, "mixing.sampler.tempered.temperature"),
        ({"tasks": {"feel": {"objective": "mse"}}}, "tasks.feel.objective"),
        ({"tasks": {"feel": {"metric": "pearson"}}}, "tasks.feel.metric"),
        ({"tasks": {"feel": {"baselines": ["copy"]}}}, "tasks.feel.baselines"),
        ({"tasks": {"feel": {"weight": 0}}}, "tasks.feel.weight"),
        ({"tasks": {"feel": {"data": {"txt": "a"}}}}, "tasks.feel.data.txt"),
        ({"tasks": {"a b": {"task": "chat", "data": {"train": "x"}}}}, "tasks.a b"),
        ({"data": {"train": "x"}}, "data"),
        ({"objective": "mse"}, "objective"),
        ({"evaluation": {"metric": "f1"}}, "evaluation.metric"),
        ({"training": {"stop": {"metric": "loss"}}}, "training.stop.metric"),
        ({"training": {"epoch": 1}}, "training.epoch"),
        ({"generation": {"beams": 2}}, "generation"),
    ],
)
def test_a_wrong_recipe_is_told_where(change: dict[str, Any], where: str) -> None:
    with pytest.raises(RecipeError) as error:
        parse(merged(RECIPE, change))
    assert [p.where for p in error.value.problems] == [where]


def test_one_task_is_not_several() -> None:
    with pytest.raises(RecipeError, match="two or more"):
        parse({**RECIPE, "tasks": {"feel": RECIPE["tasks"]["feel"]}})


def test_a_recipe_says_every_default_and_means_the_same_again() -> None:
    recipe = parse(RECIPE)
    dumped = recipe.dump()
    assert dumped["mixing"] == {"weights": {"fixed": {}}, "sampler": {"proportional": {}}}
    assert dumped["evaluation"]["transfer"] is True and "data" not in dumped and "objective" not in dumped
    again = parse(dumped)
    assert again.dump() == dumped and again.fingerprint() == recipe.fingerprint()
    heavier = merged(RECIPE, {"tasks": {"feel": {"weight": 3.0}}})
    assert parse(heavier).fingerprint() != recipe.fingerprint()
    assert parse(merged(RECIPE, NO_TRANSFER)).fingerprint() == recipe.fingerprint()


def test_gradnorm_needs_a_body_that_learns(tmp_path: Path) -> None:
    path = write(
        tmp_path, adaptation={"frozen": {"top": 0, "patterns": ["*pooler*", "bert*"]}}, mixing={"weights": "gradnorm"}
    )
    with pytest.raises(RecipeError, match="all tasks share"):
        tunewright.run(path, folder=tmp_path / "run")


def test_what_is_wrong_with_one_tasks_rows_names_the_task(tmp_path: Path, cli: Cli) -> None:
    path = write(tmp_path, tasks={"score": {"data": {"shares": {"test": 0.0}}}})
    for words in ((), ("--fresh",)):
        answer = cli("run", path, "--folder", tmp_path / "run", *words)
        assert answer.code == 3 and "tasks.score, data, test split" in answer.err


def test_selftest_and_show_take_every_task(tmp_path: Path, cli: Cli) -> None:
    path = write(tmp_path)
    found = cli("selftest", path, "--json")
    assert found.code == 0 and {row["task"] for row in found.value["checks"]} == {"feel", "score"}
    shown = cli("check", path, "--show", "1").out
    assert "feel" in shown and "score" in shown
