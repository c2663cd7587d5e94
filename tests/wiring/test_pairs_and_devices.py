"""Two texts a row, and where the model lives: as a user asks for them."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from toy_runs import Cli, Forks, lay, lines, write_rows

import tunewright
from tunewright.bundled import toy_rows

PAIRED = {"data": {"pair": "second"}, "training": {"epochs": 6}}


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Path:
    """A run whose label lies in the second text alone."""
    at = tmp_path_factory.mktemp("paired")
    lay(at, **PAIRED)
    first, second = (toy_rows(240, seed=seed) for seed in (5, 0))
    with (at / "toy.csv").open("w", newline="") as file:
        rows = [(f"{a} {i % 7}", b, label) for i, ((a, _), (b, label)) in enumerate(zip(first, second, strict=True))]
        csv.writer(file).writerows([("text", "second", "label"), *rows])
    said = forks("run", "toy.yaml", at=at)
    assert said.code == 0, said.out
    return at / "runs" / "toy"


def test_the_second_text_is_read(cli: Cli, paired: Path) -> None:
    test = lines(paired / "data" / "test.jsonl")
    written = {row["id"]: row for row in lines(paired / "predictions" / "tuned.test.jsonl")[1:]}
    first = test[0]
    said = cli("predict", paired, first["text"], "--pair", first["pair"], "--json")
    assert said.code == 0, said.err
    (found,) = said.value
    assert found["text"] == first["text"] and found["label"] == written[first["id"]]["output"]
    assert found["probability"] == pytest.approx(max(written[first["id"]]["scores"]), abs=1e-3)
    other = next(row for row in test if row["pair"] != first["pair"] and row["label"] != first["label"])
    (changed,) = cli("predict", paired, first["text"], "--pair", other["pair"], "--json").value
    assert changed["scores"] != found["scores"], "the second text changes nothing"
    (direct,) = tunewright.load(paired).predict(first["text"], [first["pair"]])
    assert direct.scores == found["scores"]
    said = cli("predict", paired, first["text"], "--pair", first["pair"])
    assert said.out == f"{found['label']}\t{found['probability']:.3f}\t{first['text']}\n"


def test_one_second_text_for_all_lines(cli: Cli, paired: Path) -> None:
    said = cli("predict", paired, "-", "--pair", "rain", "--json", stdin="sun\nsnow\n")
    alone = [cli("predict", paired, text, "--pair", "rain", "--json").value[0] for text in ("sun", "snow")]
    assert [row["text"] for row in said.value] == ["sun", "snow"]
    assert [row["label"] for row in said.value] == [row["label"] for row in alone]


def test_a_file_of_pairs(cli: Cli, paired: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("second,text\nrain,sun\nsnow,sun\n")
    assert cli("predict", paired, tmp_path / "in.csv", "--out", tmp_path / "out.jsonl").code == 0
    rows = lines(tmp_path / "out.jsonl")
    (alone,) = cli("predict", paired, "sun", "--pair", "snow", "--json").value
    assert rows[1]["scores"] == pytest.approx(alone["scores"], abs=1e-3) and rows[0]["scores"] != rows[1]["scores"]
    (tmp_path / "in.csv").write_text("text\nsun\n")
    said = cli("predict", paired, tmp_path / "in.csv")
    assert said.code == 3 and "second" in said.err


def test_a_pair_where_none_is_read_and_none_where_one_is(cli: Cli, paired: Path, finished: Path) -> None:
    said = cli("predict", finished, "sun", "--pair", "rain", "--json")
    assert said.code == 3 and "one text a row" in said.value["problems"][0]["allowed"]
    said = cli("predict", paired, "sun", "--json")
    assert said.code == 3 and "two texts a row" in said.value["problems"][0]["allowed"]


def test_a_gpu_that_is_not_there(cli: Cli, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for verb in ("check", "run"):
        said = cli(verb, recipe, "--set", "model.device=cuda", "--json")
        (found,) = said.value["errors" if verb == "check" else "problems"]
        assert said.code == 2 and found["where"] == "model.device" and "no GPU" in found["found"] and found["to_do"]
    assert not Path("runs/toy/model").exists()


def test_cpu_keeps_off_a_gpu(cli: Cli, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that says it has a GPU: nothing may go there, not even what opens the saved model."""
    with_gpu = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: True), device=torch.device)
    monkeypatch.setattr("tunewright.models.precision.torch", with_gpu)
    moved: list[str] = []
    plain = torch.nn.Module.to

    def to(self: torch.nn.Module, *more: object, **named: object) -> torch.nn.Module:
        moved.extend(str(word) for word in more if isinstance(word, torch.device))
        return plain(self, torch.device("cpu"))

    monkeypatch.setattr(torch.nn.Module, "to", to)
    set_ = ("--set", "model={name: toy, device: cpu, precision: float32}", "--set", "training.steps=2")
    baselines = ("--set", "evaluation.baselines=[linear]")
    assert cli("run", recipe, *set_, *baselines).code == 0
    assert cli("predict", "runs/toy", "sun").code == 0
    assert cli("evaluate", "runs/toy", "--data", write_rows(Path("other.csv"), toy_rows(40, seed=7))).code == 0
    assert len(moved) > 3 and set(moved) == {"cpu"}
    moved.clear()
    chosen = ("--set", "model={name: toy, precision: float32}", "--set", "training.steps=2", "--folder", "other")
    assert cli("train", recipe, *chosen).code == 0
    assert set(moved) == {"cuda"}, "with auto the GPU is taken"
