"""`merge --quantize`: the merged weights in 4 or 8 bits, opened again here and by plain transformers, and held against
base + adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from merging_runs import CASES, MODEL, made
from safetensors.torch import load_file
from toy_runs import Cli, Forks, lay

from tunewright.core.errors import ModelError, RecipeError
from tunewright.merging import FIGURES, merge
from tunewright.models import quantized_files
from tunewright.models.saving import CARD, open_saved
from tunewright.models.toy import toy_bert, toy_llama


def base_of(task: str) -> tuple[Any, Any]:
    """A toy wide enough for blocks of 64 weights, with weights that matter."""
    small, tokenizer = toy_bert(3, 3) if task == "classification" else toy_llama(3)
    config = small.config
    config.hidden_size, config.intermediate_size = 64, 128
    if hasattr(config, "head_dim"):
        config.head_dim = 32
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = type(small)(config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim == 2 and "layer" in name:
                    parameter.mul_(4)
    return model, tokenizer


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> dict[str, Path]:
    found = {}
    for name, (task, adaptation) in {
        "classification": ("classification", {"lora": {"rank": 4}}),
        "language_modeling": ("language_modeling", {"lora": {"rank": 4}}),
        "qlora": ("classification", [{"quantized": "nf4"}, {"lora": {"rank": 4}}]),
    }.items():
        place = tmp_path_factory.mktemp(name)
        model, tokenizer = base_of(task)
        model.save_pretrained(place / "base")
        tokenizer.save_pretrained(place / "base")
        model_of = {**MODEL, "name": "./base"}
        found[name] = made(forks, place, **CASES[task], adaptation=adaptation, model=model_of,
                           training={"epochs": 2, "batch": 16, "rate": 0.01})  # fmt: skip
    return found


@pytest.mark.parametrize("kind", ["nf4", "int8"])
@pytest.mark.parametrize("task", ["classification", "language_modeling"])
def test_it_is_measured_as_it_is_opened(runs: dict[str, Path], task: str, kind: str, cli: Cli, tmp_path: Path) -> None:
    run, place = runs[task], tmp_path / "m"
    free = (
        () if kind == "int8" else ("--tolerance", "1", "--agreement", "0")
    )  # a random toy is coarser than what is trained
    said = cli("merge", run, "--quantize", kind, "--into", place, "--json", *free)
    assert said.code == 0, said.err or said.out
    few = said.value["few_bits"]
    here, there = few["tried"]["plain"]["tunewright"], few["tried"]["plain"]["transformers"]
    assert few["kind"] == kind and 0 < few["bytes"] < few["bytes_float32"] == _size(run, place)
    assert said.value["tried"]["plain"]["kl"] < 1e-8 < here["kl"] != there["kl"] < 1
    assert json.loads((place / FIGURES).read_text()) == json.loads((place / CARD).read_text())["merged"]
    assert json.loads((place / FIGURES).read_text())["few_bits"] == few
    assert {torch.int8 if kind == "int8" else torch.uint8, torch.float32} <= _dtypes(place)
    kind_of = (
        transformers.AutoModelForCausalLM
        if task == "language_modeling"
        else transformers.AutoModelForSequenceClassification
    )
    layers = {type(m).__name__ for m in kind_of.from_pretrained(place).modules()}
    assert layers & {"Linear4bit", "Linear8bitLt"} and "Linear" in layers
    assert list(place.parent.iterdir()) == [place]
    shown = cli("merge", run, "--quantize", kind, "--into", place, *free)
    assert shown.code == 0 and f"Stored in {kind}" in shown.out and "transformers" in shown.out


def _size(run: Path, place: Path) -> int:
    """The bytes of the merged weights in float32."""
    other = merge(run, place.parent / "plain").folder
    found = sum(p.stat().st_size for p in other.glob("*.safetensors"))
    for path in sorted(other.rglob("*")):
        path.unlink()
    other.rmdir()
    return found


def _dtypes(place: Path) -> set[torch.dtype]:
    return {t.dtype for t in load_file(place / "model.safetensors").values()}


def test_what_is_written_is_used_like_any_other(runs: dict[str, Path], cli: Cli, tmp_path: Path) -> None:
    place = tmp_path / "m"
    merge(runs["classification"], place, quantize="int8", precision="bfloat16")
    assert torch.bfloat16 in _dtypes(place)
    assert json.loads((place / "config.json").read_text())["dtype"] == "bfloat16"
    saved = open_saved(place)
    assert {p.dtype for p in saved.model.parameters()} == {torch.float32}
    assert cli("predict", place, "sun").out.split()[0] == cli("predict", runs["classification"], "sun").out.split()[0]
    said = cli("evaluate", place, "--data", lay(tmp_path).parent / "toy.csv", "--json")
    assert said.code == 0, said.err
    with pytest.raises(RecipeError, match="plain already"):
        merge(place, quantize="int8")
    again = merge(place, tmp_path / "plain")
    assert again.tried["plain"].likeness.kl is not None and again.tried["plain"].likeness.kl < 1e-8
    said = cli("combine", place, runs["classification"], "--into", tmp_path / "c")
    assert said.code == 2 and "few bits" in said.err


def test_weights_on_the_levels_of_four_bits_round_back_to_them(runs: dict[str, Path], tmp_path: Path) -> None:
    """An update that is small beside the levels' distance is gone where the base stands on them, and is not from the plain base."""
    found = merge(runs["qlora"], tmp_path / "m", quantize="nf4", tolerance=1.0, agreement=0.0)
    assert found.few_bits is not None and list(found.few_bits.tried) == ["plain", "dequantized"]
    worst = {way: max(one.distance for one in both.values()) for way, both in found.few_bits.tried.items()}
    assert found.chosen == found.few_bits.nearest == min(worst, key=lambda way: worst[way])
    only = merge(runs["qlora"], tmp_path / "n", quantize="nf4", base="dequantized", tolerance=1.0, agreement=0.0)
    assert only.chosen == "dequantized" and only.few_bits is not None


def test_beyond_the_limit_it_is_refused(runs: dict[str, Path], cli: Cli, tmp_path: Path) -> None:
    said = cli(
        "merge", runs["classification"], "--quantize", "nf4", "--into", tmp_path / "m", "--tolerance", "1e-12", "--json"
    )
    assert said.code == 4
    found = [p["found"] for p in said.value["problems"]]
    assert any("opened by tunewright" in f for f in found) and any("opened by transformers" in f for f in found)
    assert "for weights in nf4" in said.value["problems"][0]["allowed"] and "int8" in said.value["problems"][0]["to_do"]
    assert list(tmp_path.iterdir()) == []


def test_an_opener_that_says_something_else_is_refused(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What plain transformers makes of the files counts by itself."""
    plainly = quantized_files.opened_plainly

    def broken(folder: Path, kind: Any) -> Any:
        model = plainly(folder, kind)
        with torch.no_grad():
            model.classifier.weight.neg_()
        return model

    monkeypatch.setattr(quantized_files, "opened_plainly", broken)
    with pytest.raises(ModelError) as error:
        merge(runs["classification"], tmp_path / "m", quantize="int8")
    assert all("opened by transformers" in p.found for p in error.value.problems)


def test_a_kind_that_is_none(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'nf4'"):
        merge(runs["classification"], tmp_path / "m", quantize="nf5")
    assert list(tmp_path.iterdir()) == []
