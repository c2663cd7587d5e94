"""Language models, chat, sequence to sequence, preferences, thumbs, rewards and entities through every command, with toys."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from toy_runs import TASKS, Cli, Forks, choices, lay, lines, spans, write_json_lines, write_rows

from tunewright.bundled import toy_rows

TRAINING = {"epochs": 1, "batch": 16, "rate": 0.01}
every = pytest.mark.parametrize("task", list(TASKS))
SAYS = {"token_classification": "entities", "language_modeling": "bits_per_byte", "reward": "reward"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> dict[str, Path]:
    """A folder for each task with a finished run in it."""
    made = {}
    for task, changes in TASKS.items():
        place = tmp_path_factory.mktemp(task)
        lay(place, training=TRAINING, **changes)
        said = forks("run", "toy.yaml", at=place)
        assert said.code == 0, f"{task}: {said.out}"
        assert "Traceback" not in said.out
        made[task] = place
    return made


def evidence(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / "evidence.json").read_text(encoding="utf-8"))
    return found


@every
def test_a_run_ends_with_evidence_and_a_report(runs: dict[str, Path], task: str) -> None:
    run = runs[task] / "runs" / "toy"
    found = evidence(run)
    assert found["task"] == TASKS[task]["task"] and found["items"] >= 6
    assert {c["name"] for c in found["contenders"]} == {"tuned", *TASKS[task]["evaluation"]["baselines"]}
    deciding = found["verdict"]["metric"]
    assert all(c["metrics"][deciding] is not None for c in found["contenders"])
    assert found["verdict"]["sentence"].split(":")[0][:40] in (run / "report.html").read_text(encoding="utf-8")
    ledger = json.loads((run / "data" / "ledger.json").read_text(encoding="utf-8"))
    assert all(stage["balances"] for stage in ledger["stages"])


@every
def test_predict_answers_texts_and_files(
    runs: dict[str, Path], task: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs[task])
    text = toy_rows(3)[0][0]
    said = cli("predict", "runs/toy", text, "--json")
    assert said.code == 0, said.err
    (answer,) = said.value
    assert answer["text"] == text and SAYS.get(TASKS[task]["task"], "reply") in answer
    assert cli("predict", "runs/toy", text).code == 0
    write_rows(Path("new.csv"), [(row, "") for row, _ in toy_rows(4)])
    for ending in ("csv", "jsonl"):
        said = cli("predict", "runs/toy", "new.csv", "--text", "text", "--out", f"told.{ending}")
        assert said.code == 0, said.err
    with Path("told.csv").open(newline="", encoding="utf-8") as file:
        told = list(csv.reader(file))
    assert len(lines(Path("told.jsonl"))) == 4 == len(told) - 1 and {len(row) for row in told} == {len(told[0])}


def fresh(task: str, path: Path) -> Path:
    """Rows that no run has seen, in the form of the task's."""
    old = {text for text, _ in toy_rows(120)}
    if "train" not in TASKS[task].get("data", {}):
        return write_rows(path.with_suffix(".csv"), [row for row in toy_rows(160, seed=1) if row[0] not in old])
    rows = spans(400) if task == "token_classification" else choices(400)
    unseen = [row for row in rows if row.get("text", row.get("prompt")) not in old]
    left_out = {"pairs": ("completion", "good"), "thumbs": ("chosen", "rejected")}
    drop = left_out.get(TASKS[task]["data"]["train"].split(".")[0], ())
    return write_json_lines(
        path.with_suffix(".jsonl"), [{k: v for k, v in row.items() if k not in drop} for row in unseen]
    )


@every
def test_evaluate_judges_other_rows_beside_the_baselines(
    runs: dict[str, Path], task: str, cli: Cli, tmp_path: Path
) -> None:
    run = runs[task] / "runs" / "toy"
    said = cli("evaluate", run, "--data", fresh(task, tmp_path / "other"), "--json")
    assert said.code == 0, said.err or said.out
    found = evidence(run / "evaluations" / "other")
    assert found["data"]["items"] >= 6 and found["data"]["baselines_left_out"] == {}
    assert {c["name"] for c in found["contenders"]} == {"tuned", *TASKS[task]["evaluation"]["baselines"]}


