"""`merge`: every task's adapter into plain weights, with figures that are true, and refusals that leave nothing behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from merging_runs import CASES, MODEL, Made, adapted, copied, made
from safetensors.torch import load_file, save_file
from toy_runs import Cli, Forks, lay

import tunewright
from tunewright.adaptations import Lora
from tunewright.core.errors import ModelError, RecipeError, RunDamaged, StorageError
from tunewright.evaluation.predictions import read_all
from tunewright.merging import FIGURES, merge
from tunewright.models import folders, merging
from tunewright.models.saving import CARD, open_saved

every = pytest.mark.parametrize("task", list(CASES))


def left(folder: Path) -> list[str]:
    """What lies about in a folder that no user has asked for."""
    return [p.name for p in folder.rglob(".*.part")] + [p.name for p in folder.rglob(".*.before")]


@every
def test_every_task(runs_of: Made, task: str, cli: Cli, tmp_path: Path) -> None:
    run, place = runs_of(task), tmp_path / "merged"
    said = cli("merge", run, "--into", place, "--json")
    assert said.code == 0, said.err or said.out
    found = said.value
    figures = found["tried"]["plain"]
    assert found["folder"] == str(place) and found["items"] > 5 and figures["units"] >= found["items"]
    assert 0 <= figures["largest"] < 1e-3
    if task not in ("regression", "reward"):
        assert 0 <= figures["kl"] < 1e-7
    if task != "regression":
        assert figures["agreement"] == 1.0 and figures["agreement_low"] < 1
    assert figures["before"] == pytest.approx(figures["after"], abs=1e-5)
    card = json.loads((place / CARD).read_text())
    own = json.loads((run / "model" / CARD).read_text())
    assert (
        json.loads((place / FIGURES).read_text()) == card["merged"] == {k: v for k, v in found.items() if k != "folder"}
    )
    kept = set(own) - {"files"}
    assert {k: card[k] for k in kept} == {k: own[k] for k in kept}
    assert not (place / "adapter_config.json").exists() and (place / "model.safetensors").exists()
    texts = ["sun and snow", "rain"]
    before, after = tunewright.load(run).predict(texts), tunewright.load(place).predict(texts)
    for one, other in zip(before, after, strict=True):
        a, b = one.as_json(), other.as_json()
        assert a.keys() == b.keys()
        assert a == b or all(np.allclose(a[k], b[k], atol=1e-4) for k in a if isinstance(a[k], float))
    assert left(tmp_path) == []


@every
def test_the_figures_before_are_those_of_the_run(runs_of: Made, task: str, tmp_path: Path) -> None:
    """On the test split the metric before merging is what evidence.json says of the tuned model."""
    found = merge(runs_of(task), tmp_path / "m").tried["plain"].change
    evidence = json.loads((runs_of(task) / "evidence.json").read_text())
    metrics = next(c["metrics"] for c in evidence["contenders"] if c["name"] == "tuned")
    assert found.before == pytest.approx(metrics[found.metric]["value"], rel=1e-4, abs=1e-6)


def test_plain_transformers_opens_it(runs_of: Made, tmp_path: Path) -> None:
    """Chat template, generation configuration, tokenizer and weights are those of the run's model."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = merge(runs_of("chat"), tmp_path / "m").folder
    model, tokenizer = AutoModelForCausalLM.from_pretrained(place), AutoTokenizer.from_pretrained(place)
    saved = open_saved(runs_of("chat") / "model")
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        saved.model.set_adapter("default")
        assert torch.allclose(model.eval()(ids).logits, saved.model(ids).logits, atol=1e-4)
    assert tokenizer.chat_template == saved.tokenizer.chat_template
    assert tokenizer.get_vocab() == saved.tokenizer.get_vocab()
    assert model.generation_config.to_dict() == saved.model.get_base_model().generation_config.to_dict()


def test_sixteen_bits_are_measured_as_they_lie_on_the_disk(runs_of: Made, tmp_path: Path) -> None:
    kl = {}
    for precision in merging.DTYPES:
        one = merge(
            runs_of("language_modeling"), tmp_path / precision, precision=precision, tolerance=1.0, agreement=0.0
        )
        kl[precision] = one.tried["plain"].likeness.kl
        dtypes = {t.dtype for t in load_file(tmp_path / precision / "model.safetensors").values()}
        assert dtypes == {merging.DTYPES[precision]}
        assert json.loads((tmp_path / precision / "config.json").read_text())["dtype"] == precision
    assert kl["float32"] < kl["float16"] / 10 < kl["bfloat16"] / 100


