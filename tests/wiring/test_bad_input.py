"""What is wrong is named with its place, what was found, what is allowed and what to do; nothing is lost by it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from toy_runs import Cli, Forks, lay, lines, write_rows

from tunewright.bundled import toy_rows
from tunewright.models.toy import toy_bert
from tunewright.tracking import RunFolder


def problems(cli: Cli, *words: object, code: int) -> list[dict[str, str]]:
    """The problems of a command as JSON; the screen must name each of them too."""
    said = cli(*words, "--json")
    assert said.code == code, said
    found = said.value.get("problems") or said.value["errors"]
    shown = cli(*words)
    assert shown.code == code
    for problem in found:
        for part in problem.values():
            assert part.partition("\n")[0][:60] in shown.out + shown.err
    assert "Traceback" not in shown.err
    return list(found)


def test_an_unknown_key(cli: Cli, recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace("epochs:", "epoch:"))
    (found,) = problems(cli, "check", recipe, code=2)
    assert found["where"] == "training.epoch" and "'epochs'" in found["to_do"] and "batch" in found["allowed"]
    assert problems(cli, "run", recipe, code=2) == [found] and not Path("runs").exists()


def test_several_at_once(cli: Cli, recipe: Path) -> None:
    changes = ["training.epochs=-1", "modle=toy", "objective=cross_entrpy", "data.conflicts=merge",
               "training.schedule={linear: {warmpu: 0.1}}"]  # fmt: skip
    found = problems(cli, "check", recipe, *(w for c in changes for w in ("--set", c)), code=2)
    assert {p["where"] for p in found} == {
        "training.epochs", "modle", "objective", "data.conflicts", "training.schedule.linear.warmpu",
    }  # fmt: skip
    assert all(p["allowed"] for p in found)
    hints = " ".join(p["to_do"] for p in found)
    assert "'model'" in hints and "'cross_entropy'" in hints and "'warmup'" in hints


@pytest.mark.parametrize(
    ("text", "where", "found"),
    [
        ("", "data", "nothing"),
        ("- a\n- b\n", "", "list"),
        ("data: {train: a\nmodel: toy\n", "line", "not YAML"),
        ("model: toy\nmodel: minilm\n", "line 2", "stands twice"),
        ("seed: !!int ''\n", "toy.yaml", "not YAML"),
        ("seed: !!timestamp x\n", "toy.yaml", "not YAML"),
        ("data: &a [*a]\n", "line 1", "not YAML"),
        ("\x00", "toy.yaml", "not YAML"),
        ("1: 2\n", "1", "1"),
    ],
)
def test_a_recipe_that_is_none(cli: Cli, recipe: Path, text: str, where: str, found: str) -> None:
    recipe.write_text(text)
    every = problems(cli, "check", recipe, code=2)
    assert any(where in p["where"] and found in p["found"] for p in every), every


def test_a_recipe_that_is_missing(cli: Cli, recipe: Path) -> None:
    (found,) = problems(cli, "run", "toy.yml", code=2)
    assert found["where"] == "toy.yml" and "no such file" in found["found"] and "'toy.yaml'" in found["to_do"]
    (found,) = problems(cli, "run", ".", code=2)
    assert "cannot be read" in found["found"]


def test_a_set_that_is_none(cli: Cli, recipe: Path) -> None:
    found = problems(
        cli, "check", recipe, "--set", "seed", "--set", "training.rate.x=1", "--set", "seed=!!int ''", code=2
    )
    assert [p["where"] for p in found] == ["--set seed", "--set training.rate.x=1", "--set seed=!!int ''"]


def test_a_missing_file(cli: Cli, recipe: Path) -> None:
    for verb in ("check", "run"):
        (found,) = problems(cli, verb, recipe, "--set", "data.train=tyo.csv", code=3)
        assert found["where"] == "tyo.csv" and "no such file" in found["found"], "as one would type it from here"
        assert found["allowed"] == "toy.csv" and found["to_do"] == "did you mean 'toy.csv'?"


def test_a_wrong_column(cli: Cli, recipe: Path) -> None:
    for verb in ("check", "run"):
        found = problems(cli, verb, recipe, "--set", "data.label=lable", "--set", "data.text=txet", code=3)
        assert [p["to_do"] for p in found] == ["did you mean 'text'?", "did you mean 'label'?"]
        assert "'text', 'label'" in found[0]["allowed"]


@pytest.mark.parametrize(
    ("rows", "found", "to_do"),
    [
        ([(t, "same") for t, _ in toy_rows(30)], "every row has the label 'same'", "label column"),
        (toy_rows(5), "5 usable rows", "bring more rows"),
        (
            [(t, label + " " * (i % 2)) for i, (t, label) in enumerate(toy_rows(40))],
            "differ by case or white space",
            "label_map",
        ),
        (
            [(t, label.upper() if i % 2 else label) for i, (t, label) in enumerate(toy_rows(40))],
            "near_label",
            "label_map",
        ),
        ([*toy_rows(30), ("sun", "lonely")], "classes of a single row: 'lonely'", "bring more rows"),
        ([], "0 usable rows", "bring more rows"),
    ],
    ids=["one class", "five rows", "a space", "case", "a lonely class", "no rows"],
)
def test_labels_that_cannot_be_learnt(cli: Cli, recipe: Path, rows: Any, found: str, to_do: str) -> None:
    write_rows(Path("toy.csv"), rows)
    for verb in ("check", "run"):
        every = problems(cli, verb, recipe, code=3)
        assert any(found in p["found"] and to_do in p["to_do"] and p["allowed"] for p in every), every
    assert not (Path("runs/toy/model")).exists()


def test_texts_longer_than_the_model(cli: Cli, recipe: Path) -> None:
    write_rows(Path("toy.csv"), [(t if i % 4 else f"{t} " * 30, label) for i, (t, label) in enumerate(toy_rows(80))])
    said = cli("check", recipe)
    assert said.code == 0 and "25.0% of the texts would be cut" in said.out and "longer than 64 tokens" in said.out
    said = cli("run", recipe, "--set", "training.steps=1")
    facts = json.loads(Path("runs/toy/run.json").read_text())
    assert said.code == 0 and facts["model"]["texts_cut"] > 5
    assert (
        f"{facts['model']['texts_cut']} of {facts['data']['splits']['train']} training texts are longer than 64"
        in said.out
    )
    (found,) = problems(cli, "check", recipe, "--folder", "other", "--set", "model.max_tokens=65", code=2)
    assert found["where"] == "model.max_tokens" and "at most 64" in found["allowed"]


def test_an_adaptation_that_is_too_large(cli: Cli, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in ("check", "run"):
        (found,) = problems(cli, verb, recipe, "--set", "adaptation={lora: {rank: 1000000000}}", code=2)
        assert found["where"] == "adaptation.lora.rank" and found["found"] == "1,000,000,000"
        assert "1 to 32" in found["allowed"] and found["to_do"]

    def full(*more: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 4 TB")

    monkeypatch.setattr("tunewright.adaptations.Full.attach", full)
    for verb in ("check", "run"):
        (found,) = problems(cli, verb, recipe, "--folder", "other", code=5)
        assert found["where"] == "adaptation" and "memory" in found["found"] and "rank: 8" in found["to_do"]


def test_a_folder_that_is_no_model(cli: Cli, recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "nomodel").mkdir()
    for verb in ("check", "run"):
        (found,) = problems(cli, verb, recipe, "--set", "model=./nomodel", code=4)
        assert (
            "nomodel" in found["where"] and "no config.json" in found["found"] and found["allowed"] and found["to_do"]
        )
    (found,) = problems(cli, "check", recipe, "--set", "model=minilmm", code=4)
    assert "'minilm'" in found["to_do"]


NO_RUN = ["evaluate", "evaluate --data", "predict", "predict -", "compare", "report", "runs show", "runs diff"]


@pytest.mark.parametrize("verb", NO_RUN)
def test_a_folder_that_is_no_run(cli: Cli, recipe: Path, verb: str) -> None:
    verb, _, option = verb.partition(" -")
    more = {"predict": ["toy.csv" if option == "" else "sun"], "compare": ["none"], "runs diff": ["none"]}.get(verb, [])
    more += ["--data", "toy.csv"] if option == "-data" else []
    Path("other").mkdir()
    assert problems(cli, *verb.split(), "other", *(word.replace("none", "other") for word in more), code=6)
    found = problems(cli, *verb.split(), "none", *more, code=6)
    assert "none" in found[0]["where"] and not Path("none").exists()


def test_predict_a_file_that_is_missing(cli: Cli, finished: Path, recipe: Path) -> None:
    (found,) = problems(cli, "predict", finished, "tyo.csv", code=3)
    assert found["where"] == "tyo.csv" and "no such file" in found["found"] and "'toy.csv'" in found["to_do"]


def test_predict_before_training(cli: Cli, recipe: Path, forks: Forks) -> None:
    kill = {"at": "line", "file": "history.jsonl", "nth": 2, "half": False}
    assert forks("run", "toy.yaml", at=recipe.parent, kill=kill).code == -9
    (found,) = problems(cli, "predict", "runs/toy", "sun", code=6)
    assert found["where"] == "runs/toy" and "no tuned model" in found["found"] and "tunewright run" in found["to_do"]


def test_a_model_with_a_flipped_byte(cli: Cli, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    raw = bytearray((run / "model" / "model.safetensors").read_bytes())
    raw[-3] ^= 4
    (run / "model" / "model.safetensors").write_bytes(raw)
    (found,) = problems(cli, "predict", run, "sun", code=6)
    assert "model.safetensors has changed since it was written" in found["found"] and found["to_do"]


@pytest.mark.parametrize("name", ["evidence.json", "run.json", "recipe.yaml"])
def test_a_run_with_a_damaged_file(cli: Cli, finished: Path, tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / name).write_text('{"a": ')
    found = problems(cli, "runs", "show", run, code=2 if name == "recipe.yaml" else 6)
    assert name in found[0]["where"]


def test_compare_by_a_metric_that_is_none(cli: Cli, finished: Path) -> None:
    said = cli("compare", finished, finished, "--metric", "acuracy", "--json")
    assert said.code in (2, 3) and "acuracy" in said.out and "accuracy" in said.value["problems"][0]["to_do"]


# Folders of other things


def test_a_folder_of_another_recipe(cli: Cli, recipe: Path) -> None:
    assert cli("run", recipe).code == 0
    before = {p: p.read_bytes() for p in Path("runs/toy").rglob("*") if p.is_file()}
    (found,) = problems(cli, "run", recipe, "--set", "training.rate=0.02", code=6)
    assert "another recipe" in found["found"] and "--fresh" in found["to_do"] and found["where"] == "runs/toy"
    assert {p: p.read_bytes() for p in Path("runs/toy").rglob("*") if p.is_file()} == before
    assert cli("run", recipe, "--set", "training.rate=0.02", "--fresh").code == 0
    assert Path("runs/toy/history.jsonl").read_bytes() != before[Path("runs/toy/history.jsonl")]


@pytest.mark.parametrize(
    "change", ["model=./nomodel", "data.train=none.csv", "data.text=none", "data.limit=10"], ids=lambda c: c.split("=")[0]
)  # fmt: skip
def test_fresh_removes_nothing_for_a_run_that_cannot_be(cli: Cli, recipe: Path, change: str) -> None:
    assert cli("train", recipe, "--set", "training.steps=2").code == 0
    before = {p: p.read_bytes() for p in Path("runs/toy").rglob("*") if p.is_file()}
    assert cli("run", recipe, "--fresh", "--set", change, "--set", "data.shares.test=0.01").code in (3, 4)
    assert {p: p.read_bytes() for p in Path("runs/toy").rglob("*") if p.is_file()} == before


def test_a_folder_with_other_things_is_left_alone(cli: Cli, recipe: Path) -> None:
    """`--folder .` in a project that has its own data/ and recipe.yaml."""
    recipe = recipe.rename("recipe.yaml")
    Path("data").mkdir()
    Path("data/mine.csv").write_text("mine")
    before = recipe.read_bytes()
    for more in ([], ["--fresh"]):
        (found,) = problems(cli, "train", recipe, "--folder", ".", *more, code=6)
        assert "data, recipe.yaml" in found["found"] and "another --folder" in found["to_do"]
    assert Path("data/mine.csv").read_text() == "mine" and recipe.read_bytes() == before
    assert problems(cli, "train", recipe, "--folder", "toy.csv", code=7)


def test_checkpoints_of_another_recipe(cli: Cli, recipe: Path, forks: Forks) -> None:
    """Copied in by hand: the run's own facts fit, its checkpoints do not."""
    kill = {"at": "stage", "stage": "train"}
    for name, change in (("a", "seed=0"), ("b", "training.rate=0.02")):
        words = ("run", "toy.yaml", "--folder", name, "--set", change, "--set", "training.steps=3")
        assert forks(*words, at=recipe.parent, kill=kill).code == -9
    shutil.rmtree("a/checkpoints")
    shutil.copytree("b/checkpoints", "a/checkpoints")
    (found,) = problems(cli, "run", recipe, "--folder", "a", "--set", "training.steps=3", code=6)
    assert "step-00000003" in found["where"] and "another recipe" in found["found"] and "--fresh" in found["to_do"]
    assert cli("run", recipe, "--folder", "a", "--set", "training.steps=3", "--fresh").code == 0


