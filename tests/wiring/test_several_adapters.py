"""Several adapters on one base, switched a row: each says what it says alone, and the base is in memory once."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_runs import TASKS, Cli, calling, lay, lines

import tunewright
from tunewright.bundled import toy_rows
from tunewright.core.errors import DataError, ModelError, RecipeError
from tunewright.models.toy import toy_bert
from tunewright.predicting import Adapters, load_adapters

RUNS: dict[str, dict[str, Any]] = {
    "weather": {"adaptation": {"lora": {"rank": 4}}},
    "score": {"task": "regression", "data": {"label": "score"},
              "adaptation": {"bottleneck": {"placement": "parallel", "reduction": 2}}},
    "words": {**TASKS["token_classification"], "adaptation": {"bottleneck": {"placement": "houlsby", "reduction": 2}}},
    "prefix": {"adaptation": {"prefix_tuning": {"tokens": 4}}},
    "marks": {"task": "multilabel", "data": {"label": "marks", "separator": "|"},
              "adaptation": {"p_tuning_v2": {"tokens": 4}}},
    "mood": {"adaptation": {"prompt_tuning": {"tokens": 4}}},
    "other": {"model": {"name": "unlike"}, "adaptation": {"lora": {"rank": 4}}},
    "whole": {"adaptation": "full"},
}  # fmt: skip
NAMES = ("weather", "score", "words", "prefix", "marks", "mood")
TEXTS = [text for text, _ in toy_rows(12, seed=3)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs/NAME: three adapters on one base, one on another, and a whole model."""
    at = tmp_path_factory.mktemp("adapters")
    for name, seed in (("base", 1), ("unlike", 2)):
        model, tokenizer = toy_bert(3, seed=seed)
        model.base_model.save_pretrained(at / name)
        tokenizer.save_pretrained(at / name)
    for name, changes in RUNS.items():
        model = {"model": {"name": str(at / changes.get("model", {"name": "base"})["name"]), "precision": "float32"}}
        recipe = lay(at, f"{name}.yaml", **{**changes, **model, "training": {"epochs": 3}})
        tunewright.run(str(recipe), folder=at / "runs" / name)
    return at / "runs"


@pytest.fixture(scope="module")
def adapters(runs: Path) -> Adapters:
    return load_adapters({name: runs / name for name in NAMES})


def test_each_says_what_it_says_alone(runs: Path, adapters: Adapters) -> None:
    alone = {name: tunewright.load(runs / name).predict(TEXTS) for name in NAMES}
    assert len({json.dumps([a.as_json() for a in found]) for found in alone.values()}) == len(NAMES)
    for name in (*NAMES, *reversed(NAMES)):  # there and back: switching leaves nothing behind
        with adapters.use(name) as model:
            assert model.predict(TEXTS) == alone[name]
    names = [NAMES[i % len(NAMES)] for i in range(len(TEXTS))]
    mixed = adapters.predict(TEXTS, names)
    for k, name in enumerate(NAMES):  # the rows of one adapter are read together, and only they
        assert mixed[k :: len(NAMES)] == tunewright.load(runs / name).predict(TEXTS[k :: len(NAMES)])


def test_the_base_is_in_memory_once(adapters: Adapters) -> None:
    held: dict[str, set[int]] = {}
    for name in NAMES:
        for key, p in adapters[name].saved.model.named_parameters():
            if "bert." in key and not any(
                part in key for part in ("lora_", "bottleneck_", "modules_to_save", "pooler")
            ):
                held.setdefault(
                    key.replace(".base_layer.", ".").replace("base_model.model.", "base_model."), set()
                ).add(p.data_ptr())
    assert len(held) > 30 and all(len(places) == 1 for places in held.values())
    assert len({id(adapters[name].saved.tokenizer) for name in NAMES}) == 1


def test_one_comes_and_goes(runs: Path) -> None:
    adapters = load_adapters({"weather": runs / "weather"})
    adapters.add("again", runs / "weather" / "model")
    assert adapters.names == ["weather", "again"]
    assert adapters.predict(TEXTS, "again") == adapters.predict(TEXTS, "weather")
    adapters.remove("weather")
    assert adapters.names == ["again"] and adapters.predict("sun", "again")
    with pytest.raises(RecipeError, match="of this name"):
        adapters.add("again", runs / "weather")


@pytest.mark.parametrize(
    ("name", "words"),
    [("other", ["trained on other weights", "base"]), ("whole", ["a whole model, not an adapter", "by itself"])],
)
def test_what_does_not_belong_is_refused(name: str, words: list[str], runs: Path, adapters: Adapters) -> None:
    with pytest.raises(ModelError) as error:
        adapters.add(name, runs / name)
    assert all(word in str(error.value) for word in words), error.value
    assert name not in adapters.names


def test_rows_and_adapters_that_do_not_fit_are_explained(adapters: Adapters) -> None:
    with pytest.raises(RecipeError, match="did you mean 'weather'"):
        adapters.predict(["sun"], "wether")
    with pytest.raises(DataError, match="2, one for each text"):
        adapters.predict(["sun", "rain"], ["weather"])


