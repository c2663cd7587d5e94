"""What a file seems to hold: sets of labels, numbers, classes, and what only looks like them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tunewright.core.errors import DataError
from tunewright.data import guess

WORDS = ("alpha", "beta", "gamma", "delta")


def put(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return path


def text(i: int) -> str:
    return f"this is the text with the number {i} and nothing else"


def labelled(path: Path, labels: Sequence[object], name: str = "label", delimiter: str = ",") -> Path:
    return put(path, ("text", name), [(text(i), label) for i, label in enumerate(labels)], delimiter)


@pytest.mark.parametrize("separator", ["|", ";", ",", "/", "\t"])
def test_joined_labels(tmp_path: Path, separator: str) -> None:
    sets = [WORDS[i % 4] if i % 3 else separator.join([WORDS[i % 4], WORDS[(i + 1) % 4]]) for i in range(120)]
    found = guess(labelled(tmp_path / "a.csv", sets))
    assert (found.task, found.label, found.separator) == ("multilabel", "label", separator)
    assert any("4 labels, up to 2 a row" in line for line in found.evidence)


@pytest.mark.parametrize(
    "labels",
    [
        ["Smith, John", "Miller, Ann", "Smith, Ann"] * 20,
        [f"{last}, {first}" for last in ("Smith", "Miller", "Baker") for first in ("John", "Ann")] * 10,
        ["n/a", "yes", "no"] * 20,
        ["2024/01/02", "2024/02/01", "2025/01/02"] * 20,
        ["1,5", "1", "5", "5,5"] * 20,
        ["Arts/Film", "Arts/Music", "Sport/Ball", "Sport/Swim", "News/World", "News/Local"] * 20,
        ["[sic]", "ok", "bad"] * 20,
    ],
)
def test_one_label_that_only_looks_like_several(tmp_path: Path, labels: list[str]) -> None:
    found = guess(labelled(tmp_path / "a.csv", labels))
    assert (found.task, found.separator) == ("classification", None)


def test_lists(tmp_path: Path) -> None:
    sets = [list(WORDS[: i % 4]) for i in range(120)]
    lines = tmp_path / "a.jsonl"
    lines.write_text("\n".join(json.dumps({"text": text(i), "tags": names}) for i, names in enumerate(sets)))
    for path in (lines, labelled(tmp_path / "a.csv", [str(names) for names in sets], "tags")):
        found = guess(path)
        assert (found.text, found.label, found.task, found.separator) == ("text", "tags", "multilabel", None)
        assert any("3 labels, up to 3 a row, in lists" in line for line in found.evidence)


def test_a_list_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    content = [{"note": text(i), "body": [text(i), text(i + 1), text(i + 2)], "label": "ab"[i % 2]} for i in range(60)]
    path.write_text("\n".join(map(json.dumps, content)))
    assert guess(path).text == "note"


def test_columns_of_0_and_1(tmp_path: Path) -> None:
    rows = [(i, text(i), "test"[i % 4 :], i % 2, int(i % 3 == 0), int(i % 5 == 0)) for i in range(90)]
    path = put(tmp_path / "a.csv", ("id", "comment", "part", "toxic", "obscene", "threat"), rows)
    found = guess(path)
    assert (found.text, found.label, found.task) == ("comment", ("toxic", "obscene", "threat"), "multilabel")
    path = put(tmp_path / "b.csv", ("id", "comment", "label", "toxic", "obscene", "threat"), rows)
    assert (guess(path).label, guess(path).task) == ("label", "classification"), "a column named label comes first"
    path = put(tmp_path / "c.csv", ("id", "comment", "spam", "toxic"), [row[:2] + row[3:5] for row in rows])
    assert isinstance(guess(path).label, str), "two columns of 0 and 1 may be anything"


@pytest.mark.parametrize(
    ("numbers", "name", "task"),
    [
        ([i / 7 for i in range(100)], "label", "regression"),
        ([f"{i}e-2" if i % 2 else f"{i / 10}" for i in range(100)], "target", "regression"),
        ([i % 101 for i in range(600)], "score", "regression"),
        ([i % 101 for i in range(600)], "label", "classification"),
        ([1 + i % 5 for i in range(100)], "rating", "classification"),
        ([1.0 + i % 5 for i in range(100)], "rating", "classification"),
    ],
)
def test_numbers(tmp_path: Path, numbers: list[object], name: str, task: str) -> None:
    found = guess(labelled(tmp_path / "a.csv", numbers, name))
    assert (found.label, found.task) == (name, task)


def test_columns_that_are_named(tmp_path: Path) -> None:
    rows = [(text(i), i / 3, i / 7, i % 2, int(i % 3 == 0), "ab"[i % 2]) for i in range(60)]
    path = put(tmp_path / "a.csv", ("text", "v", "a", "x", "y", "kind"), rows)
    for label, task in (
        (("v", "a"), "regression"),
        (("x", "y"), "multilabel"),
        ("kind", "classification"),
        (("v", "kind"), None),
    ):
        found = guess(path, label=label)
        assert (found.label, found.task) == (label, task)
    assert guess(path, label="kind", task="multilabel").task == "multilabel"
    with pytest.raises(DataError) as error:
        guess(path, text="txt", label=("v", "aa"))
    assert [p.found for p in error.value.problems] == ["there is no column 'txt'", "there is no column 'aa'"]