def test_a_second_process_in_the_folder(cli: Cli, recipe: Path, forks: Forks) -> None:
    with RunFolder(Path("runs/toy")).locked():
        said = forks("run", "toy.yaml", "--fresh", at=recipe.parent)
        assert said.code == 6 and "another process is at work" in said.out
    assert cli("train", recipe, "--set", "training.steps=1").code == 0


# A disk that is full


class Disk:
    """Flushing fails, as it does on a full disk, for paths that hold `word`."""

    def __init__(self, word: str, after: int) -> None:
        self.word, self.left, self.plain, self.met = word, after, os.fsync, 0

    def fsync(self, handle: int) -> None:
        if self.word in str(Path(f"/proc/self/fd/{handle}").readlink()):
            self.left -= 1
            if self.left < 0:
                self.met += 1
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.plain(handle)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to know which file is flushed")
@pytest.mark.parametrize(
    ("word", "after"),
    [("/checkpoints/", 0), ("/checkpoints/", 14), ("/.best.part", 2), ("/.model.", 0), ("/predictions/", 1),
     ("/.evidence.json", 0), ("/.report-", 0), ("/data/", 2), ("/.run.json", 0), ("/.stages.json", 2)],
)  # fmt: skip
def test_a_full_disk(word: str, after: int, cli: Cli, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recipe.parent)
    assert cli("run", recipe, "--folder", "whole").code == 0
    disk = Disk(word, after)
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", disk.fsync)
        said = cli("run", recipe, "--folder", "run", "--json")
    assert disk.met and said.code == 7, said
    (found,) = said.value["problems"]
    assert (found["where"] and "No space" in found["found"]) or "full" in found["found"]
    assert "free" in found["to_do"]
    assert [p.name for p in Path("run").rglob(".*.part")] == [], "the little room that is left is given back"
    said = cli("run", recipe, "--folder", "run")
    assert said.code == 0, said.err
    for name in ("history.jsonl", "evaluations.jsonl", "model/model.safetensors"):
        assert Path("run", name).read_bytes() == Path("whole", name).read_bytes()
    assert cli("predict", "run", "sun").code == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_no_room_for_a_line_of_history(cli: Cli, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Path.open

    def opened(self: Path, *more: Any, **named: Any) -> Any:
        full = self.name == "history.jsonl" and more[:1] == ("a",)
        return plain(Path("/dev/full") if full else self, *more, **named)

    with monkeypatch.context() as full:
        full.setattr(Path, "open", opened)
        said = cli("run", recipe)
    assert (
        said.code == 7
        and "history.jsonl" in said.err
        and "the disk is full" in said.err
        and "Traceback" not in said.err
    )
    assert cli("runs", "list", "--json").value[0]["status"] == "failed"
    assert cli("run", recipe).code == 0
    assert [row["step"] for row in lines(Path("runs/toy/history.jsonl"))] == list(range(1, 21))


# Ctrl-C


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Iterator[Path]:
    """A recipe of 150 steps, and what it leaves when nobody interrupts."""
    at = tmp_path_factory.mktemp("slow")
    lay(at, training={"epochs": 40, "steps": 150, "validate_every": 50, "keep": "last"})
    assert forks("run", "toy.yaml", at=at).code == 0
    yield at


def wait_for_steps(run: Path, n: int) -> None:
    for _ in range(600):
        if (run / "history.jsonl").exists() and len((run / "history.jsonl").read_bytes().splitlines()) >= n:
            return
        time.sleep(0.02)
    raise AssertionError("training does not begin")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(slow: Path, forks: Forks, how: signal.Signals) -> None:
    run = slow / "runs" / how.name
    words = ("run", "toy.yaml", "--folder", f"runs/{how.name}")
    pid = forks.begin(*words, at=slow)
    wait_for_steps(run, 5)
    os.kill(pid, how)
    said = forks.end()
    steps = len(lines(run / "history.jsonl"))
    assert said.code == 130 and "stopping after this step" in said.out and "interrupted" in said.out
    assert f"stopped after step {steps} of 150" in said.out and "run the same command again" in said.out
    assert 5 <= steps < 150 and (run / "checkpoints" / f"step-{steps:08d}").is_dir()
    assert json.loads((run / "run.json").read_text())["status"] == "stopped"
    said = forks(*words, at=slow)
    assert said.code == 0 and f"going on after step {steps}" in said.out
    for name in ("history.jsonl", "evaluations.jsonl", "model/model.safetensors"):
        assert (run / name).read_bytes() == (slow / "runs" / "toy" / name).read_bytes()


def test_interrupted_twice_ends_at_once(slow: Path, forks: Forks) -> None:
    words = ("run", "toy.yaml", "--folder", "runs/twice", "--set", "training.batch=9")
    pid = forks.begin(*words, at=slow)
    wait_for_steps(slow / "runs" / "twice", 5)
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGINT)
    said = forks.end()
    assert said.code == 130 and "Traceback" not in said.out
    assert forks(*words, at=slow).code == 0


def test_ctrl_c_outside_a_run(cli: Cli, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*more: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("tunewright.answering.predict_lines", pressed)
    said = cli("predict", finished, "sun")
    assert said.code == 130 and "interrupted" in said.err and said.out == ""


def test_a_stop_between_stages(recipe: Path) -> None:
    """Ctrl-C while the baselines are fitted does not start a training."""
    from tunewright.core.errors import Interrupted
    from tunewright.recipe import read
    from tunewright.running import work

    asked = Event()
    with pytest.raises(Interrupted):
        for event in work(read(recipe), Path("run"), base=recipe.parent, stop=asked.is_set):
            if event.kind == "stage" and event.name == "baselines":
                asked.set()
    assert not Path("run/history.jsonl").exists()


def test_the_toy_is_what_these_tests_think_it_is() -> None:
    model, tokenizer = toy_bert(3)
    assert tokenizer.model_max_length == 64 and model.config.hidden_dropout_prob > 0
