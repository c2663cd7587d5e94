"""Multi-label and regression from a file to evidence, with the toy: the same door as classification."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_runs import Cli, lay, lines

import tunewright

CASES: dict[str, dict[str, Any]] = {
    "multilabel": {"task": "multilabel", "data": {"label": "marks", "separator": "|"}},
    "regression": {"task": "regression", "data": {"label": "score"}},
}
TRAINING = {"epochs": 8, "batch": 8, "rate": 0.01}
LADDER = ["majority", "tfidf", "linear"]
every = pytest.mark.parametrize("task", list(CASES))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of each task with the whole ladder."""
    made = {}
    for task, changes in CASES.items():
        place = tmp_path_factory.mktemp(task)
        recipe = lay(place, rows=800, **changes, training=TRAINING, evaluation={"baselines": LADDER})
        tunewright.run(recipe, folder=place / "run")
        made[task] = place / "run"
    return made


def evidence(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "evidence.json").read_text(encoding="utf-8"))
    return found


@every
def test_a_run_ends_with_evidence_and_a_report(runs: dict[str, Path], task: str) -> None:
    found = evidence(runs[task])
    assert (
        found["task"] == task
        and found["verdict"]["metric"] == {"multilabel": "f1_micro", "regression": "pearson"}[task]
    )
    assert {c["name"] for c in found["contenders"]} == {"tuned", *LADDER}
    trivial = [c for c in found["comparisons"] if c["against"] == "majority"]
    if task == "multilabel":
        assert next(c for c in trivial if c["metric"] == "f1_micro")["verdict"] == "better"
    else:
        mse = {c["name"]: c["metrics"]["mse"]["value"] for c in found["contenders"]}
        assert mse["tuned"] < 0.5 * mse["majority"], mse
    page = (runs[task] / "report.html").read_text(encoding="utf-8")
    assert found["verdict"]["sentence"].split(":")[0][:40] in page
    ledger = json.loads((runs[task] / "data" / "ledger.json").read_text())
    assert ledger["stages"] and all(stage["balances"] for stage in ledger["stages"])


def test_a_run_begins_at_the_labels_frequencies(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    barely = {"steps": 1, "rate": 1e-9}
    tunewright.run(lay(tmp_path, **CASES["multilabel"], training=barely), folder=tmp_path / "run")
    rows = [json.loads(row["label"]) for row in lines(tmp_path / "run" / "data" / "train.jsonl")]
    names = json.loads((tmp_path / "run" / "model" / "tunewright.json").read_text())["labels"]
    shares = np.array([(sum(name in row for row in rows) + 0.5) / (len(rows) + 1) for name in names])
    biases = load_file(tmp_path / "run" / "model" / "model.safetensors")["classifier.bias"]
    assert biases == pytest.approx(np.log(shares / (1 - shares)), abs=1e-4) and abs(biases).max() > 0.3


@every
def test_a_loaded_model_says_what_the_run_said(runs: dict[str, Path], task: str) -> None:
    texts = {row["id"]: row["text"] for row in lines(runs[task] / "data" / "test.jsonl")}
    _, *rows = lines(runs[task] / "predictions" / "tuned.test.jsonl")
    answers = tunewright.load(runs[task]).predict([texts[row["id"]] for row in rows])
    for row, answer in zip(rows, answers, strict=True):
        if task == "multilabel":
            assert sorted(answer.labels) == sorted(row["output"])
            assert list(answer.scores.values()) == pytest.approx(row["scores"], abs=1e-9)
        else:
            assert list(answer.values.values()) == pytest.approx(row["output"], abs=1e-9)


@every
def test_plain_transformers_gives_the_same_scores(runs: dict[str, Path], task: str) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(runs[task] / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(runs[task] / "model")
    card = json.loads((runs[task] / "model" / "tunewright.json").read_text())
    assert model.config.problem_type == {"multilabel": "multi_label_classification", "regression": "regression"}[task]
    text = "near sled under snow"
    with torch.no_grad():
        raw = model(**tokenizer(text, return_tensors="pt")).logits[0].double().numpy()
    answer = tunewright.load(runs[task]).predict(text)[0]
    if task == "multilabel":
        assert list(answer.scores.values()) == pytest.approx(1 / (1 + np.exp(-raw)), abs=0.02)
    else:
        expected = raw * np.array(card["spread"]) + np.array(card["mean"])
        assert list(answer.values.values()) == pytest.approx(expected, abs=0.02 * card["spread"][0])


@every
def test_a_file_is_predicted_row_by_row(runs: dict[str, Path], task: str, tmp_path: Path, cli: Cli) -> None:
    source = tmp_path / "new.csv"
    source.write_text("text\nnear sled under snow\nold lamp july beach\n")
    said = cli("predict", runs[task], source, "--out", tmp_path / "out.csv")
    assert said.code == 0, said.err
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    answers = tunewright.load(runs[task]).predict(["near sled under snow", "old lamp july beach"])
    if task == "multilabel":
        assert [json.loads(row["labels"]) for row in rows] == [list(a.labels) for a in answers]
        assert all(f"p_{label}" in rows[0] for label in answers[0].scores)
    else:
        assert [float(row["score"]) for row in rows] == pytest.approx([a.value for a in answers], rel=1e-5)
    said = cli("predict", runs[task], "near sled under snow")
    assert said.code == 0 and "near sled under snow" in said.out


@every
def test_check_finds_what_a_run_would(task: str, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = lay(tmp_path, **CASES[task])
    said = cli("check", recipe, "--json")
    assert said.code == 0, said.out
    facts = said.value["facts"]
    assert facts["task"] == task
    if task == "multilabel":
        assert set(facts["classes"]) == {"cold", "warm", "short", "near"} and min(facts["classes"].values()) > 5
    else:
        assert [t["name"] for t in facts["targets"]] == ["score"] and facts["targets"][0]["low"] < 0 < facts["targets"][
            0
        ]["high"]
    assert cli("check", recipe).code == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({**CASES["regression"], "objective": {"mse": {"scale": [1.0, 2.0]}}}, "1 number above 0"),
        ({**CASES["multilabel"], "objective": {"binary_cross_entropy": {"label_weights": {"shrt": 2.0}}}}, "shrt"),
        ({"objective": {"cross_entropy": {"class_weights": {"hot": 2.0}}}}, "hot"),
    ],
)
def test_check_sees_that_weights_go_with_the_labels(
    changes: dict[str, Any], words: str, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = cli("check", lay(tmp_path, **changes))
    assert said.code == 2 and words in said.err + said.out


@every
def test_other_rows_are_judged_as_the_runs_own(runs: dict[str, Path], task: str, tmp_path: Path, cli: Cli) -> None:
    lay(tmp_path, rows=200)
    said = cli("evaluate", runs[task], "--data", tmp_path / "toy.csv", "--json")
    assert said.code == 0, said.err


def test_several_targets_in_columns_of_their_own(tmp_path: Path) -> None:
    with (lay(tmp_path).parent / "toy.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "toy.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "score", "words"])
        writer.writerows([[r["text"], r["score"], len(r["text"].split())] for r in rows])
    recipe = lay(
        tmp_path / "other", **{**CASES["regression"], "data": {"train": "../toy.csv", "label": ["score", "words"]}}
    )
    outcome = tunewright.run(recipe, folder=tmp_path / "run")
    tuned = next(c for c in outcome.evidence["contenders"] if c["role"] == "tuned")
    assert [row["target"] for row in tuned["per_target"]] == ["score", "words"]
    assert set(tunewright.load(tmp_path / "run").predict("near sled under snow")[0].values) == {"score", "words"}
