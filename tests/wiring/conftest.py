"""Fixtures for whole runs with the toy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from merging_runs import CASES, Made, made
from toy_runs import Cli, Forks, calling, lay


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command line in this process."""
    return calling(monkeypatch, capsys)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe for the toy in an empty folder, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return lay(tmp_path)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Commands in processes of their own, without the seconds that importing takes."""
    made = Forks()
    yield made
    made.close()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Path:
    """The folder of a finished run with the whole ladder: read it, never write to it."""
    place = tmp_path_factory.mktemp("finished")
    lay(place, training={"epochs": 4}, evaluation={"baselines": ["majority", "tfidf", "linear"]})
    said = forks("run", "toy.yaml", at=place)
    assert said.code == 0, said.out
    return place / "runs" / "toy"


@pytest.fixture(scope="session")
def runs_of(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Made:
    """Finished runs by task, learning rate ("a" or "b") and adaptation: those of one task began with the same weights."""
    known: dict[str, Path] = {}

    def run(task: str, name: str = "a", adaptation: Any = None) -> Path:
        adaptation = adaptation or {"lora": {"rank": 4}}
        key = f"{task} {name} {adaptation}"
        if key not in known:
            training = {"epochs": 1, "batch": 16, "rate": {"a": 0.01, "b": 0.03}[name]}
            known[key] = made(
                forks, tmp_path_factory.mktemp("run"), **CASES[task], adaptation=adaptation, training=training
            )
        return known[key]

    return run
