"""What `init` writes for each task."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from tunewright.core.errors import DataError, RecipeError
from tunewright.starting import start


def put(path: Path, *rows: Sequence[object]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return str(path)


def many(tmp_path: Path) -> str:
    rows = [
        (f"a text about the number {i}", ["x", "y", "x;y"][i % 3], i / 7, i / 3, i % 2, int(i % 3 == 0))
        for i in range(90)
    ]
    return put(tmp_path / "many.csv", ("text", "label", "v", "a", "p", "q"), *rows)


@pytest.mark.parametrize(
    ("asked", "task", "label", "metric", "objective"),
    [
        ({}, "multilabel", "label", "f1_micro", "binary_cross_entropy"),
        ({"label": "p,q"}, "multilabel", ["p", "q"], "f1_micro", "binary_cross_entropy"),
        ({"label": "v"}, "regression", "v", "pearson", "mse"),
        ({"label": "v, a"}, "regression", ["v", "a"], "pearson", "mse"),
        ({"label": "p"}, "classification", "p", "accuracy", "cross_entropy"),
        ({"task": "classification"}, "classification", "label", "accuracy", "cross_entropy"),
    ],
)
def test_the_recipe_of_each_task(
    tmp_path: Path, asked: dict[str, str], task: str, label: object, metric: str, objective: str
) -> None:
    path, said = start(many(tmp_path), tmp_path / "made.yaml", **asked)  # type: ignore[arg-type]
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert written["task"] == said["task"] == task
    assert written["data"]["label"] == said["label"] == label
    assert written["evaluation"]["metric"] == metric and written["objective"] == objective
    assert written["data"].get("separator") == (";" if task == "multilabel" and label == "label" else None)


def test_what_no_recipe_can_be_made_from(tmp_path: Path) -> None:
    file = many(tmp_path)
    with pytest.raises(DataError, match="neither all of 0 and 1 nor all of numbers"):
        start(file, tmp_path / "made.yaml", label="v,label")
    with pytest.raises(RecipeError, match="did you mean 'regression'"):
        start(file, tmp_path / "made.yaml", task="regresion")
    with pytest.raises(DataError, match="no column 'vv'"):
        start(file, tmp_path / "made.yaml", label="vv,a")
    assert not (tmp_path / "made.yaml").exists()


@pytest.mark.parametrize(
    ("file", "task", "label", "pair", "separator"),
    [
        ("goemotions/train8k.tsv", "multilabel", "1", None, ","),
        ("stsb/stsb-en-train.csv", "regression", "2", "1", None),
    ],
)
def test_real_files(
    shared: Path, tmp_path: Path, file: str, task: str, label: str, pair: str | None, separator: str | None
) -> None:
    path, _ = start(str(shared / "data" / file), tmp_path / "made.yaml")
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert (written["task"], written["data"]["label"]) == (task, label)
    assert (written["data"].get("pair"), written["data"].get("separator")) == (pair, separator)
