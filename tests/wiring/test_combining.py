"""`combine` and `interpolate`: what several models of one base have learnt, added up; the way to the base."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from merging_runs import MODEL, Made, adapted, copied
from safetensors.torch import load_file
from toy_runs import Cli, Forks, lines, write_rows

import tunewright
from tunewright.bundled import toy_rows
from tunewright.combining import FIGURES, combine, interpolate
from tunewright.core.errors import RecipeError, RunDamaged
from tunewright.merging import merge
from tunewright.models import folders
from tunewright.models.loading import find, load
from tunewright.models.saving import CARD, open_saved


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def merged(folder: Path, place: Path) -> dict[str, torch.Tensor]:
    return weights(merge(folder, place).folder)


def close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], atol: float = 1e-5) -> bool:
    return a.keys() == b.keys() and all(torch.allclose(a[n].float(), b[n].float(), atol=atol) for n in a)


@pytest.mark.parametrize("task", ["classification", "chat", "token_classification"])
def test_loras_add_up_exactly(task: str, runs_of: Made, tmp_path: Path) -> None:
    """Merged, the combination is W0 + sum w (W - W0), head and all."""
    a, b = runs_of(task, "a"), runs_of(task, "b")
    made = combine({str(a): 0.7, str(b): 0.3}, tmp_path / "sum")
    assert made.kept == 1.0 and json.loads((made.folder / "adapter_config.json").read_text())["r"] == 8
    one, two = merged(a, tmp_path / "a"), merged(b, tmp_path / "b")
    wanted = {name: 0.7 * one[name] + 0.3 * two[name] for name in one}
    assert close(merged(made.folder, tmp_path / "m"), wanted)
    assert not close(one, wanted, 1e-4)
    card = json.loads((made.folder / CARD).read_text())
    assert [p["weight"] for p in card["combined"]["parts"]] == [0.7, 0.3]
    assert [f.model for f in made.figures] == [str(a), str(b), "combined"]


def test_it_is_pefts_own_concatenation(runs_of: Made, tmp_path: Path) -> None:
    a, b = runs_of("chat", "a"), runs_of("chat", "b")
    made = combine({str(a): 1.5, str(b): -0.5}, tmp_path / "sum")
    model = open_saved(a / "model").model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.load_adapter(str(b / "model"), "b")
        model.add_weighted_adapter(["default", "b"], [1.5, -0.5], "both", combination_type="cat")
        model.set_adapter("both")
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        assert torch.allclose(open_saved(made.folder).model(ids).logits, model.eval()(ids).logits, atol=1e-4)


def test_ranks_that_differ_and_other_places(runs_of: Made, tmp_path: Path) -> None:
    a, b = runs_of("chat", "a"), runs_of("chat", "b", {"lora": {"rank": 2, "targets": ["q_proj", "down_proj"]}})
    made = combine([str(a), str(b)], tmp_path / "sum")
    one, two = merged(a, tmp_path / "a"), merged(b, tmp_path / "b")
    assert close(merged(made.folder, tmp_path / "m"), {n: 0.5 * one[n] + 0.5 * two[n] for n in one})


def test_a_rank_cuts_and_says_so(runs_of: Made, tmp_path: Path, cli: Cli) -> None:
    a, b = runs_of("chat", "a"), runs_of("chat", "b")
    said = cli("combine", a, b, "--into", tmp_path / "sum", "--rank", "2")
    assert said.code == 0 and "its rank leaves" in said.out and "loss" in said.out
    config = json.loads((tmp_path / "sum" / "adapter_config.json").read_text())
    assert config["r"] == 2 and 0 < json.loads((tmp_path / "sum" / FIGURES).read_text())["kept"] < 1
    assert tunewright.load(tmp_path / "sum").predict("sun")


@pytest.mark.parametrize("method", ["ties", "dare_linear", "dare_ties"])
@pytest.mark.parametrize("adaptation", [None, "full"], ids=["lora", "full"])
def test_other_rules(method: str, adaptation: Any, runs_of: Made, tmp_path: Path) -> None:
    a, b = (runs_of("classification", name, adaptation) for name in "ab")
    made = combine([str(a), str(b)], tmp_path / "sum", method=method, density=0.6)
    again = combine([str(a), str(b)], tmp_path / "again", method=method, density=0.6)
    assert made.method == method and [f.value for f in made.figures] == [f.value for f in again.figures]
    assert len(tunewright.load(made.folder).predict(["sun", "snow"])) == 2


def test_soups_of_whole_models(runs_of: Made, tmp_path: Path) -> None:
    a, b = (runs_of("classification", name, "full") for name in "ab")
    made = combine([str(a), str(b)], tmp_path / "soup")
    one, two = weights(a / "model"), weights(b / "model")
    assert close(weights(made.folder), {n: (one[n] + two[n]) / 2 for n in one}, 1e-6)
    sums = combine({str(a): 1.0, str(b): 1.0}, tmp_path / "sum")
    saved = open_saved(a / "model")
    base = load(find("toy"), saved.labels, 0).model.state_dict()
    found, body = weights(sums.folder), "bert.encoder.layer.0.output.dense.weight"
    assert torch.allclose(found[body], one[body] + two[body] - base[body], atol=1e-6)
    assert torch.allclose(
        found["classifier.weight"], (one["classifier.weight"] + two["classifier.weight"]) / 2, atol=1e-6
    )


def test_factors_are_averaged_around_one(runs_of: Made, tmp_path: Path) -> None:
    """IA3 multiplies: half of its way to the base is half of the way to 1."""
    from peft import IA3Config

    run = copied(runs_of("chat", "a"), tmp_path / "run")
    adapted(run, lambda: IA3Config(task_type="CAUSAL_LM", target_modules=["k_proj", "v_proj", "down_proj"],
                                   feedforward_modules=["down_proj"]))  # fmt: skip
    before = load_file(run / "model" / "adapter_model.safetensors")
    made = combine({str(run): 0.5}, tmp_path / "half")
    after = load_file(made.folder / "adapter_model.safetensors")
    assert all(torch.allclose(after[n], 1 + (before[n] - 1) / 2) for n in before)
    assert merge(made.folder, tmp_path / "m").tried["plain"].likeness.agreement == 1.0
    with pytest.raises(RecipeError, match="ties of IA3"):
        combine([str(run)], tmp_path / "ties", method="ties")


def test_adapters_that_are_averaged_only(runs_of: Made, tmp_path: Path) -> None:
    """VeRA's vectors stand between matrices that a seed has drawn: another seed, other meaning."""
    run = runs_of("classification", "b", "vera")
    assert combine([str(run)], tmp_path / "one").figures
    with pytest.raises(RecipeError, match=r"sum to 0\.5"):
        combine({str(run): 0.5}, tmp_path / "half")
    other = copied(run, tmp_path / "other")
    config = other / "model" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "projection_prng_key": 77}))
    card = json.loads((other / "model" / CARD).read_text())
    card["files"]["adapter_config.json"] = folders.stamps(other / "model")["adapter_config.json"]
    (other / "model" / CARD).write_text(json.dumps(card))
    with pytest.raises(RecipeError, match="option projection_prng_key"):
        combine([str(run), str(other)], tmp_path / "sum")


