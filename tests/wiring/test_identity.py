"""What makes two runs the same run: what the files hold, not where they lie or what they are called."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from toy_runs import Cli, lay, write_rows

from tunewright.bundled import toy_rows
from tunewright.data import content
from tunewright.identity import absolute, identify
from tunewright.models.loading import find
from tunewright.models.toy import toy_bert
from tunewright.recipe import read

SHORT = ("--set", "training.steps=2")


def fingerprint(recipe: Path, *changes: str) -> str:
    parsed = read(recipe, changes)
    return identify(parsed, recipe.parent, find(parsed.model.name), {}).fingerprint


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with its own model and data."""
    model, tokenizer = toy_bert(3)
    model.save_pretrained(tmp_path / "project" / "base")
    tokenizer.save_pretrained(tmp_path / "project" / "base")
    lay(tmp_path / "project", model="base", training={"steps": 2, "rate": "auto"})
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def test_a_moved_project_is_the_same_run(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("run", "toy.yaml").code == 0
    history, before = Path("runs/toy/history.jsonl").read_bytes(), Path("runs/toy/history.jsonl").stat().st_mtime_ns
    moved = project.parent / "moved"
    monkeypatch.chdir(project.parent)
    shutil.move(project, moved)
    monkeypatch.chdir(moved)
    assert cli("check", "toy.yaml").code == 0
    said = cli("run", "toy.yaml")
    assert said.code == 0, said.err
    after = Path("runs/toy/history.jsonl")
    assert after.read_bytes() == history and after.stat().st_mtime_ns == before, "nothing was trained again"
    assert str(moved / "toy.csv") in Path("runs/toy/recipe.yaml").read_text()
    Path("toy.csv").rename("renamed.csv")
    Path("base").rename("renamed")
    assert cli("run", "toy.yaml", "--set", "data.train=renamed.csv", "--set", "model=renamed").code == 0
    Path("renamed.csv").unlink()
    assert cli("evaluate", "runs/toy").code == 0


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda: write_rows(Path("toy.csv"), toy_rows(121)), "other data"),
        (
            lambda: Path("base/config.json").write_text(Path("base/config.json").read_text() + "\n"),
            "another base model",
        ),
        (lambda: Path("toy.yaml").write_text(Path("toy.yaml").read_text() + "seed: 3\n"), "another recipe"),
        (
            lambda: Path("toy.yaml").write_text(
                Path("toy.yaml").read_text().replace("train: toy.csv", "train: [a.csv]")
            ),
            "other data",
        ),
    ],
    ids=["a row", "the model", "the seed", "another file"],
)
def test_another_run_is_refused_by_run_and_foretold_by_check(
    cli: Cli, project: Path, change: Callable[[], object], found: str
) -> None:
    write_rows(Path("a.csv"), toy_rows(90))
    assert cli("run", "toy.yaml").code == 0
    kept = {p: p.read_bytes() for p in Path("runs").rglob("*") if p.is_file()}
    change()
    for verb in ("run", "check"):
        said = cli(verb, "toy.yaml", "--json")
        (problem,) = said.value["problems" if verb == "run" else "errors"]
        assert said.code == 6 and problem["found"] == f"this folder holds a run of {found}", (verb, problem)
        assert "--fresh" in problem["to_do"]
    assert cli("check", "toy.yaml", "--folder", "runs/other").code == 0
    assert {p: p.read_bytes() for p in Path("runs").rglob("*") if p.is_file()} == kept


def test_check_tells_of_the_folder_beside_all_else(cli: Cli, recipe: Path) -> None:
    assert cli("train", recipe, *SHORT).code == 0
    said = cli("check", recipe, "--json", "--set", "seed=1", "--set", "data.text=none")
    assert said.code == 3 and [p["where"] for p in said.value["errors"]][-1] == "runs/toy"
    Path("mine/data").mkdir(parents=True)
    said = cli("check", recipe, "--json", "--folder", "mine")
    assert said.code == 6 and "it holds data, but no run" in said.value["errors"][0]["found"]


def test_a_run_that_did_nothing_yet_keeps_no_folder(cli: Cli, recipe: Path) -> None:
    """A wrong column in the first run, mended: nothing is there that could be lost."""
    assert cli("run", recipe, *SHORT, "--set", "data.text=txet").code == 3
    assert Path("runs/toy/run.json").exists()
    assert cli("run", recipe, *SHORT).code == 0


def test_a_misspelt_file_is_not_taken_for_other_data(cli: Cli, recipe: Path) -> None:
    assert cli("run", recipe, *SHORT).code == 0
    said = cli("run", recipe, *SHORT, "--set", "data.train=tyo.csv", "--set", "data.test=tst.csv", "--json")
    assert said.code == 3 and [p["found"] for p in said.value["problems"]] == ["there is no such file or folder"] * 2


