"""Recipes over what is no plain file: init writes them, a run reads them, and no password is written down."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import zipfile
from pathlib import Path

import pytest
import zstandard
from openpyxl import Workbook
from toy_runs import Cli

from tunewright import data as data_side
from tunewright.recipe import read
from tunewright.starting import start

ROWS = [(f"a message about the number {i}", ["good", "bad"][i % 2]) for i in range(40)]


def table() -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows([("message", "mood"), *ROWS])
    return out.getvalue().encode()


def lay(name: str) -> None:
    """Puts the rows where `name` means them to be."""
    if name.startswith("sqlite"):
        made = sqlite3.connect("moods.db")
        made.execute("CREATE TABLE moods (message TEXT, mood TEXT)")
        made.executemany("INSERT INTO moods VALUES (?, ?)", ROWS)
        made.commit()
        made.close()
    elif "xlsx" in name:
        book = Workbook()
        for row in [("message", "mood"), *ROWS]:
            book.active.append(row)
        book.create_sheet("Other").append(["nothing"])
        book.save("moods.xlsx")
    elif ".zip" in name:
        with zipfile.ZipFile("moods.zip", "w") as archive:
            archive.writestr("en.csv", table())
            archive.writestr("other.txt", "x")
    elif name.endswith("zst"):
        Path(name).write_bytes(zstandard.ZstdCompressor().compress(table()))
    else:
        Path("moods").mkdir()
        Path("moods/a.csv").write_bytes(table())


@pytest.mark.parametrize(("source", "stem"), [
    ("sqlite:///moods.db#moods", "moods"), ("sqlite:///moods.db#SELECT message, mood FROM moods", "moods"),
    ("moods.xlsx", "moods"), ("moods.xlsx#Sheet", "moods"), ("moods.zip#en.csv", "moods"), ("moods.csv.zst", "moods"),
    ("moods/*.csv", "moods"),
])  # fmt: skip
def test_init_writes_a_recipe_that_reads_them(
    source: str, stem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lay(source)
    path, said = start(source)
    assert (path, said["text"], said["label"], said["task"]) == (
        Path(f"{stem}.yaml"),
        "message",
        "mood",
        "classification",
    )
    options = read(path).options(tmp_path)
    monkeypatch.chdir("/")  # a recipe's paths are its own
    assert [(r.text, r.label) for r in data_side.gather(options).rows] == ROWS
    assert data_side.content(options.train[0], options) == data_side.content(options.train[0])


@pytest.mark.slow
def test_a_run_on_a_data_base(cli: Cli, recipe: Path) -> None:
    with Path("toy.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    made = sqlite3.connect("toy.db")
    made.execute("CREATE TABLE messages (text TEXT, label TEXT)")
    made.executemany("INSERT INTO messages VALUES (?, ?)", rows)
    made.commit()
    made.close()
    entry = "sqlite:///toy.db#SELECT text, label FROM messages"
    found = cli(
        "run",
        recipe,
        "--set",
        f"data.train={entry}",
        "--set",
        "training.epochs=1",
        "--set",
        "evaluation.baselines=[majority]",
        "--json",
    )
    assert found.code == 0, found.out
    noted = json.loads(Path("runs/toy/run.json").read_text(encoding="utf-8"))
    (name, sha256) = noted["inputs"]["train"][0]
    assert name.endswith("toy.db#SELECT text, label FROM messages")
    assert len(sha256) == 64


def test_a_password_stops_a_run_and_is_written_nowhere(cli: Cli, recipe: Path) -> None:
    for verb in ("check", "run"):
        found = cli(verb, recipe, "--set", "data.train=postgresql://me:hunter2@host/db#t", "--json")
        assert found.code == 3
        assert "hunter2" not in found.out + found.err and "${DB_PASSWORD}" in found.out + found.err
    assert not [path for path in Path().rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
