"""From Python: run a mapping or a file, load what it left, open it elsewhere, and count the evidence again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_runs import RECIPE, lines, merged

import tunewright
from tunewright.core.errors import DataError, RecipeError, RunDamaged
from tunewright.evaluation import recompute

FLOAT32 = {"model": {"name": "toy", "precision": "float32"}, "training": {"epochs": 6}}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Runs in float32 by a mapping: full and with LoRA."""
    from toy_runs import lay

    at = tmp_path_factory.mktemp("python")
    lay(at)
    data = {"data": {"train": str(at / "toy.csv")}}
    out = {}
    for name, adaptation in (("full", "full"), ("lora", {"lora": {"rank": 4}})):
        recipe = merged(merged(RECIPE, FLOAT32), {**data, "adaptation": adaptation})
        out[name] = tunewright.run(recipe, folder=at / name, changes=["seed=2"])
    return out


def test_run_a_mapping(outcomes: dict[str, Any]) -> None:
    made = outcomes["full"]
    assert made.verdict in ("better", "worse", "can't tell") and made.report.exists()
    assert made.evidence == json.loads((made.folder / "evidence.json").read_text())
    assert json.loads((made.folder / "run.json").read_text())["seed"] == 2


def test_run_a_file_and_an_object(recipe: Path) -> None:
    from tunewright.recipe import read

    first = tunewright.run(recipe, changes=["training.steps=3"])
    assert first.folder == Path("runs/toy")
    second = tunewright.run(str(recipe), folder="other", changes=["training.steps=3"])
    third = tunewright.run(read(recipe, ["training.steps=3"]), folder="third")
    assert len({(made.folder / "history.jsonl").read_bytes() for made in (first, second, third)}) == 1
    with pytest.raises(RecipeError, match="'epochs'"):
        tunewright.run({**RECIPE, "training": {"epoch": 1}})


@pytest.mark.parametrize("name", ["full", "lora"])
def test_evidence_counted_again_is_the_same(name: str, outcomes: dict[str, Any]) -> None:
    made = outcomes[name]
    assert json.dumps(recompute(made.folder), sort_keys=True) == json.dumps(made.evidence, sort_keys=True)


@pytest.mark.parametrize("name", ["full", "lora"])
def test_loaded_it_says_what_the_run_said(name: str, outcomes: dict[str, Any]) -> None:
    folder = outcomes[name].folder
    labels = lines(folder / "predictions" / "tuned.test.jsonl")[0]["labels"]
    rows = {row["id"]: row for row in lines(folder / "predictions" / "tuned.test.jsonl")[1:]}
    records = lines(folder / "data" / "test.jsonl")
    for place in (folder, folder / "model", str(folder)):
        found = tunewright.load(place).predict([record["text"] for record in records])
        for record, one in zip(records, found, strict=True):
            row = rows[record["id"]]
            assert one.label == row["output"] and one.probability == max(one.scores.values())
            assert [one.scores[label] for label in labels] == pytest.approx(row["scores"], abs=1e-6)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks for what was renamed
@pytest.mark.parametrize("name", ["full", "lora"])
def test_it_opens_in_plain_transformers_with_the_same_scores(name: str, outcomes: dict[str, Any]) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = outcomes[name].folder / "model"
    if name == "lora":
        from peft import AutoPeftModelForSequenceClassification

        model = AutoPeftModelForSequenceClassification.from_pretrained(folder, num_labels=3)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(folder)
    model = model.float().eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = ["snow and ice by the old road", "sun", "the old man saw rain and fog then a puddle near the river"]
    with torch.inference_mode():
        logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    wanted = torch.softmax(logits.double(), -1).numpy()
    ours = tunewright.load(folder).predict(texts)
    names = json.loads((folder / "tunewright.json").read_text())["labels"]
    found = np.array([[one.scores[label] for label in names] for one in ours])
    assert found == pytest.approx(wanted, abs=1e-6) and np.ptp(found, axis=0).max() > 1e-3
    if name == "full":
        assert [model.config.id2label[i] for i in range(3)] == names


def test_loading_and_predicting_what_cannot_be(outcomes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(RunDamaged, match="no tuned model"):
        tunewright.load(tmp_path / "none")
    with pytest.raises(RunDamaged, match=r"tunewright\.json"):
        tunewright.load(tmp_path)
    predictor = tunewright.load(outcomes["full"].folder)
    with pytest.raises(DataError, match="text 2: int"):
        predictor.predict(["sun", 3])  # type: ignore[list-item]
    assert predictor.predict([]) == [] and len(predictor.predict("sun")) == 1