def test_beyond_the_limit_it_is_refused_and_nothing_is_left(runs_of: Made, cli: Cli, tmp_path: Path) -> None:
    run, place = runs_of("classification"), tmp_path / "m"
    words = ("merge", run, "--into", place, "--precision", "bfloat16", "--tolerance", "1e-12")
    said = cli(*words, "--json")
    assert said.code == 4
    (problem,) = said.value["problems"]
    assert "KL divergence" in problem["found"] and "the test split" in problem["found"]
    assert "1e-12 for weights in bfloat16" in problem["allowed"] and "--precision float32" in problem["to_do"]
    shown = cli(*words)
    assert shown.code == 4 and "Traceback" not in shown.err and "KL divergence" in shown.err
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_model_outlives_a_refusal(runs_of: Made, tmp_path: Path) -> None:
    place = merge(runs_of("classification"), tmp_path / "m").folder
    before = {p: p.read_bytes() for p in place.rglob("*") if p.is_file()}
    with pytest.raises(ModelError):
        merge(runs_of("classification"), place, precision="bfloat16", tolerance=0.0)
    assert {p: p.read_bytes() for p in place.rglob("*") if p.is_file()} == before


def test_decisions_that_change_are_refused(runs_of: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge that forgets the head, as tools have shipped it."""
    plain = merging.merged

    def forgetful(saved: Any, precision: Any) -> Any:
        model = plain(saved, precision)
        with torch.no_grad():
            model.classifier.weight.neg_()
        return model

    monkeypatch.setattr("tunewright.merging.merged", forgetful)
    with pytest.raises(ModelError) as error:
        merge(runs_of("classification"), tmp_path / "m")
    assert "KL divergence" in str(error.value) and "decisions stay" in str(error.value)
    assert list(tmp_path.iterdir()) == []


# What goes wrong elsewhere


def lora(**options: Any) -> Any:
    from peft import LoraConfig

    return LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": ["embed_tokens"]},
        {"target_modules": ["lm_head"]},
        {"target_modules": ["embed_tokens", "lm_head", "q_proj"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
        {"target_modules": "all-linear", "use_dora": True},
        {"target_modules": "all-linear", "use_rslora": True, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}},
        {"target_modules": ["q_proj"], "bias": "lora_only"},
    ],
    ids=lambda o: "-".join(str(v) for v in o.values()),
)  # fmt: skip
def test_adapters_of_plain_peft_on_a_tied_model(runs_of: Made, options: dict[str, Any], tmp_path: Path) -> None:
    """Embeddings that are the head too: adapted on one side or both, or learnt whole."""
    run = copied(runs_of("language_modeling"), tmp_path / "run")
    adapted(run, lambda: lora(**options))
    found = merge(run, tmp_path / "m").tried["plain"]
    assert found.likeness.kl is not None and found.likeness.kl < 1e-8 and found.likeness.agreement == 1.0
    touched = {"embed_tokens", "lm_head"} & {*options["target_modules"], *options.get("modules_to_save", ())}
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    assert ("lm_head.weight" in tensors) == bool(touched), "the head is a matrix of its own where it had to part"
    assert json.loads((tmp_path / "m" / "config.json").read_text())["tie_word_embeddings"] == (not touched)


@pytest.mark.parametrize("target", ["shared", "lm_head", "q"])
def test_an_encoder_decoder_that_shares_its_embeddings(target: str, forks: Forks, tmp_path: Path) -> None:
    from tunewright.models.toy import toy_t5

    model, tokenizer = toy_t5(3)
    model.save_pretrained(tmp_path / "t5")
    tokenizer.save_pretrained(tmp_path / "t5")
    run = made(forks, tmp_path, **CASES["seq2seq"], model={**MODEL, "name": "./t5"})
    adapted(run, lambda: lora(target_modules=[target]))
    found = merge(run, tmp_path / "m").tried["plain"]
    assert found.likeness.kl is not None and found.likeness.kl < 1e-8


def test_embeddings_with_more_rows_than_the_tokenizer_has(forks: Forks, tmp_path: Path) -> None:
    """Vocabularies are padded to round numbers: the rows must all be there again."""
    from tunewright.models.toy import toy_llama

    model, tokenizer = toy_llama(3)
    model.resize_token_embeddings(320)
    model.save_pretrained(tmp_path / "wide")
    tokenizer.save_pretrained(tmp_path / "wide")
    run = made(forks, tmp_path, **CASES["language_modeling"], model={**MODEL, "name": "./wide"})
    found = merge(run, tmp_path / "m").tried["plain"]
    assert found.likeness.kl is not None and found.likeness.kl < 1e-8
    assert load_file(tmp_path / "m" / "model.safetensors")["model.embed_tokens.weight"].shape[0] == 320


def test_an_update_that_sixteen_bits_swallow(runs_of: Made, tmp_path: Path) -> None:
    """Rounding is as large as what was learnt: harmless by its size, and nothing is left of the training."""
    run = copied(runs_of("language_modeling"), tmp_path / "run")
    adapted(run, lambda: lora(target_modules="all-linear"), spread=0.002)
    with pytest.raises(ModelError) as error:
        merge(run, tmp_path / "m", precision="bfloat16")
    (problem,) = error.value.problems
    assert "of what the adapter changed is lost" in problem.found and "--precision float32" in problem.to_do
    kept = merge(run, tmp_path / "m").tried["plain"]
    assert kept.lost is not None and kept.lost < 1e-3


def test_another_base_is_refused(forks: Forks, tmp_path: Path, cli: Cli) -> None:
    from tunewright.models.toy import toy_llama

    model, tokenizer = toy_llama(3)
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    run = made(forks, tmp_path, **CASES["language_modeling"], model={**MODEL, "name": "./base"})
    toy_llama(4)[0].save_pretrained(tmp_path / "base")
    said = cli("merge", run, "--json")
    assert said.code == 4 and "are not those that the adapter" in said.value["problems"][0]["found"]
    assert not (run / "merged").exists()


def test_weights_that_overflow_in_float16(runs_of: Made, tmp_path: Path) -> None:
    run = copied(runs_of("classification"), tmp_path / "run")
    file = run / "model" / "adapter_model.safetensors"
    tensors = load_file(file)
    name = next(n for n in tensors if n.endswith("classifier.weight"))
    save_file({**tensors, name: tensors[name] * 1e7}, file, metadata={"format": "pt"})
    card = json.loads((run / "model" / CARD).read_text())
    card["files"] = folders.stamps(run / "model")
    card["files"].pop(CARD)
    (run / "model" / CARD).write_text(json.dumps(card))
    with pytest.raises(ModelError, match="nan"):
        merge(run, tmp_path / "m", precision="float16")


@pytest.mark.parametrize(
    "adaptation",
    [
        "ia3",
        "vera",
        {"lora": {"dora": True}},
        {"lora": {"init": "pissa"}},
        {"lora": {"rank_stabilised": True}},
        ["lora", "bias"],
    ],
    ids=str,
)
def test_whatever_merges(adaptation: Any, runs_of: Made, tmp_path: Path) -> None:
    found = merge(runs_of("classification", "b", adaptation), tmp_path / "m").tried["plain"]
    assert found.likeness.kl is not None and found.likeness.kl < 1e-8 and found.likeness.agreement == 1.0
    assert found.change.before == found.change.after


# What cannot be merged, and what is wrong


@pytest.mark.parametrize("adaptation", ["bottleneck", "prefix_tuning"])
def test_whatever_does_not(adaptation: Any, runs_of: Made, cli: Cli, tmp_path: Path) -> None:
    said = cli("merge", runs_of("classification", "b", adaptation), "--into", tmp_path / "m", "--json")
    (problem,) = said.value["problems"]
    assert said.code == 2 and adaptation in problem["found"] and "lora" in problem["allowed"]
    assert "bottleneck" not in problem["allowed"] and list(tmp_path.iterdir()) == []


def test_plain_weights_have_nothing_to_merge(forks: Forks, cli: Cli, tmp_path: Path) -> None:
    run = made(forks, tmp_path, adaptation="full")
    said = cli("merge", run, "--json")
    (problem,) = said.value["problems"]
    assert said.code == 2 and "plain already" in problem["found"] and str(run / "model") in problem["to_do"]
    half = merge(run, precision="bfloat16")
    assert half.folder == (run / "merged").absolute() and (half.tried["plain"].likeness.kl or 0) > 0
    with pytest.raises(RecipeError, match="plain already"):
        merge(half.folder, precision="bfloat16")


def test_what_is_no_change_of_weights(runs_of: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Lora, "merges", False, raising=False)
        with pytest.raises(RecipeError, match="no weights are equal to it"):
            merge(runs_of("classification"), tmp_path / "m")
    run = copied(runs_of("chat"), tmp_path / "run")
    config = run / "model" / "adapter_config.json"
    config.write_text(
        json.dumps({**json.loads(config.read_text()), "peft_type": "PREFIX_TUNING", "num_virtual_tokens": 4})
    )
    card = json.loads((run / "model" / CARD).read_text())
    card["files"]["adapter_config.json"] = folders.stamps(run / "model")["adapter_config.json"]
    (run / "model" / CARD).write_text(json.dumps(card))
    with pytest.raises(RecipeError, match="prefix_tuning"):
        merge(run, tmp_path / "m")


def test_bad_input(runs_of: Made, cli: Cli, tmp_path: Path) -> None:
    run = runs_of("classification")
    options = ("--precision", "float23", "--limit", "0", "--tolerance", "-1", "--agreement", "2")
    said = cli("merge", run, *options, "--json")
    assert said.code == 2 and [p["where"] for p in said.value["problems"]] == list(options[::2])
    assert "'float32'" in said.value["problems"][0]["to_do"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(RunDamaged, match="something else is there"):
        merge(run, tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"
    for wrong in (tmp_path / "nowhere", tmp_path):
        said = cli("merge", wrong, "--json")
        assert said.code == 6 and said.value["problems"][0]["to_do"]
    said = cli("merge", run, "--task", "other", "--json")
    assert said.code == 2
    (tmp_path / "rows.csv").write_text("text,lable\nsun,warm\n")
    said = cli("merge", run, "--into", tmp_path / "m", "--rows", tmp_path / "rows.csv", "--json")
    assert said.code == 3 and "label" in json.dumps(said.value)
    lost = tmp_path / "lost"
    shutil.copytree(run / "model", lost)
    said = cli("merge", lost, "--json")
    assert said.code == 6 and "recipe.yaml" in said.value["problems"][0]["found"]


def test_a_disk_that_is_full(runs_of: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folders, "exchange", full)
    with pytest.raises(StorageError, match="full"):
        merge(runs_of("classification"), tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


# Rows, tasks, and what comes after


def test_rows_of_a_file(runs_of: Made, cli: Cli, tmp_path: Path) -> None:
    from toy_runs import write_rows

    from tunewright.bundled import toy_rows

    rows = write_rows(tmp_path / "other.csv", toy_rows(60, seed=9))
    said = cli("merge", runs_of("classification"), "--into", tmp_path / "m", "--rows", rows, "--limit", "7", "--json")
    assert said.code == 0 and said.value["items"] == 7 and said.value["rows"] == "other.csv"


def test_one_task_of_several(forks: Forks, cli: Cli, tmp_path: Path) -> None:
    recipe = lay(tmp_path)
    recipe.write_text(
        "task: multitask\nmodel: {name: toy, precision: float32}\nadaptation: {lora: {rank: 4}}\n"
        "training: {epochs: 1, batch: 8, rate: 0.01}\nevaluation: {resamples: 200, transfer: false}\ntasks:\n"
        "  mood: {task: classification, data: {train: toy.csv, text: text, label: label}, baselines: [majority]}\n"
        "  score: {task: regression, data: {train: toy.csv, text: text, label: score}, baselines: [majority]}\n"
    )
    said = forks("run", "toy.yaml", at=tmp_path)
    assert said.code == 0, said.out
    run = tmp_path / "runs" / "toy"
    for task in ("mood", "score"):
        said = cli("merge", run, "--task", task)
        assert said.code == 0, said.err
        assert "limit" in said.out and (run / "tasks" / task / "merged" / "model.safetensors").exists()
    assert cli("merge", run).code == 2


def test_the_merged_model_is_judged_like_any_other(runs_of: Made, cli: Cli, tmp_path: Path) -> None:
    run = copied(runs_of("classification"), tmp_path / "run")
    shown = cli("merge", run)
    assert shown.code == 0 and "mean KL divergence" in shown.out and "decisions that stay" in shown.out
    place = run / "merged"
    assert cli("predict", place, "sun").out == cli("predict", run, "sun").out
    said = cli("evaluate", place, "--data", lay(tmp_path).parent / "toy.csv", "--json")
    assert said.code == 0, said.err
    tuned = next(c for c in read_all(run, "test") if c.role == "tuned").predictions
    assert said.value["items"] == len(tuned)
    after = next(c for c in said.value["contenders"] if c["name"] == "tuned")
    before = next(c for c in json.loads((run / "evidence.json").read_text())["contenders"] if c["name"] == "tuned")
    assert after["metrics"]["accuracy"]["value"] == pytest.approx(before["metrics"]["accuracy"]["value"])
