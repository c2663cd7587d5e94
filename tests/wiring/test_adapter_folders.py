"""Whole runs with every kind of adapter, and from adapter to adapter: the folder of one is the model of the next."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
from toy_runs import TASKS, Cli, lay

REGRESSION = {"task": "regression", "data": {"label": "score"}}
RUNS: list[tuple[str, Any]] = [
    ("classification", {"lora": {"rank": 4, "dora": True}}),
    ("classification", {"lora": {"rank": 4, "init": "olora"}}),
    ("regression", {"vera": {"rank": 32}}),
    ("token_classification", {"lora": {"rank": 4, "init": "pissa", "top": 1}}),
    ("language_modeling", "ia3"),
    ("chat", {"lora": {"rank": 4, "init": "orthogonal", "rank_pattern": {"v_proj": 2}}}),
    ("seq2seq", "ia3"),
    ("preference", {"lora": {"rank": 4, "init": "pissa"}}),
    ("reward", {"vera": {"rank": 32}}),
    ("classification", [{"lora": {"rank": 4, "init": "pissa"}}, {"frozen": {"top": 1}}]),
]


@pytest.mark.parametrize(("task", "adaptation"), RUNS, ids=lambda value: json.dumps(value).replace('"', ""))
def test_a_run_with_every_kind(
    task: str, adaptation: Any, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    changes = REGRESSION if task == "regression" else TASKS.get(task, {})
    evaluation = {"baselines": changes.get("evaluation", {}).get("baselines", ["majority"])[:1]}
    lay(tmp_path, **{**changes, "adaptation": adaptation, "training": {"steps": 4}, "evaluation": evaluation})
    said = cli("run", "toy.yaml")
    assert said.code == 0, said.err
    model = tmp_path / "runs" / "toy" / "model"
    assert (model / "adapter_model.safetensors").is_file() and (model / "base" / "model.safetensors").is_file()
    assert json.loads((model / "tunewright.json").read_text())["adapted"]
    before = [p.read_text() for p in (tmp_path / "runs" / "toy" / "predictions").glob("tuned.test.jsonl")]
    assert before
    shutil.rmtree(tmp_path / "runs" / "toy" / "predictions")
    assert cli("run", "toy.yaml").code == 0, "the saved model must predict what the trained one did"
    after = [p.read_text() for p in (tmp_path / "runs" / "toy" / "predictions").glob("tuned.test.jsonl")]
    assert _outputs(before[0]) == _outputs(after[0])


def _outputs(text: str) -> list[Any]:
    rows = [json.loads(line) for line in text.splitlines()[1:]]
    return [row.get("output", row.get("id")) for row in rows]


def test_from_adapter_to_adapter(cli: Cli, recipe: Path, tmp_path: Path) -> None:
    """A second training starts from what the first has learnt, and its folder stands for itself."""
    assert cli("run", recipe, "--set", "adaptation={lora: {rank: 4}}", "--set", "training.epochs=6").code == 0
    lay(tmp_path, "second.yaml", model="runs/toy/model", adaptation="ia3", training={"steps": 1})
    said = cli("check", "second.yaml", "--json")
    assert said.code == 0, said.out
    assert cli("run", "second.yaml").code == 0
    shutil.rmtree("runs/toy")
    said = cli("predict", "runs/second", "warm sun", "--json")
    assert said.code == 0 and said.value[0]["label"] in ("warm", "cold", "wet"), said.err


def test_a_folder_of_plain_peft_predicts_once_its_labels_are_named(cli: Cli, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification

    from tunewright.models.toy import toy_bert

    body, tokenizer = toy_bert(2, seed=3)
    body.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    model: Any = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=2)).save_pretrained(str(tmp_path / "adapter"))
    said = cli("predict", tmp_path / "adapter", "sun", "--json")
    assert said.code == 4 and "2 scores" in said.out and "--labels" in said.out
    said = cli("predict", tmp_path / "adapter", "sun", "--labels", "yes, no", "--json")
    assert said.code == 0 and said.value[0]["label"] in ("yes", "no")
    (tmp_path / "rows.csv").write_text("text\nsun\nrain\n")
    said = cli(
        "predict", tmp_path / "adapter", tmp_path / "rows.csv", "--labels", "yes,no", "--out", tmp_path / "o.csv"
    )
    assert said.code == 0 and (tmp_path / "o.csv").read_text().startswith(
        "line,text,label,probability,p_yes,p_no,problem"
    )
