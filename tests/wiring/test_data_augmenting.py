"""`tunewright data augment` as a user types it, with a language model of a server on this machine and of a folder."""

from __future__ import annotations

import csv
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toy_runs import Cli

from fake_writer import Server

NOUNS = {
    "food": ("pizza", "salad", "dinner", "soup", "bread"),
    "cars": ("engine", "wheel", "road", "fuel", "brake"),
}


def text(label: str, i: int) -> str:
    rng = random.Random(f"{label}{i}")
    return f"we really like the {rng.choice(NOUNS[label])} and {rng.choice(NOUNS[label])}, it was no {i} big movie"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        writer.writerows((text(label, i), label) for i in range(60) for label in NOUNS)
        writer.writerows((f"价格便宜，质量第{i}，味道很好", "food") for i in range(20))
    return path


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.server.shutdown()
    made.server.server_close()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_new_rows_are_written_with_their_parents(cli: Cli, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "train.jsonl"
    said = cli("data", "augment", source, "--operators", "synonyms,typos", "--no-ablate", "--out", out, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    rows = lines(out)
    new = [row for row in rows if "augmented" in row.get("flags", ())]
    assert len(new) == found["added"] == found["rows"]["new"] > 50 and len(rows) == found["rows"]["train"]
    ids = {row["id"] for row in rows}
    assert all(row["parents"][0] in ids and row["split"] == "train" for row in new)
    assert {row["flags"][1] for row in new} == {"synonyms", "typos"} == set(found["used"])
    assert any("质量" in row["text"] for row in new)
    again = cli(
        "data", "augment", source, "--operators", "synonyms,typos", "--no-ablate", "--out", tmp_path / "b.jsonl"
    )
    assert lines(tmp_path / "b.jsonl") == rows and "held-out rows" in again.out and "kept" in again.out


def test_the_trial_is_shown_with_its_intervals(cli: Cli, source: Path, tmp_path: Path) -> None:
    said = cli("data", "augment", source, "--operators", '["deletion", {"swap": 0.3}]', "--out", tmp_path / "x.csv")
    assert said.code == 0, said.err
    assert "macro F1" in said.out and "off" in said.out and "no operator pays" in said.out and "[" in said.out
    kept = cli(
        "data", "augment", source, "--operators", "swap", "--keep-anyway", "--only-new", "--out", tmp_path / "y.csv"
    )
    assert kept.code == 0 and "does not pay" in kept.out
    with (tmp_path / "y.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows and all(row["parents"] for row in rows)


def test_quotas_whole_and_limit(cli: Cli, source: Path, tmp_path: Path) -> None:
    ask = ("data", "augment", source, "--operators", "typos", "--no-ablate", "--json", "--out", tmp_path / "t.jsonl")
    found = json.loads(cli(*ask, "--whole", "--quota", "balance").out)
    assert found["rows"] == {"train": 160, "validation": 0, "test": 0, "new": 20} and found["by_label"] == {"cars": 20}
    found = json.loads(cli(*ask, "--quota", "food=3", "--limit", "60").out)
    assert found["by_label"] == {"food": 3} and sum(found["rows"].values()) == 60 + 2 * 3


def test_a_language_model_behind_an_address(cli: Cli, source: Path, tmp_path: Path, server: Server) -> None:
    writer = json.dumps({"address": server.address, "model": "m", "cache": str(tmp_path / "cache")})
    operators = '["paraphrase", {"back_translation": {"through": ["German"]}}, {"generate": {"domain": "talk"}}]'
    ask = ("data", "augment", source, "--operators", operators, "--no-ablate", "--writer", writer, "--limit", "60",
           "--gates", '["same", "leaked"]', "--out", tmp_path / "w.jsonl", "--json")  # fmt: skip
    said = cli(*ask)
    assert said.code == 0, said.err
    flags = Counter(row["flags"][1] for row in lines(tmp_path / "w.jsonl") if "flags" in row)
    found = json.loads(said.out)
    assert found["used"] == ["paraphrase", "back_translation", "generate"] and sum(flags.values()) == found["added"]
    assert (
        set(found["yields"]) == set(found["used"])
        and found["yields"]["paraphrase"]["asked"] + found["added"] == found["rows"]["train"]
    )
    asked = len(server.asked)
    assert asked > 60 and cli(*ask).out == said.out and len(server.asked) == asked, "nothing is asked twice"
    server.script = [(401, {"error": {"message": "who are you"}}, {})]
    refused = cli(*ask[:-1], "--writer", json.dumps({"address": server.address, "model": "other", "cache": ""}))
    assert refused.code == 4 and "who are you" in refused.err and "Traceback" not in refused.err


def test_a_model_in_a_folder_writes(cli: Cli, source: Path, tmp_path: Path, shared: Path) -> None:
    given = {"folder": str(shared / "models" / "stories260K"), "max_tokens": 8, "cache": str(tmp_path / "cache")}
    said = cli("data", "augment", source, "--operators", "generate", "--no-ablate", "--writer", json.dumps(given),
               "--limit", "12", "--gates", "same", "--out", tmp_path / "g.jsonl", "--json")  # fmt: skip
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["yields"]["generate"]["kept"] + sum(found["yields"]["generate"]["rejected"].values()) > 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--operators", "sinonyms"], 2, "did you mean 'synonyms'"),
        (["--operators", "paraphrase"], 2, "--writer"),
        (["--gates", "similar"], 2, "--encoder"),
        (["--quota", "food"], 2, "LABEL=NUMBER"),
        (["--quota", "nobody=3"], 3, "no row of train has this label"),
        (["--out", "x.txt"], 2, ".jsonl"),
        (["--operators", "[oops"], 2, "no JSON list"),
        (["--writer", "{oops"], 2, "no JSON object"),
        (["--copies", "0"], 2, "copies"),
    ],
)
def test_what_is_wrong_is_said(cli: Cli, source: Path, words: list[str], code: int, said: str) -> None:
    told = cli("data", "augment", source, "--no-ablate", *words)
    assert told.code == code and said in told.err and "Traceback" not in told.err


def test_a_recipe_s_own_step_is_done(cli: Cli, source: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "task: classification\nmodel: toy\ndata:\n  train: rows.csv\n  text: text\n  label: label\n"
        "  steps: [mojibake, strip, {augment: {operators: [{typos: {share: 0.2}}], ablate: false, weight: 0.5}}]\n"
    )
    found = json.loads(cli("data", "augment", recipe, "--json", "--out", tmp_path / "a.jsonl").out)
    assert found["used"] == ["typos"] and found["added"] > 0
    new = [row for row in lines(tmp_path / "a.jsonl") if "flags" in row]
    assert all(row["weight"] == 0.5 for row in new)
    checked = cli("data", "check", recipe, "--json")
    stage = next(s for s in json.loads(checked.out)["card"]["stages"] if s["name"] == "augment")
    assert stage["added"] - stage["dropped"] == found["added"] and stage["balances"]
