"""`merge` of QLoRA: into the base's own weights, and into those that training saw; the nearer one is taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from merging_runs import CASES, MODEL, made
from safetensors.torch import load_file
from toy_runs import Cli, Forks

from tunewright.core.errors import ModelError, RecipeError
from tunewright.merging import FIGURES, merge
from tunewright.models.toy import toy_bert, toy_llama

QLORA: list[Any] = [{"quantized": "nf4"}, {"lora": {"rank": 4}}]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> dict[str, Path]:
    """Finished runs of QLoRA on bases with files of their own."""
    found = {}
    for task, (model, tokenizer) in {"language_modeling": toy_llama(3), "classification": toy_bert(3, 3)}.items():
        place = tmp_path_factory.mktemp(task)
        with torch.no_grad():  # weights that matter: the toys' are so small that rounding them changes nothing
            for name, parameter in model.named_parameters():
                if parameter.ndim == 2 and "layer" in name:
                    parameter.mul_(8)
        model.save_pretrained(place / "base")
        tokenizer.save_pretrained(place / "base")
        found[task] = made(forks, place, **CASES[task], adaptation=QLORA, model={**MODEL, "name": "./base"})
    return found


@pytest.mark.parametrize("task", ["language_modeling", "classification"])
def test_both_ways_are_measured_and_the_nearer_is_taken(
    runs: dict[str, Path], task: str, tmp_path: Path, cli: Cli
) -> None:
    said = cli("merge", runs[task], "--into", tmp_path / "m", "--json")
    assert said.code == 0, said.err or said.out
    tried = said.value["tried"]
    assert said.value["chosen"] == "dequantized" and list(tried) == ["plain", "dequantized"]
    assert tried["dequantized"]["kl"] < 1e-8 < 1e-6 < tried["plain"]["kl"]
    assert tried["dequantized"]["agreement"] == 1.0
    assert json.loads((tmp_path / "m" / FIGURES).read_text())["tried"] == tried
    dtypes = {t.dtype for t in load_file(tmp_path / "m" / "model.safetensors").values()}
    assert (
        dtypes == {torch.float32} and cli("predict", tmp_path / "m", "sun").out == cli("predict", runs[task], "sun").out
    )
    shown = cli("merge", runs[task], "--into", tmp_path / "m")
    assert shown.code == 0 and "plain" in shown.out and "nearest: dequantized" in shown.out


def test_the_plain_base_is_refused_where_it_says_something_else(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--base dequantized"):
        merge(runs["language_modeling"], tmp_path / "m", base="plain")
    assert list(tmp_path.iterdir()) == []
    found = merge(runs["language_modeling"], tmp_path / "m", base="plain", tolerance=1.0, agreement=0.0)
    assert found.chosen == "plain" and list(found.tried) == ["plain"]
    start = load_file(runs["language_modeling"].parents[1] / "base" / "model.safetensors")
    name = "model.norm.weight"
    assert torch.equal(load_file(tmp_path / "m" / "model.safetensors")[name], start[name])


def test_a_base_that_is_none(runs: dict[str, Path], tmp_path: Path, runs_of: Any) -> None:
    with pytest.raises(RecipeError, match="'nearer'"):
        merge(runs["classification"], tmp_path / "m", base="nearest")
    with pytest.raises(RecipeError, match="not trained on a quantized base"):
        merge(runs_of("classification"), tmp_path / "m", base="dequantized")