def test_dora_is_no_sum(runs_of: Made, tmp_path: Path) -> None:
    from peft import LoraConfig

    run = copied(runs_of("chat", "a"), tmp_path / "run")
    adapted(run, lambda: LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", use_dora=True))
    with pytest.raises(RecipeError, match="DoRA"):
        combine([str(run), str(runs_of("chat", "a"))], tmp_path / "sum")
    plain = [str(merge(one, tmp_path / f"m{i}").folder) for i, one in enumerate((run, runs_of("chat", "a")))]
    assert combine(plain, tmp_path / "sum").figures


# The way to the base


def test_the_ends_of_the_way(runs_of: Made, tmp_path: Path, cli: Cli) -> None:
    """Share 0 says what the untuned base says, share 1 what the run says."""
    for adaptation in (None, "full"):
        run = runs_of("language_modeling", "b", adaptation)
        found = interpolate(run, limit=10_000)
        on_test = {f.model: f.value for f in found.figures if f.source == "the test split"}
        evidence = json.loads((run / "evidence.json").read_text())
        known = {c["name"]: c["metrics"]["bits_per_byte"]["value"] for c in evidence["contenders"]}
        assert on_test["0"] == pytest.approx(known["untuned"], rel=1e-4)
        assert on_test["1"] == pytest.approx(known["tuned"], rel=1e-4)
        assert list(on_test) == ["0", "0.25", "0.5", "0.75", "1"] and len(set(on_test.values())) == 5
        held = {f.model: f.value for f in found.figures if f.source == "the validation split"}
        assert f"{found.best:g}" == min(held, key=lambda n: held[n])
        assert all((f.change is None) == (f.model == "1") for f in found.figures)
        assert not [p for p in run.iterdir() if "interpolated" in p.name]


def test_half_way(runs_of: Made, tmp_path: Path, cli: Cli) -> None:
    run = runs_of("classification", "b", "full")
    rows = write_rows(tmp_path / "hard.csv", toy_rows(60, seed=9))
    said = cli("interpolate", run, "--share", "0.4", "--into", tmp_path / "way", "--rows", rows)
    assert said.code == 0, said.err
    assert "hard.csv" in said.out and "the test split" in said.out and "at share 0.4" in said.out and "0.4" in said.out
    tuned, found = weights(run / "model"), weights(tmp_path / "way")
    base = load(find("toy"), open_saved(run / "model").labels, 0).model.state_dict()
    name = "bert.encoder.layer.1.intermediate.dense.weight"
    assert torch.allclose(found[name], 0.6 * base[name] + 0.4 * tuned[name], atol=1e-6)
    assert torch.equal(found["classifier.weight"], tuned["classifier.weight"]), "a new head has no base to go to"
    assert cli("predict", tmp_path / "way", "sun").code == 0
    said = cli("interpolate", run, "--json")
    assert said.code == 0 and said.value["folder"] is None and said.value["best"] in (0, 0.25, 0.5, 0.75, 1)


# What cannot be added up


def test_models_that_are_unlike(runs_of: Made, tmp_path: Path, cli: Cli, forks: Forks) -> None:
    a = runs_of("classification", "a")
    for other, words in (
        (runs_of("classification", "a", "full"), ["different things", "plain weights", "merge the adapters first"]),
        (runs_of("regression", "a"), ["other tasks", "labels"]),
        (runs_of("chat", "a"), ["other tasks"]),
    ):
        said = cli("combine", a, other, "--into", tmp_path / "sum", "--json")
        assert said.code == 2 and all(word in json.dumps(said.value) for word in words), said.out
    stranger = copied(a, tmp_path / "stranger")
    card = json.loads((stranger / "model" / CARD).read_text())
    card["base"]["sha256"] = "another"
    (stranger / "model" / CARD).write_text(json.dumps(card))
    with pytest.raises(RecipeError, match="began with different weights"):
        combine([str(a), str(stranger)], tmp_path / "sum")
    assert {p.name for p in tmp_path.iterdir()} == {"stranger"}


def test_bad_input(runs_of: Made, tmp_path: Path, cli: Cli) -> None:
    a, b = runs_of("classification", "a"), runs_of("classification", "b")
    said = cli("combine", a, b, "--into", tmp_path / "s", "--method", "tise", "--density", "0", "--rank", "0", "--json")
    assert said.code == 2 and [p["where"] for p in said.value["problems"]] == ["--method", "--density", "--rank"]
    assert "'ties'" in said.value["problems"][0]["to_do"]
    for words, found in (
        ((f"{a}=half", f"{b}=0.5"), "'half' is no number"),
        ((a, f"{b}=0.5"), "no weight"),
        ((a, a), "stands twice"),
        ((f"{a}=1", f"{b}=-1"), "sum to 0"),
        ((f"{a}=nan",), "a weight of nan"),
    ):
        said = cli("combine", *words, "--into", tmp_path / "s", "--json")
        assert said.code == 2 and found in json.dumps(said.value), (words, said.out)
    assert cli("combine", a, tmp_path / "none", "--into", tmp_path / "s", "--json").code == 6
    said = cli("interpolate", a, "--share", "nan", "--json")
    assert said.code == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("mine")
    with pytest.raises(RunDamaged, match="something else"):
        combine([str(a), str(b)], tmp_path / "mine")
    assert cli("combine", a, b).code == 2, "--into is needed"
    assert {p.name for p in tmp_path.iterdir()} == {"mine"} and lines(b / "history.jsonl")


def test_combinations_are_combined_and_merged_again(runs_of: Made, tmp_path: Path, cli: Cli) -> None:
    a, b = runs_of("multilabel", "a"), runs_of("multilabel", "b")
    one = combine({str(a): 0.5, str(b): 0.5}, tmp_path / "one").folder
    two = combine({str(one): 0.5, str(b): 0.5}, tmp_path / "two").folder
    direct = combine({str(a): 0.25, str(b): 0.75}, tmp_path / "direct").folder
    assert close(merged(two, tmp_path / "m2"), merged(direct, tmp_path / "m1"))
    cards = [json.loads((p / CARD).read_text())["thresholds"] for p in (a / "model", b / "model", one)]
    assert cards[2] == pytest.approx([(x + y) / 2 for x, y in zip(cards[0], cards[1], strict=True)])
    assert MODEL["name"] == "toy" and cli("evaluate", two, "--data", a.parents[1] / "toy.csv").code == 0
