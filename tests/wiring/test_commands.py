"""Every verb as a user types it: what it prints, what it leaves, its exit code, and the JSON of `--json`."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from data_commands import DATA
from toy_runs import Cli, Forks, lay, lines, write_rows

from tunewright.bundled import toy_rows
from tunewright.cli import app

OPTIONS = {
    "init": ["source", "--out", "--model", "--text", "--label", "--task", "--force", "--json"],
    "check": ["recipe", "--set", "--folder", "--show", "--json"],
    "selftest": ["recipe", "--set", "--json"],
    "run": ["recipe", "--set", "--folder", "--fresh", "--json"],
    "train": ["recipe", "--set", "--folder", "--fresh", "--json"],
    "evaluate": ["run_folder", "--data", "--task", "--json"],
    "predict": [
        *("run_folder", "source", "--out", "--text", "--pair", "--task", "--labels", "--adapter", "--adapter-column"),
        "--json",
    ],
    "merge": [
        *(
            "run_folder",
            "--into",
            "--precision",
            "--quantize",
            "--base",
            "--rows",
            "--limit",
            "--tolerance",
            "--agreement",
            "--task",
        ),
        "--json",
    ],
    "combine": ["models", "--into", "--method", "--density", "--rank", "--seed", "--rows", "--limit", "--json"],
    "interpolate": ["run_folder", "--share", "--into", "--rows", "--limit", "--task", "--json"],
    "compare": ["first", "second", "--metric", "--json"],
    "report": ["run_folder", "--json"],
    "runs list": ["root", "--json"],
    "runs show": ["run_folder", "--json"],
    "runs diff": ["first", "second", "--json"],
    "version": ["--json"],
}


def commands(group: Any, prefix: str = "") -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            out |= commands(command, f"{prefix}{name} ")
        else:
            out[prefix + name] = [p.opts[0] for p in command.params if p.name != "help"]
    return out


def test_names_of_commands_and_options_are_frozen() -> None:
    """Recipes are the interface: a new option needs a reason, a renamed one breaks somebody's script."""
    found = commands(typer.main.get_command(app))
    assert found == OPTIONS | DATA


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["runs", "--help"], ["data", "--help"], ["version"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys\nfrom tunewright.cli import main\n"
        f"sys.argv = ['tunewright', *{words!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'transformers', 'numpy', 'pyarrow', 'sklearn', 'scipy', 'peft', 'jinja2'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert done.stdout


@pytest.mark.parametrize("words", [[], ["runs"], ["data"]])
def test_without_a_word_it_helps(cli: Cli, words: list[str]) -> None:
    said = cli(*words)
    assert said.code == 2 and "Usage" in said.out + said.err


@pytest.mark.parametrize("words", [["nonsense"], ["run"], ["run", "a.yaml", "--epochs", "3"], ["predict", "x"]])
def test_a_wrong_word_is_told_and_is_json_where_asked(cli: Cli, words: list[str]) -> None:
    said = cli(*words)
    assert said.code == 2 and said.out == "" and "Usage" in said.err
    said = cli(*words, "--json")
    assert said.code == 2 and said.value["error"] == "usage" and said.value["problems"][0]["found"]


def test_the_installed_command_runs() -> None:
    command = Path(sys.executable).with_name("tunewright")
    if not command.exists():
        pytest.skip("the command is not installed beside this Python")
    done = subprocess.run([command, "version"], capture_output=True, text=True, check=True)
    assert done.stdout == "0.1.0\n"


# init, check, run: the way of a newcomer


def test_from_a_file_to_a_verdict(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "weather.csv", toy_rows(150), ("note", "kind of weather"))
    said = cli("init", "weather.csv", "--model", "toy")
    assert said.code == 0 and "weather.yaml" in said.out and "kind of weather" in said.out
    written = yaml.safe_load((tmp_path / "weather.yaml").read_text())
    assert written["data"]["text"] == "note" and written["data"]["label"] == "kind of weather"
    said = cli("check", "weather.yaml")
    assert said.code == 0 and "ready" in said.out and "0.0% of the texts would be cut" in said.out
    assert not (tmp_path / "runs").exists(), "check writes nothing"
    said = cli("run", "weather.yaml", "--set", "training.epochs=1", "--set", "evaluation.resamples=200",
               "--set", "evaluation.baselines=[majority]")  # fmt: skip
    assert said.code == 0, said.err
    run = tmp_path / "runs" / "weather"
    assert "Majority class" in said.out and str((run / "report.html").resolve()) in said.out
    assert {p.name for p in run.iterdir()} - {".lock"} == {
        "recipe.yaml", "run.json", "stages.json", "data", "history.jsonl", "evaluations.jsonl", "checkpoints", "model",
        "predictions", "evidence.json", "report.html",
    }  # fmt: skip
    kept = yaml.safe_load((run / "recipe.yaml").read_text())
    assert kept["training"]["epochs"] == 1 and kept["training"]["update"]["adamw"], "every default is written out"
    before = (run / "history.jsonl").read_bytes()
    said = cli("run", "weather.yaml", "--set", "training.epochs=1", "--set", "evaluation.resamples=200",
               "--set", "evaluation.baselines=[majority]")  # fmt: skip
    assert said.code == 0 and "step" not in said.out and (run / "history.jsonl").read_bytes() == before


def test_init_as_json_and_with_a_recipe_that_is_there(cli: Cli, recipe: Path) -> None:
    said = cli("init", "toy.csv", "--json", "--out", "made.yaml")
    assert said.code == 0 and said.value["recipe"] == "made.yaml" and said.value["label"] == "label"
    before = Path("made.yaml").read_bytes()
    said = cli("init", "toy.csv", "--out", "made.yaml", "--model", "toy")
    assert said.code == 2 and "it exists already" in said.err and "--force" in said.err
    assert Path("made.yaml").read_bytes() == before
    assert cli("init", "toy.csv", "--out", "made.yaml", "--model", "toy", "--force").code == 0
    assert Path("made.yaml").read_bytes() != before


def test_init_takes_the_columns_that_are_named(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [(f"{text} indeed so", label, text) for text, label in toy_rows(60)]
    with Path("odd.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "group", "remark"), *rows])
    assert cli("init", "odd.csv", "--json").value["text"] == "text"
    said = cli("init", "odd.csv", "--text", "remark", "--label", "group", "--force", "--model", "toy", "--json")
    assert said.code == 0 and (said.value["text"], said.value["label"]) == ("remark", "group")
    assert "text 'remark': as asked" in said.value["evidence"]
    written = yaml.safe_load(Path("odd.yaml").read_text())["data"]
    assert (written["text"], written["label"]) == ("remark", "group")
    assert cli("check", "odd.yaml").code == 0
    said = cli("init", "odd.csv", "--text", "remrak", "--label", "grop", "--force", "--json")
    assert said.code == 3 and [p["to_do"] for p in said.value["problems"]] == [
        "did you mean 'remark'?", "did you mean 'group'?"]  # fmt: skip
    Path("odd.csv").write_text("".join(f"{label}|{text}\n" for text, label in toy_rows(40)))
    said = cli("init", "odd.csv", "--text", "1", "--label", "0", "--force", "--json")
    assert said.code == 0 and said.value["columns"] == ["0", "1"] and said.value["label"] == "0"


def test_version_as_json(cli: Cli) -> None:
    assert cli("version", "--json").value == {"tunewright": "0.1.0"}


def test_one_is_no_plural_and_defects_have_their_titles(cli: Cli, recipe: Path) -> None:
    rows = [(text + " ", label) if i == 3 else (text, label) for i, (text, label) in enumerate(toy_rows(60))]
    write_rows(Path("toy.csv"), [*rows, ("a text", "")])
    for verb in ("check", "run"):
        said = cli(verb, recipe, "--set", "training.steps=1")
        assert said.code == 0 and "rows without a label 1" in said.out and "missing_label" not in said.out, verb
        assert "white space around the text 1" in said.out and "1 step, " in said.out
    Path("one.csv").write_text("text\nsun\n")
    assert cli("predict", "runs/toy", "one.csv").out.startswith("1 row predicted")
    found = cli("check", recipe, "--json").value["facts"]
    assert set(found["defects"]) == set(found["defect_titles"]) and found["defects"]["missing_label"] == 1


def test_init_demo_replaces_no_file_of_that_name(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("messages.csv").write_text("mine\n")
    said = cli("init", "demo")
    assert said.code == 2 and "messages.csv" in said.err and Path("messages.csv").read_text() == "mine\n"
    said = cli("init", "demo", "--out", "there")
    assert said.code == 0 and Path("there/messages.yaml").exists() and Path("there/messages.csv").exists()
    assert cli("init", "demo", "--out", "there", "--force").code == 0
    said = cli("check", "there/messages.yaml", "--set", "model=toy", "--json")
    assert said.code == 0 and set(said.value["facts"]["classes"]) == {"negative", "neutral", "positive"}


def test_check_as_json(cli: Cli, recipe: Path) -> None:
    said = cli("check", recipe, "--json")
    found = said.value
    assert said.code == 0 and found["ok"] and found["errors"] == []
    assert sum(found["facts"]["splits"].values()) == 120
    assert found["facts"]["model"]["trainable"] == found["facts"]["model"]["parameters"]


def test_run_as_json_says_nothing_else(cli: Cli, recipe: Path) -> None:
    said = cli("run", recipe, "--json", "--set", "training.epochs=1")
    assert said.code == 0 and said.value["status"] == "finished" and said.value["verdict"]["outcome"]
    assert Path(said.value["report"]).exists() and said.err == ""


def test_train_then_evaluate(cli: Cli, recipe: Path) -> None:
    said = cli("train", recipe)
    run = Path("runs/toy")
    assert said.code == 0 and "tunewright evaluate runs/toy" in said.out
    assert json.loads((run / "run.json").read_text())["status"] == "trained"
    assert (run / "model").is_dir() and not (run / "evidence.json").exists() and not (run / "predictions").exists()
    weights = (run / "model" / "model.safetensors").read_bytes()
    said = cli("evaluate", run, "--json")
    assert said.code == 0 and said.value["verdict"]["against"] == "majority"
    facts = json.loads((run / "run.json").read_text())
    assert facts["status"] == "finished" and facts["command"].startswith("tunewright train")
    assert (run / "report.html").exists() and (run / "model" / "model.safetensors").read_bytes() == weights


# Verbs on a finished run


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a finished run, seen from another folder than that of its recipe."""
    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "copy"


def test_evaluate_again_makes_what_was_removed(cli: Cli, run: Path) -> None:
    before = json.loads((run / "evidence.json").read_text())
    (run / "evidence.json").unlink()
    (run / "report.html").unlink()
    (run / "predictions" / "tuned.test.jsonl").unlink()
    (run / "predictions" / "tfidf.test.jsonl").unlink()
    said = cli("evaluate", run)
    assert said.code == 0, said.err
    again = json.loads((run / "evidence.json").read_text())
    for evidence in (before, again):
        for contender in evidence["contenders"]:
            contender.pop("seconds_per_item")
    assert again == before and (run / "report.html").exists()


def test_evaluate_on_other_rows(cli: Cli, run: Path, tmp_path: Path) -> None:
    seen = lines(run / "data" / "train.jsonl")[0]
    rows = [*toy_rows(60, seed=7), (seen["text"], seen["label"]), ("sun", "mild"), ("rain", ""), (" ", "wet")]
    other = write_rows(tmp_path / "other.csv", rows)
    said = cli("evaluate", run, "--data", other, "--json")
    assert said.code == 0, said.err
    evidence = said.value
    assert evidence["data"]["items"] + evidence["data"]["left_out"] == 64
    why = evidence["data"]["why"]
    assert sum(why.values()) == evidence["data"]["left_out"] and why.pop("seen in training") >= 1
    assert why == {"with a label that the model does not know": 1, "without a label": 1, "without a text": 1}
    assert [c["name"] for c in evidence["contenders"]] == ["tuned", "majority", "tfidf", "linear"]
    assert (run / "evaluations" / "other" / "evidence.json").exists()
    said = cli("evaluate", run, "--data", other)
    for part in ("Fine-tuned toy", "Frozen base model + linear head", "1 with a label that the model does not know",
                 evidence["verdict"]["sentence"][:60], "evaluations/other/evidence.json"):  # fmt: skip
        assert said.code == 0 and part in said.out, (part, said.out)


def test_evaluate_on_the_test_rows_finds_what_the_run_found(cli: Cli, run: Path, tmp_path: Path) -> None:
    """The baselines are the run's own: fitted again on its rows, they say the same."""
    test = [(row["text"], row["label"]) for row in lines(run / "data" / "test.jsonl")]
    again = cli("evaluate", run, "--data", write_rows(tmp_path / "again.csv", test), "--json").value
    before = json.loads((run / "evidence.json").read_text())
    for a, b in zip(sorted(again["contenders"], key=str), sorted(before["contenders"], key=str), strict=True):
        assert a["name"] == b["name"] and a["confusion"] == b["confusion"]
        assert a["metrics"]["log_loss"]["value"] == pytest.approx(b["metrics"]["log_loss"]["value"], abs=1e-5)


def test_evaluate_on_other_rows_without_the_base_model(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunewright.models.toy import toy_bert

    model, tokenizer = toy_bert(3)
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    recipe = lay(tmp_path, model="base", training={"steps": 2}, evaluation={"baselines": ["linear", "majority"]})
    monkeypatch.chdir(tmp_path)
    assert cli("run", recipe).code == 0
    other = write_rows(tmp_path / "other.csv", toy_rows(40, seed=7))
    (tmp_path / "base" / "config.json").write_text((tmp_path / "base" / "config.json").read_text() + " ")
    said = cli("evaluate", "runs/toy", "--data", other)
    assert said.code == 0 and "without the baseline linear: the base model is not the one of the run" in said.out
    shutil.rmtree(tmp_path / "base")
    found = cli("evaluate", "runs/toy", "--data", other, "--json").value
    assert [c["name"] for c in found["contenders"]] == ["tuned", "majority"]
    assert "no folder" in found["data"]["baselines_left_out"]["linear"]


def predicted(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_predict_files(cli: Cli, run: Path, tmp_path: Path) -> None:
    texts = [text for text, _ in toy_rows(9, seed=3)]
    (tmp_path / "in.csv").write_text("text,id\n" + "".join(f"{t},{i}\n" for i, t in enumerate(texts)) + "ragged\n")
    said = cli("predict", run, "in.csv")
    assert said.code == 0 and "10 rows" in said.out
    rows = predicted(tmp_path / "in.predictions.csv")
    assert [row["text"] for row in rows[:9]] == texts and rows[9]["problem"] == "ragged_row" and rows[9]["label"] == ""
    assert all(abs(sum(float(row[f"p_{n}"]) for n in ("cold", "warm", "wet")) - 1) < 1e-5 for row in rows[:9])
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"note": t}) + "\n" for t in texts))
    said = cli("predict", run, "in.jsonl", "--out", "deep/er/out.jsonl", "--text", "note", "--json")
    assert said.code == 0 and said.value == {"out": "deep/er/out.jsonl", "rows": 9}
    again = lines(tmp_path / "deep/er/out.jsonl")
    assert [row["label"] for row in again] == [row["label"] for row in rows[:9]]
    assert again[0]["scores"]["cold"] == pytest.approx(float(rows[0]["p_cold"]), abs=1e-5)
    said = cli("predict", run, "in.csv", "--out", "out.txt")
    assert said.code == 3 and ".csv or .jsonl" in said.err and not Path("out.txt").exists()


def test_predict_texts(cli: Cli, run: Path) -> None:
    said = cli("predict", run, "snow and ice by the old road")
    label, probability, text = said.out.rstrip("\n").split("\t")
    assert said.code == 0 and label in ("cold", "warm", "wet") and 0 < float(probability) <= 1
    assert text == "snow and ice by the old road"
    said = cli("predict", run, "-", "--json", stdin="snow and ice by the old road\n\nsun\n")
    assert [row["text"] for row in said.value] == ["snow and ice by the old road", "sun"]
    assert said.value[0]["label"] == label
    long = "sun " * 200
    said = cli("predict", run, long)
    assert said.code == 0 and said.out.rstrip("\n").split("\t")[2] == long, (
        "longer than any file name, and than the model"
    )
    assert cli("predict", run, "-", stdin="").code == 0


def test_compare(cli: Cli, run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    rows = lines(other / "predictions" / "tuned.test.jsonl")
    for row in rows[1:]:
        row["output"] = row["gold"]
        row["scores"] = [0.8 if name == row["gold"] else 0.1 for name in rows[0]["labels"]]
    (other / "predictions" / "tuned.test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = cli("compare", run, other, "--json")
    assert said.code == 0 and said.value["verdict"]["effect"] > 0
    assert {c["name"] for c in said.value["contenders"]} == {"copy", "other"}
    said = cli("compare", run, other, "--metric", "f1_macro")
    assert said.code == 0 and "copy" in said.out and "other" in said.out


def test_report_again(cli: Cli, run: Path) -> None:
    before = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    said = cli("report", run)
    assert said.code == 0 and "report.html" in said.out and len((run / "report.html").read_bytes()) == len(before)
    assert cli("report", run, "--json").value == {"report": str(run / "report.html")}


def test_runs(cli: Cli, run: Path, tmp_path: Path, recipe: Path) -> None:
    assert cli("train", recipe, "--set", "training.epochs=1", "--set", "seed=3").code == 0
    shutil.move(run, tmp_path / "runs" / "copy")
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "run.json").write_text("{")
    said = cli("runs", "list", "--json")
    rows = {row["name"]: row for row in said.value}
    assert said.code == 0 and set(rows) == {"copy", "toy", "broken"} and rows["broken"]["status"] == "damaged"
    assert rows["copy"]["status"] == "finished" and rows["toy"]["status"] == "trained"
    assert rows["copy"]["metric"] == "accuracy" and rows["copy"]["value"] is not None and rows["toy"]["value"] is None
    said = cli("runs", "list")
    assert said.code == 0 and all(name in said.out for name in rows)
    assert "no runs in empty" in cli("runs", "list", "empty").out and cli("runs", "list", "empty", "--json").value == []
    said = cli("runs", "show", "runs/copy")
    assert said.code == 0 and "finished" in said.out and "accuracy" in said.out and "adamw" in said.out
    shown = cli("runs", "show", "runs/copy", "--json").value
    assert shown["recipe"]["seed"] == 0 and shown["run"]["status"] == "finished" and shown["verdict"]
    different = {
        row["what"]: (row["first"], row["second"])
        for row in cli("runs", "diff", "runs/copy", "runs/toy", "--json").value
    }
    assert different["recipe.seed"] == (0, 3) and different["recipe.training.epochs"] == (4.0, 1.0)
    assert "recipe.training.batch" not in different
    assert different["verdict.outcome"][1] is None and different["figures.tuned.accuracy"][0].count(".") == 3
    derived = ("fingerprint", "sha256", "folder", "rate", "changed", "sentence", "planned", "inputs", "created")
    assert not [name for name in different if any(word in name for word in derived)], different
    assert "recipe.seed" in cli("runs", "diff", "runs/copy", "runs/toy").out
    assert "no difference" in cli("runs", "diff", "runs/copy", "runs/copy").out


def test_runs_differ_by_what_was_changed(cli: Cli, recipe: Path) -> None:
    """The same data elsewhere are no difference; another adaptation is one line, and what follows from it none."""
    assert cli("run", recipe, "--set", "training.steps=2").code == 0
    Path("toy.csv").rename("moved.csv")
    more = ("--set", "training.steps=2", "--set", "data.train=moved.csv", "--folder", "runs/lora")
    assert cli("run", recipe, *more, "--set", "adaptation={lora: {rank: 2}}").code == 0
    rows = cli("runs", "diff", "runs/toy", "runs/lora", "--json").value
    shown = {row["what"]: (row["first"], row["second"]) for row in rows}
    assert shown["recipe.adaptation"] == (
        "full",
        "lora: rank 2, alpha 32.0, dropout 0.0, targets all-linear, rank_stabilised False, dora False, init default, "
        "layers [], top None",
    )
    left = {name for name in shown if not name.startswith("figures.tuned")}
    assert left - {"verdict.outcome"} == {"recipe.adaptation", "run.model.trainable"}
    write_rows(Path("other.csv"), toy_rows(110))
    more = ("--set", "training.steps=2", "--set", "data.train=other.csv", "--folder", "runs/other")
    assert cli("run", recipe, *more).code == 0
    rows = {row["what"]: row for row in cli("runs", "diff", "runs/lora", "runs/other", "--json").value}
    assert rows["inputs.train"]["first"].startswith("moved.csv ")
    assert rows["inputs.train"]["second"].startswith("other.csv ")
    said = cli("runs", "list")
    assert said.code == 0 and "lora" in said.out and max(map(len, said.out.splitlines())) <= 80


# --set, folders


def test_set_changes_what_runs(cli: Cli, recipe: Path) -> None:
    said = cli("check", recipe, "--json", "--set", "training.steps=7", "--set", "adaptation={lora: {rank: 2}}",
               "--set", "model.max_tokens=5", "--set", "training.rate=1e-3")  # fmt: skip
    facts = said.value["facts"]
    assert said.code == 0 and facts["training"] == {"steps": 7, "examples": 56, "rate": 0.001}
    assert facts["tokens"]["limit"] == 5 and facts["model"]["trainable"] < facts["model"]["parameters"]


def test_folders(cli: Cli, recipe: Path, tmp_path: Path) -> None:
    assert cli("train", recipe, "--set", "folder=here", "--set", "training.steps=1").code == 0
    assert (tmp_path / "here" / "run.json").exists()
    assert cli("train", recipe, "--set", "folder=here", "--folder", "there", "--set", "training.steps=1").code == 0
    assert (tmp_path / "there" / "run.json").exists() and not (tmp_path / "runs").exists()


def test_a_model_folder_beside_the_recipe(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the recipe means does not depend on where one stands; the run knows where its model was."""
    from tunewright.models.toy import toy_bert

    model, tokenizer = toy_bert(3)
    model.save_pretrained(tmp_path / "project" / "base")
    tokenizer.save_pretrained(tmp_path / "project" / "base")
    (tmp_path / "else" / "base").mkdir(parents=True)
    lay(tmp_path / "project", model="base", adaptation={"lora": {"rank": 2}}, training={"steps": 2})
    monkeypatch.chdir(tmp_path / "else")
    assert cli("check", "../project/toy.yaml").code == 0
    said = cli("run", "../project/toy.yaml", "--folder", "run")
    assert said.code == 0, said.err
    monkeypatch.chdir(tmp_path)
    said = cli("evaluate", "else/run")
    assert said.code == 0, said.err
    assert cli("predict", "else/run", "sun").code == 0


def test_a_finished_run_outlives_its_data(cli: Cli, recipe: Path) -> None:
    assert cli("run", recipe).code == 0
    Path("toy.csv").unlink()
    assert cli("evaluate", "runs/toy").code == 0
    assert cli("run", recipe).code == 0
    said = cli("run", recipe, "--set", "training.rate=0.5")
    assert said.code == 6 and "another recipe" in said.err


def test_status_while_a_run_is_not_finished(recipe: Path, forks: Forks, cli: Cli) -> None:
    kill = {"at": "line", "file": "history.jsonl", "nth": 2, "half": False}
    assert forks("run", "toy.yaml", at=recipe.parent, kill=kill).code == -9
    assert cli("runs", "list", "--json").value[0]["status"] == "running"
    said = cli("evaluate", "runs/toy")
    assert said.code == 6 and "no trained model is here" in said.err


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_threads_wait_briefly_unless_the_user_says_otherwise(
    given: dict[str, str], expected: str | None, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    cli("version")
    found = os.environ.get("GOMP_SPINCOUNT")
    monkeypatch.setenv("GOMP_SPINCOUNT", "1000")
    assert found == expected
