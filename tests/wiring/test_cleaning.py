"""`tunewright data clean` from files to files: what is written can be read again, and every row is accounted for."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tunewright.cleaning import asked, clean
from tunewright.cli_data import app
from tunewright.core.errors import DataError, RecipeError, StorageError
from tunewright.curating import open_source
from tunewright.data.row_files import writing

ROWS = [
    ("  Great  phone, call 13812345678 ", "good"),
    ("<p>Bad &amp; broken</p>", "bad"),
    ("ok", "good"),
    ("", "bad"),
    ("ＡＢＣ店很好，联系ann@b.org", "good"),
    *[(f"row number {i} is quite fine", "good" if i % 2 else "bad") for i in range(10)],
]
STEPS = ["html", "width", "white_space", "strip", "personal_data", "length: {least_characters: 3}"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("review", "stars"), *ROWS])
    return path


def run(*args: str) -> Any:
    return CliRunner().invoke(app, ["clean", *args])


def from_steps(*steps: str) -> list[str]:
    return [part for step in steps for part in ("--step", step)]


def test_rows_are_cleaned_and_every_one_is_accounted_for(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "clean.csv"
    done = run(str(source), "--out", str(out), *from_steps(*STEPS), "--text", "review", "--label", "stars", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[:3] == [
        {"review": "Great phone, call <phone>", "stars": "good"},
        {"review": "Bad & broken", "stars": "bad"},
        {"review": "ABC店很好，联系<email>", "stars": "good"},
    ]
    assert said["rows"] == len(rows) == 13
    assert all(stage["balances"] for stage in said["stages"])
    events = [
        json.loads(line) for line in (tmp_path / "clean.csv.ledger.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    sums = json.loads((tmp_path / "clean.csv.ledger.json").read_text(encoding="utf-8"))
    assert sums["stages"] == said["stages"]
    assert [stage["name"] for stage in sums["stages"]] == [
        "read", "html", "width", "white_space", "strip", "personal_data", "length", "empty"
    ]  # fmt: skip
    left = [event for event in events if event["outcome"] in ("dropped", "quarantined")]
    assert 15 - len(left) == len(rows)
    assert {event["line"] for event in left} == {4, 5}
    assert "13812345678" not in repr(events) + done.stdout
    assert "ann@b.org" not in repr(events) + done.stdout
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("ending", ["jsonl", "tsv", "parquet", "csv"])
def test_every_ending_holds_the_same_rows_and_can_be_cleaned_again(source: Path, tmp_path: Path, ending: str) -> None:
    opened = open_source(source, text="review", label="stars")
    first = clean(opened, tmp_path / f"a.{ending}", asked(STEPS), size=4)
    again = clean(
        open_source(tmp_path / f"a.{ending}", text="review", label="stars"), tmp_path / "b.jsonl", asked(STEPS)
    )
    assert first.rows == again.rows == 13
    assert all(not sums["changed"] and not sums["dropped"] for sums in again.stages.values())
    rows = [json.loads(line) for line in (tmp_path / "b.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["review"] for row in rows][:2] == ["Great phone, call <phone>", "Bad & broken"]
    if ending == "parquet":
        assert pq.read_table(tmp_path / "a.parquet").column_names == ["review", "stars"]


def test_batches_of_any_size_make_the_same_files(source: Path, tmp_path: Path) -> None:
    opened, made = open_source(source, text="review", label="stars"), []
    for size in (1, 4, 1000):
        clean(opened, tmp_path / "x.jsonl", asked(STEPS), size=size)
        made.append([(tmp_path / f"x.jsonl{more}").read_bytes() for more in ("", ".ledger.json")])
        made[-1].append(
            "".join(sorted((tmp_path / "x.jsonl.ledger.jsonl").read_text(encoding="utf-8").splitlines())).encode()
        )
    assert made[0] == made[1] == made[2]


def test_flags_are_written(source: Path, tmp_path: Path) -> None:
    opened = open_source(source, text="review", label="stars")
    clean(opened, tmp_path / "x.csv", asked(["personal_data: flag"]))
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["flags"] == "personal_phone"
    assert "13812345678" in rows[0]["review"]
    assert rows[1]["flags"] == ""


def test_conversations_stay_conversations(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    row = {
        "messages": [
            {"role": "user", "content": " hi,  call 13812345678"},
            {"role": "assistant", "content": "ok  then "},
        ]
    }
    path.write_text("".join(json.dumps(row) + "\n" for _ in range(3)), encoding="utf-8")
    opened = open_source(path, task="chat")
    clean(opened, tmp_path / "out.jsonl", asked(["white_space", "strip", "personal_data"]))
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows[0] == {
        "messages": [{"role": "user", "content": "hi, call <phone>"}, {"role": "assistant", "content": "ok then"}]
    }
    with pytest.raises(RecipeError, match="jsonl"):
        clean(opened, tmp_path / "out.csv", asked(["strip"]))


def test_a_recipes_steps_are_done_and_those_of_all_rows_are_named(source: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "task: classification\nmodel: toy\ndata:\n  train: rows.csv\n  text: review\n  label: stars\n"
        "  steps: [html, strip, near_duplicates]\n", encoding="utf-8",
    )  # fmt: skip
    done = run(str(recipe), "--out", str(tmp_path / "out.jsonl"))
    assert done.exit_code == 0, done.output
    assert "not done here: near_duplicates" in done.output
    assert "HTML in the text (html): 1" in done.output


def test_what_is_wrong_is_said_at_once(source: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        asked(["htlm", "near_duplicates", "urls: gone", "length", "{: x"])
    assert len(error.value.problems) == 5
    assert "html" in str(error.value)
    opened = open_source(source, text="review", label="stars")
    with pytest.raises(RecipeError, match="is read"):
        clean(opened, source)
    with pytest.raises(RecipeError, match=r"\.parquet"):
        clean(opened, tmp_path / "out.xlsx")
    with pytest.raises(DataError, match="no row is left"):
        clean(opened, tmp_path / "out.csv", asked(["length: {least_characters: 1000}"]))
    with pytest.raises(StorageError):
        clean(opened, source / "out.csv", asked(["strip"]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv"]


CELLS = st.fixed_dictionaries({"text": st.text(max_size=12), "label": st.none() | st.text(min_size=1, max_size=3)})


@settings(max_examples=40, deadline=None)
@given(st.lists(CELLS, min_size=1, max_size=6))
def test_whatever_stands_in_rows_stands_in_the_file(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "x.jsonl"
    with writing(path, ["text", "label"]) as put:
        put(rows[:2])
        put(rows[2:])
    assert [json.loads(line) for line in path.read_bytes().split(b"\n") if line] == rows
    with writing(path.with_suffix(".parquet"), ["text", "label"]) as put:
        put(rows)
    assert pq.read_table(path.with_suffix(".parquet")).to_pylist() == rows
    with writing(path.with_suffix(".csv"), ["text", "label"]) as put:
        put(rows)
    with path.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == [row["text"] for row in rows]


def test_real_messages(shared: Path, tmp_path: Path) -> None:
    opened = open_source(shared / "data/sms_spam/SMSSpamCollection")
    done = clean(opened, tmp_path / "sms.parquet", asked(["mojibake", *STEPS]), size=1000)
    assert done.rows == 5569
    assert {name: sums["changed"] for name, sums in done.stages.items() if sums["changed"]} == {
        "mojibake": 35, "html": 309, "white_space": 260, "strip": 188, "personal_data": 413
    }  # fmt: skip
    assert pq.read_table(tmp_path / "sms.parquet").column_names == ["text", "label"]