@every
def test_evaluate_says_of_the_test_rows_what_the_run_said(runs: dict[str, Path], task: str, cli: Cli) -> None:
    """Of the file that the run has split, the rows of train and validation are left out: the test rows are left."""
    run = runs[task] / "runs" / "toy"
    file = runs[task] / TASKS[task].get("data", {}).get("train", "toy.csv")
    said = cli("evaluate", run, "--data", file, "--json")
    assert said.code == 0, said.err or said.out
    before, after = evidence(run), evidence(run / "evaluations" / file.stem)
    assert after["items"] == before["items"]
    for one in before["contenders"]:
        other = next(c for c in after["contenders"] if c["name"] == one["name"])
        for name, metric in one["metrics"].items():
            told = other["metrics"][name]["value"]
            assert told == (None if metric["value"] is None else pytest.approx(metric["value"], rel=2e-3, abs=2e-3)), (
                name
            )


@every
def test_two_runs_are_compared_and_told_apart(
    runs: dict[str, Path], task: str, cli: Cli, forks: Forks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs[task])
    said = forks("run", "toy.yaml", "--folder", "runs/more", "--set", "training.epochs=2", at=runs[task])
    assert said.code == 0, said.out
    compared = cli("compare", "runs/toy", "runs/more", "--json")
    assert compared.code == 0, compared.err
    assert compared.value["items"] >= 6 and compared.value["left_out"] == {"toy": 0, "more": 0}
    rows = cli("runs", "diff", "runs/toy", "runs/more", "--json").value
    assert "recipe.training.epochs" in {row["what"] for row in rows}
    assert cli("runs", "diff", "runs/toy", "runs/more").code == 0 == cli("runs", "show", "runs/toy").code
    assert cli("report", "runs/toy").code == 0
    listed = cli("runs", "list", "runs", "--json").value
    assert [row["status"] for row in listed] == ["finished"] * 2 and all(row["value"] is not None for row in listed)


@every
def test_check_finds_nothing_wrong(runs: dict[str, Path], task: str, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs[task])
    said = cli("check", "toy.yaml", "--json")
    assert said.code == 0 and said.value["ok"], said.value
    assert said.value["facts"]["splits"]["test"] > 6
    assert cli("check", "toy.yaml").code == 0


@pytest.mark.parametrize("adaptation", ["lora", "frozen"])
@pytest.mark.parametrize("task", ["chat", "language_modeling", "preference"])
def test_a_language_model_learns_with_fewer_parameters(
    task: str, adaptation: str, forks: Forks, tmp_path: Path
) -> None:
    spec: dict[str, Any] = {"lora": {"rank": 4}} if adaptation == "lora" else {"frozen": {"top": 1}}
    changes = {**TASKS[task], "evaluation": {"baselines": ["untuned"]}}
    lay(tmp_path, **changes, training={**TRAINING, "epochs": 3}, adaptation=spec)
    said = forks("run", "toy.yaml", at=tmp_path)
    assert said.code == 0, said.out
    run = tmp_path / "runs" / "toy"
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))["model"]
    assert 0 < facts["trainable"] < 0.8 * facts["parameters"]
    if task != "preference":
        tuned, untuned = (
            next(c["metrics"]["loss"]["value"] for c in evidence(run)["contenders"] if c["name"] == name)
            for name in ("tuned", "untuned")
        )
        assert tuned < untuned - 0.2