def test_an_adapter_that_moves_its_base_leaves_the_others_as_they_were(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PiSSA's initialisation does when peft opens what it has saved."""
    import peft

    adapters = load_adapters({"weather": runs / "weather"})
    before = adapters.predict(TEXTS, "weather")
    whole = peft.PeftModel.from_pretrained

    def moving(base: Any, *args: Any, **named: Any) -> Any:
        weight = base.bert.encoder.layer[0].output.dense.weight
        weight.data = weight.data + 1
        return whole(base, *args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(peft.PeftModel, "from_pretrained", moving)
        with pytest.raises(ModelError, match="changes the weights of its base"):
            adapters.add("score", runs / "score")
    assert adapters.predict(TEXTS, "weather") == before


def test_bfloat16_weights_are_laid_out_once(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunewright.models import products

    if not products.works():
        pytest.skip("this PyTorch lacks oneDNN's fused linear layers")
    for name in NAMES:
        card = json.loads((runs / name / "model" / "tunewright.json").read_text())
        assert card["precision"] == "float32"
    adapters = load_adapters({name: runs / name for name in NAMES})
    laid: list[torch.Size] = []
    whole = products._lay
    monkeypatch.setattr(products, "_lay", lambda weight: (laid.append(weight.shape), whole(weight))[1])
    for name in NAMES:
        adapters[name]._forward.precision = "bfloat16"
    adapters.predict(TEXTS, "score")
    first = len(laid)
    adapters.predict(TEXTS, "words")
    assert 0 < len(laid) - first < first + 4 * 2 * 2, "only what is its own: bottlenecks and head"
    assert laid[first:].count(torch.Size([64, 32])) == 0


def predicted(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def said(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.chdir(tmp_path)
    return calling(monkeypatch, capsys)


def test_a_file_whose_rows_name_their_adapter(said: Cli, runs: Path) -> None:
    cells = ["weather", "score", "", "nobody"]
    Path("in.csv").write_text("text,who\n" + "".join(f"{t},{cells[i % 4]}\n" for i, t in enumerate(TEXTS)) + "ragged\n")
    beside = ["--adapter", f"score={runs / 'score'}", "--adapter", runs / "words"]
    told = said("predict", runs / "weather", "in.csv", *beside, "--adapter-column", "who")
    assert told.code == 0, told.err
    rows = predicted(Path("in.predictions.csv"))
    assert [row["text"] for row in rows[:12]] == TEXTS and rows[12]["problem"] == "ragged_row"
    assert [row["adapter"] for row in rows[:4]] == ["weather", "score", "weather", "nobody"]
    assert rows[3]["problem"] == "no such adapter; there are weather, score, words" and not rows[3]["label"]
    alone = tunewright.load(runs / "weather").predict(TEXTS)
    assert [row["label"] for row in rows[:12:4]] == [alone[i].label for i in range(0, 12, 4)]  # type: ignore[attr-defined]
    assert float(rows[1]["score"]) == pytest.approx(
        tunewright.load(runs / "score").predict(TEXTS[1])[0].value, abs=1e-4
    )  # type: ignore[attr-defined]
    assert rows[1]["label"] == "" and rows[0]["score"] == ""
    told = said("predict", runs / "weather", "in.csv", *beside, "--adapter-column", "whom")
    assert told.code == 3 and "--adapter-column" in told.err and "'who'" in told.err


def test_without_a_column_all_answer(said: Cli, runs: Path) -> None:
    beside = ["--adapter", f"score={runs / 'score'}"]
    told = said("predict", runs / "weather", "sun and warm", *beside)
    first, second = told.out.splitlines()
    assert first.startswith("weather\t") and second.startswith("score\t") and first.endswith("\tsun and warm")
    told = said("predict", runs / "weather", "sun", *beside, "--json")
    assert [row["adapter"] for row in told.value] == ["weather", "score"] and "values" in told.value[1]
    Path("in.csv").write_text("text\nsun\nrain\n")
    assert said("predict", runs / "weather", "in.csv", *beside, "--out", "out.jsonl").code == 0
    assert [(row["text"], row["adapter"]) for row in lines(Path("out.jsonl"))] == [
        ("sun", "weather"), ("sun", "score"), ("rain", "weather"), ("rain", "score"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--adapter", "=x"], 2, "NAME=FOLDER"),
        (["--adapter", "a=x", "--adapter", "a=y"], 2, "two are named 'a'"),
        (["--adapter-column", "who"], 2, "--adapter NAME=FOLDER"),
        (["--adapter", "a=nowhere"], 6, "no tuned model is here"),
        (["--adapter", "other"], 4, "trained on other weights"),
    ],
)
def test_wrong_options_are_told(words: list[str], code: int, told: str, said: Cli, runs: Path) -> None:
    words = [str(runs / "other") if word == "other" else word for word in words]
    found = said("predict", runs / "weather", "sun", *words)
    assert found.code == code and told in found.err, found.err