def test_the_fingerprint_follows_what_is_learnt(recipe: Path) -> None:
    first = fingerprint(recipe)
    assert fingerprint(recipe, "folder=else") == fingerprint(recipe, "evaluation.metric=mcc") == first
    assert fingerprint(recipe, "data.text=label", "data.label=text") != first
    other = write_rows(recipe.with_name("b.csv"), toy_rows(80))
    both = [fingerprint(recipe, f"data.train=[{a}, {b}]") for a, b in (("toy.csv", other), (other, "toy.csv"))]
    roles = [fingerprint(recipe, f"data.{role}=b.csv") for role in ("validation", "test")]
    assert len({first, *both, *roles}) == 5


def test_content_of_a_folder(tmp_path: Path) -> None:
    rows = toy_rows(30)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_rows(tmp_path / name / "train.csv", rows)
        write_rows(tmp_path / name / "test.csv", rows[:5])
    assert content(tmp_path / "one") == content(tmp_path / "two")
    (tmp_path / "two" / "test.csv").rename(tmp_path / "two" / "validation.csv")
    assert content(tmp_path / "one") != content(tmp_path / "two"), "a file's name gives its split"
    shutil.copy(tmp_path / "one" / "train.csv", tmp_path / "plain.tsv")
    assert content(tmp_path / "one" / "train.csv") != content(tmp_path / "plain.tsv"), "an ending gives the format"


def test_a_file_that_may_not_be_read(cli: Cli, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("tunewright.data.folders.sha256", refused)
    said = cli("run", recipe, "--json")
    (found,) = said.value["problems"]
    assert said.code == 3 and "cannot be read: Permission denied" in found["found"] and "toy.csv" in found["where"]


LOSS = """\
import torch.nn.functional as F


def loss(scores, targets):
    return F.cross_entropy(scores, targets, reduction='none')
"""
OWN = {"custom": {"file": "losses/mine.py"}}


def test_a_loss_of_ones_own_counts_by_what_it_holds(
    cli: Cli, project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found beside the recipe from everywhere; renamed it is the same run, changed it is another."""
    (project / "losses").mkdir()
    (project / "losses" / "mine.py").write_text(LOSS)
    lay(project, model="base", training={"steps": 2}, objective=OWN)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    said = cli("run", str(project / "toy.yaml"), "--folder", str(project / "runs"))
    assert said.code == 0, said.err
    before = (project / "runs" / "history.jsonl").stat().st_mtime_ns
    assert str(project / "losses" / "mine.py") in (project / "runs" / "recipe.yaml").read_text()
    (project / "losses" / "mine.py").rename(project / "same.py")
    lay(project, model="base", training={"steps": 2}, objective={"r_drop": {"inner": {"custom": {"file": "same.py"}}}})
    assert cli("run", str(project / "toy.yaml"), "--folder", str(project / "runs")).code == 6
    lay(project, model="base", training={"steps": 2}, objective={"custom": {"file": "same.py"}})
    assert cli("run", str(project / "toy.yaml"), "--folder", str(project / "runs")).code == 0
    assert (project / "runs" / "history.jsonl").stat().st_mtime_ns == before, "nothing was trained again"
    (project / "same.py").write_text(LOSS + "# another\n")
    for command in ("run", "check"):
        said = cli(command, str(project / "toy.yaml"), "--folder", str(project / "runs"))
        assert said.code == 6 and "another recipe" in said.out + said.err, said
    (project / "same.py").unlink()
    said = cli("check", str(project / "toy.yaml"))
    assert said.code == 2 and "same.py" in said.out + said.err and "Traceback" not in said.err, said


def test_files_that_steps_read_count_by_what_they_hold(project: Path) -> None:
    steps = "data.steps=[strip, {arbitrate: {gold: gold.jsonl}}]"
    gold = project / "gold.jsonl"
    gold.write_text("")
    before = fingerprint(project / "toy.yaml", steps)
    parsed = read(project / "toy.yaml", [steps])
    [_, step] = parsed.options(project).steps or ()
    assert step.gold == str(gold)
    kept = absolute(parsed, project, find(parsed.model.name))
    assert kept.fingerprint() == parsed.fingerprint() and str(gold) in str(kept.dump()["data"]["steps"])
    gold.rename(project / "other.jsonl")
    assert fingerprint(project / "toy.yaml", steps.replace("gold.jsonl", "other.jsonl")) == before
    (project / "other.jsonl").write_text("{}")
    assert fingerprint(project / "toy.yaml", steps.replace("gold.jsonl", "other.jsonl")) != before