def test_the_adapter_of_a_language_model_opens_in_plain_peft(
    forks: Forks, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer

    from tunewright.models.toy import toy_llama

    model, tokenizer = toy_llama()
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    lay(tmp_path, **TASKS["chat"], model=str(tmp_path / "base"), adaptation={"lora": {"rank": 4}}, training=TRAINING)
    said = forks("run", "toy.yaml", at=tmp_path)
    assert said.code == 0, said.out
    folder = tmp_path / "runs" / "toy" / "model"
    with warnings.catch_warnings():  # peft's own, about transformers
        warnings.simplefilter("ignore")
        opened = AutoPeftModelForCausalLM.from_pretrained(folder).eval()
    tokens = torch.tensor([AutoTokenizer.from_pretrained(folder)("a warm lamp")["input_ids"]])
    with torch.no_grad():
        tuned = opened(input_ids=tokens).logits
        with opened.disable_adapter():
            base = opened(input_ids=tokens).logits
    assert tuned.shape[-1] == len(tokenizer) and not torch.allclose(tuned, base, atol=1e-3)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an encoder cannot chat": ({**TASKS["chat"], "model": "minilm"}, "an encoder"),
    "an encoder cannot translate": ({**TASKS["seq2seq"], "model": "minilm"}, "an encoder"),
    "a column that is missing": ({**TASKS["chat"], "data": {"text": "question", "label": "label"}}, "question"),
    "a target that is missing": ({**TASKS["seq2seq"], "data": {"label": "target"}}, "target"),
    "documents that are not there": ({**TASKS["language_modeling"], "data": {"text": "body", "label": None}}, "body"),
    "thumbs with an objective of pairs": ({**TASKS["thumbs"], "objective": "dpo"}, "thumb"),
    "thumbs for a reward": ({**TASKS["reward"], "data": TASKS["thumbs"]["data"]}, "thumbs"),
    "classes for preferences": ({**TASKS["preference"], "data": {"text": None, "label": None}}, "chosen"),
    "no spans": ({**TASKS["token_classification"], "data": {"text": None, "label": None}}, "spans"),
    "nothing fits": ({**TASKS["chat"], "model": {"name": "toy", "max_tokens": 6}}, "too_long"),
    "no text fits": ({**TASKS["preference"], "model": {"name": "toy", "max_tokens": 6}}, "too_long"),
    "a baseline of another task": ({**TASKS["chat"], "evaluation": {"baselines": ["tfidf"]}}, "tfidf"),
    "a metric of another task": ({**TASKS["reward"], "evaluation": {"metric": "rougeL"}}, "rougeL"),
    "a loss that nobody measures": ({**TASKS["reward"], "training": {"stop": {"metric": "loss"}}}, "accuracy"),
    "an objective of another task": ({**TASKS["chat"], "objective": "dpo"}, "dpo"),
    "generation where nothing is written": ({**TASKS["reward"], "generation": {}}, "generation"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(WRONG))
@pytest.mark.parametrize("command", ["check", "run"])
def test_what_is_wrong_is_said_without_a_traceback(case: str, command: str, forks: Forks, tmp_path: Path) -> None:
    changes, named = WRONG[case]
    changes = {**changes, "evaluation": {**(changes.get("evaluation") or {})}}
    recipe = lay(tmp_path, **{"training": TRAINING, **changes})
    assert yaml.safe_load(recipe.read_text(encoding="utf-8"))["task"] == changes["task"]
    said = forks(command, "toy.yaml", at=tmp_path)
    assert 2 <= said.code <= 8, (said.code, said.out)
    assert named in said.out and "Traceback" not in said.out, said.out
    assert not (tmp_path / "runs" / "toy" / "model").exists()


def test_rows_of_one_prompt_cannot_be_split_and_that_is_said(forks: Forks, tmp_path: Path) -> None:
    lay(tmp_path, training=TRAINING, **TASKS["preference"])
    rows = [{"prompt": "Say something.", "chosen": text, "rejected": f"{text} not"} for text, _ in toy_rows(60)]
    write_json_lines(tmp_path / "pairs.jsonl", rows)
    said = forks("run", "toy.yaml", at=tmp_path)
    assert said.code == 3 and "1 text or prompt" in said.out, said.out


def masked_encoder(folder: Path) -> dict[str, Any]:
    from tunewright.models.toy import toy_bert

    model, tokenizer = toy_bert(kind="MaskedLM")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {**TASKS["language_modeling"], "model": str(folder)}


def encoder_decoder(folder: Path) -> dict[str, Any]:
    from tunewright.models.toy import toy_t5

    model, tokenizer = toy_t5()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {**TASKS["seq2seq"], "model": str(folder)}


@pytest.mark.parametrize("made", [masked_encoder, encoder_decoder], ids=["masked tokens", "an encoder-decoder"])
def test_killed_and_gone_on_a_run_finds_the_same(made: Any, forks: Forks, tmp_path: Path) -> None:
    recipe = lay(tmp_path, **made(tmp_path / "base"), training={**TRAINING, "epochs": 2, "checkpoint_every": 2})
    assert forks("run", recipe.name, at=tmp_path).code == 0
    kill = {"at": "line", "file": "history.jsonl", "nth": 5, "half": True}
    assert forks("run", recipe.name, "--folder", "runs/other", at=tmp_path, kill=kill).code == -9
    said = forks("run", recipe.name, "--folder", "runs/other", at=tmp_path)
    assert said.code == 0 and "going on after step 4" in said.out, said.out
    whole, other = tmp_path / "runs" / "toy", tmp_path / "runs" / "other"
    assert (whole / "history.jsonl").read_bytes() == (other / "history.jsonl").read_bytes()
    found = [
        [(c["name"], {n: m["value"] for n, m in c["metrics"].items()}) for c in evidence(run)["contenders"]]
        for run in (whole, other)
    ]
    assert found[0] == found[1]
    untuned, tuned = (next(v for n, v in found[0] if n == name)["loss"] for name in ("untuned", "tuned"))
    assert tuned < untuned
