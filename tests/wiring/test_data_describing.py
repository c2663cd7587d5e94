"""`tunewright data check | card | split | explain | diff | export` as a user types them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from toy_runs import Cli

LABELS = ("good", "bad", "neither")


def rows(n: int = 300) -> list[tuple[str, str, str, str]]:
    """Distinct texts in two languages, with a customer and a day."""
    words = ("the parcel came late", "very fine service", "包裹到得很晚", "服务非常好")
    return [(f"{words[i % 4]} {i}", LABELS[i % 3], f"customer {i % 50}", f"2026-03-{1 + i % 28:02d}") for i in range(n)]


def lay(path: Path, more: list[tuple[str, str, str, str]] | None = None) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label", "customer", "day"))
        writer.writerows(rows() + (more or []))
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return lay(
        tmp_path / "rows.csv",
        [("  the PARCEL came late 0 ", "good", "c", "2026-01-01"), ("", "bad", "c", "2026-01-01")],
    )


def test_check_accounts_for_every_row_and_writes_what_it_found(cli: Cli, source: Path, tmp_path: Path) -> None:
    said = cli("data", "check", source, "--out", tmp_path / "out")
    assert said.code == 0, said.out + said.err
    assert "Exact duplicates: 1" in said.out and "Empty texts: 1" in said.out and "green" in said.out
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["entered"] == 302 and card["rows"] == 300 and all(stage["balances"] for stage in card["stages"])
    assert "| strip |" in (tmp_path / "out" / "card.md").read_text()
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {
        "train.jsonl",
        "manifest.jsonl",
        "card.json",
        "ledger.jsonl",
    }


def test_a_red_gate_is_an_exit_code_of_its_own_and_limits_can_be_set(cli: Cli, source: Path) -> None:
    said = cli("data", "check", source, "--gate", "least_class=1000", "--json")
    assert said.code == 9 and json.loads(said.out)["ok"] is False
    red = [gate for gate in json.loads(said.out)["gates"] if gate["state"] == "red"]
    assert [gate["name"] for gate in red] == ["least_class"] and red[0]["value"] < 1000
    amber = json.loads(cli("data", "check", source, "--gate", "test=1000", "--json").out)
    assert amber["ok"] and {g["name"]: g["state"] for g in amber["gates"]}["test"] == "amber"
    wrong = cli("data", "check", source, "--gate", "leest_class=3")
    assert wrong.code == 2 and "least_class" in wrong.err
    assert cli("data", "check", source, "--gate", "test").code == 2


def test_card_is_markdown_or_json(cli: Cli, source: Path, tmp_path: Path) -> None:
    said = cli("data", "card", source)
    assert said.code == 0 and said.out.startswith("# Data card") and "| Exact duplicates | 1 |" in said.out
    assert cli("data", "card", source, "--out", tmp_path / "card.json").code == 0
    assert json.loads((tmp_path / "card.json").read_text())["gates"]


def test_split_by_group_by_time_and_in_folds(cli: Cli, source: Path, tmp_path: Path) -> None:
    said = cli("data", "split", source, "--by", "group", "--column", "customer", "--out", tmp_path / "g", "--json")
    assert said.code == 0, said.err
    where: dict[str, set[str]] = {}
    for name in ("train", "validation", "test"):
        for line in (tmp_path / "g" / f"{name}.jsonl").read_text().splitlines():
            where.setdefault(json.loads(line)["group"], set()).add(name)
    assert len(where) == 50 and all(len(splits) == 1 for splits in where.values())
    cli("data", "split", source, "--by", "time", "--column", "day", "--out", tmp_path / "t")
    days = {
        name: [json.loads(line)["time"] for line in (tmp_path / "t" / f"{name}.jsonl").read_text().splitlines()]
        for name in ("train", "test")
    }
    assert max(days["train"]) < min(days["test"])
    folds = json.loads(cli("data", "split", source, "--folds", "4", "--stratify", "--json").out)["sizes"]
    assert sum(sizes["test"] for sizes in folds.values()) == 300 and len(folds) == 4


def test_a_frozen_division_holds_when_rows_come(cli: Cli, source: Path, tmp_path: Path) -> None:
    cli("data", "split", source, "--freeze", tmp_path / "m.jsonl", "--out", tmp_path / "one", "--seed", "3")
    more = lay(tmp_path / "more.csv", [(f"new {i}", LABELS[i % 3], "c", "2026-05-01") for i in range(40)])
    said = cli("data", "split", more, "--manifest", tmp_path / "m.jsonl", "--out", tmp_path / "two", "--seed", "4")
    assert said.code == 0, said.err
    diff = json.loads(cli("data", "diff", tmp_path / "one", tmp_path / "two", "--json").out)
    assert diff["same"] == 300 and diff["added"] == 40 and not diff["moved"] and not diff["removed"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--by", "group"], "--column"), (["--by", "colour"], "content, group, time"), (["--folds", "1"], "2 or more"),
        (["--by", "time", "--column", "day", "--stratify"], "strata"), (["--by", "time", "--column", "customer"], "no time in"),
        (["--manifest", "none.jsonl"], "--freeze"), (["--validation", "0.6", "--test", "0.6"], "below 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_divided_is_told(cli: Cli, source: Path, words: list[str], told: str) -> None:
    said = cli("data", "split", source, *words)
    assert said.code in (2, 3) and told in said.err and "Traceback" not in said.err


def test_explain_follows_a_row_by_id_line_and_text(cli: Cli, source: Path, tmp_path: Path) -> None:
    cli("data", "check", source, "--out", tmp_path / "out")
    by_line = json.loads(cli("data", "explain", tmp_path / "out", "302", "--json").out)[0]
    assert by_line["ended"] == "left out" and [e["reason"] for e in by_line["events"]] == ["outer_space", "duplicate"]
    assert by_line["raw"] == "  the PARCEL came late 0 ,good,c,2026-01-01"
    first = json.loads(cli("data", "explain", tmp_path / "out", "came late 8", "--json").out)[0]
    again = json.loads(cli("data", "explain", tmp_path / "out", first["row"]["id"], "--json").out)[0]
    assert again == first and first["ended"] in ("train", "validation", "test") and first["line"] == 10
    shown = cli("data", "explain", tmp_path / "out", "rows.csv:303")
    assert shown.code == 0 and "empty_text" in shown.out and "left out" in shown.out
    none = cli("data", "explain", tmp_path / "out", "no such text")
    assert none.code == 3 and "FILE:LINE" in none.err
    assert cli("data", "explain", tmp_path, "3").code == 3


def test_diff_names_what_came_went_moved_and_was_relabelled(cli: Cli, source: Path, tmp_path: Path) -> None:
    cli("data", "check", source, "--out", tmp_path / "a")
    text = (
        source.read_text(encoding="utf-8").replace(" 7,bad", " 7,good").replace("very fine service 9,", "a new text,")
    )
    (tmp_path / "other.csv").write_text(text, encoding="utf-8")
    cli("data", "check", tmp_path / "other.csv", "--out", tmp_path / "b")
    found = json.loads(cli("data", "diff", tmp_path / "a", tmp_path / "b", "--json").out)
    assert (found["added"], found["removed"], found["relabelled"]) == (1, 1, {"bad to good": 1}), found
    assert "relabelled" in cli("data", "diff", tmp_path / "a", tmp_path / "b").out
    assert "no difference" in cli("data", "diff", tmp_path / "a", tmp_path / "a").out


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "hf", "openai"])
def test_what_is_exported_is_read_back_here_row_for_row(cli: Cli, source: Path, tmp_path: Path, kind: str) -> None:
    said = cli(
        "data", "export", source, "--to", kind, "--out", tmp_path / "out", "--instruction", "How is it?", "--json"
    )
    assert said.code == 0, said.err
    files = json.loads(said.out)["files"]
    assert sum(files.values()) == 300
    train = next(Path(name) for name in files if "train" in name)
    if kind == "openai":
        lines = [json.loads(line)["messages"] for line in train.read_text(encoding="utf-8").splitlines()]
        assert [m["role"] for m in lines[0]] == ["system", "user", "assistant"] and lines[0][0][
            "content"
        ] == "How is it?"
        found = {(m[1]["content"], m[2]["content"]) for m in lines}
    else:
        place = train.parent if kind == "hf" else train
        back = json.loads(cli("data", "check", place, "--text", "text", "--label", "label", "--json").out)
        assert back["card"]["rows"] == (300 if kind == "hf" else files[str(train)])
        return
    wanted = {(text, label) for text, label, _, _ in rows()}
    assert found <= wanted and len(found) == files[str(train)]


def test_another_form_is_refused_with_the_closest(cli: Cli, source: Path, tmp_path: Path) -> None:
    said = cli("data", "export", source, "--to", "parket", "--out", tmp_path / "out")
    assert said.code == 2 and "parquet" in said.err
