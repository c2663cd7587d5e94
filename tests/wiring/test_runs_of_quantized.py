"""QLoRA through the commands, with toys: a run, its model opened again, and what `check` finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from toy_runs import TASKS, Cli, lay

from tunewright.core.errors import ModelError
from tunewright.merging import merge
from tunewright.models.toy import toy_bert

QLORA = [{"quantized": "nf4"}, {"lora": {"rank": 4}}]
TRAINING = {"epochs": 1, "batch": 16, "rate": 0.01}
CLASSES: dict[str, Any] = {"evaluation": {"baselines": ["majority", "linear"]}, "training": {"epochs": 4, "rate": 0.02}}


def model_of(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / "run.json").read_text(encoding="utf-8"))["model"]
    return found


@pytest.mark.parametrize("task", ["classification", "chat", "preference", "token_classification", "seq2seq"])
def test_a_run_and_its_model_opened_again(task: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    changes: dict[str, Any] = {"training": TRAINING, **TASKS.get(task, CLASSES)}
    lay(tmp_path, adaptation=QLORA, **changes)
    said = cli("run", "toy.yaml")
    assert said.code == 0, said.err or said.out
    run = tmp_path / "runs" / "toy"
    written = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))
    assert written["adaptation"][0] == {"quantized": {"kind": "nf4", "double": True, "block": 64}}
    card = json.loads((run / "model" / "tunewright.json").read_text(encoding="utf-8"))
    assert card["adaptation"] == "quantized + lora" and card["adapted"] == written["adaptation"]
    assert (run / "model" / "adapter_model.safetensors").is_file()
    said = cli("predict", "runs/toy", "a sunny day", "--json")
    assert said.code == 0, said.err
    file = TASKS.get(task, {}).get("data", {}).get("train", "toy.csv")
    assert cli("evaluate", "runs/toy", "--data", file, "--json").code == 0
    told = [
        json.loads((place / "evidence.json").read_text(encoding="utf-8"))
        for place in (run, run / "evaluations" / Path(file).stem)
    ]
    deciding = told[0]["verdict"]["metric"]
    one, two = (next(c for c in e["contenders"] if c["name"] == "tuned")["metrics"][deciding] for e in told)
    assert one["value"] == pytest.approx(two["value"], rel=2e-3, abs=2e-3)


def test_check_counts_what_the_weights_stand_for(cli: Cli, recipe: Path) -> None:
    plain = cli("check", recipe, "--json").value["facts"]["model"]
    change = "adaptation=[{quantized: nf4}, {lora: {rank: 4}}]"
    quantized = cli("check", recipe, "--json", "--set", change).value["facts"]["model"]
    assert quantized["parameters"] == plain["parameters"] and 0 < quantized["trainable"] < plain["trainable"]


def test_check_refuses_8_bit_moments_on_a_cpu(cli: Cli, recipe: Path) -> None:
    said = cli("check", recipe, "--set", "training.update=adamw_8bit")
    assert said.code == 2 and "training.update.adamw_8bit" in said.err + said.out
    assert cli("check", recipe, "--set", "training.update={adamw_8bit: {on_cpu: true}}").code == 0


def test_merge_measures_both_bases_and_takes_the_one_that_was_trained_on(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForSequenceClassification

    monkeypatch.chdir(tmp_path)
    model, tokenizer = toy_bert()
    model.save_pretrained("base")
    tokenizer.save_pretrained("base")
    lay(tmp_path, adaptation=QLORA, model=str(tmp_path / "base"), training={"epochs": 3, "batch": 16, "rate": 0.02})
    said = cli("run", "toy.yaml")
    assert said.code == 0, said.err or said.out
    assert (tmp_path / "runs/toy/model/adapter_model.safetensors").is_file()
    assert not (tmp_path / "runs/toy/model/base").exists(), "the base has a place of its own"
    made = merge("runs/toy")
    assert set(made.tried) == {"plain", "dequantized"} and made.chosen == "dequantized"
    apart = made.tried["plain"].distance
    assert made.tried["dequantized"].distance < 0.01 * apart
    AutoModelForSequenceClassification.from_pretrained(made.folder)
    with pytest.raises(ModelError, match="merge"):
        merge("runs/toy", into="apart", base="plain", tolerance=apart / 10)
    assert not Path("apart").exists()
