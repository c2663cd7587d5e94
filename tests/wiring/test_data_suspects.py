"""`tunewright data suspects | score | balance` as a user types them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from toy_runs import Cli, lines, write_rows

from tunewright.bundled import toy_rows


@pytest.fixture
def source(tmp_path: Path) -> Path:
    with (tmp_path / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for i in range(240):
            text = f"{('very good', '非常好吃')[i % 4 // 2] if i % 2 else ('really awful', '太难吃了')[i % 4 // 2]} {i}"
            writer.writerow((text, "pos" if (i % 2 == 1) != (i < 8) else "neg"))
        writer.writerow(("nobody knows", ""))
    return tmp_path / "rows.csv"


def test_from_suspects_to_corrected_rows(cli: Cli, source: Path, tmp_path: Path) -> None:
    listing = tmp_path / "suspects.jsonl"
    said = cli("data", "suspects", source, "--top", "20", "--out", listing, "--rounds", "1")
    assert said.code == 0, said.err
    assert "review" in said.out
    facts, *found = lines(listing)
    assert facts["rows"] == 240
    wrong = {row["text"] for row in found[:8]}
    assert all(row["given"] != row["suggested"] for row in found[:8])
    keys = "r\n\nd\nx\ns\nr\n9\n2\nq\n"  # suggested, drop, (no key), skip, (no label) the second, stop
    said = cli("data", "suspects", "review", listing, "--by", "ann", stdin=keys)
    assert said.code == 0, said.err
    given = lines(tmp_path / "suspects.answers.jsonl")
    assert [one["action"] for one in given] == ["relabel", "drop", "skip", "relabel"]
    assert given[3]["label"] == "pos" and given[0]["by"] == "ann"
    assert cli("data", "suspects", "review", listing, stdin="k\n" * 300).code == 0
    whole = cli("data", "suspects", "review", listing, "--json").value
    assert whole["answered"] == 119  # 20 and a slice of 100, one of them skipped
    assert whole["precision"]["low"] <= whole["precision"]["value"] <= whole["precision"]["high"]
    said = cli("data", "suspects", "apply", source, listing, "--out", tmp_path / "mended.jsonl", "--json")
    assert said.code == 0, said.err
    assert said.value["dropped"] == 1 and said.value["rows"] == 240
    assert all(stage["balances"] for stage in said.value["ledger"]["stages"])
    first = next(row for row in lines(tmp_path / "mended.jsonl") if row["id"] == given[0]["id"])
    assert first["label"] == given[0]["label"] and first["text"] in wrong
    assert given[1]["id"] not in {row["id"] for row in lines(tmp_path / "mended.jsonl")}


def test_probabilities_of_another_model(cli: Cli, source: Path, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(source.read_text(encoding="utf-8"))))
    file = tmp_path / "p.jsonl"
    lines_ = [{"text": r["text"], "probabilities": {"pos": 0.9 if i % 2 else 0.1, "neg": 0.1 if i % 2 else 0.9}}
              for i, r in enumerate(rows)]  # fmt: skip
    file.write_text("".join(json.dumps(x) + "\n" for x in lines_))
    said = cli("data", "suspects", source, "--probabilities", file, "--top", "8", "--json")
    assert said.code == 0, said.err
    assert {one["text"] for one in said.value["suspects"]} == {r["text"] for r in rows[:8]}
    file.write_text("".join(json.dumps(x) + "\n" for x in lines_[5:]) + '{"text": "x"}\n')
    said = cli("data", "suspects", source, "--probabilities", file)
    assert said.code == 3
    assert "5 rows" in said.err and "line 237" in said.err


def test_runs_of_all_folds_are_out_of_sample_probabilities(cli: Cli, tmp_path: Path) -> None:
    rows = list(dict(toy_rows(260)).items())
    other = {"warm": "cold", "cold": "wet", "wet": "warm"}
    source = write_rows(
        tmp_path / "rows.csv", [(text, other[label] if i < 8 else label) for i, (text, label) in enumerate(rows)]
    )
    recipe = tmp_path / "rows.yaml"
    recipe.write_text(
        "data: {train: rows.csv, text: text, label: label, shares: {validation: 0, test: 0.2}, split: {folds: 2}}\n"
        "model: toy\ntraining: {steps: 60, batch: 8, rate: 0.01, keep: last}\n"
        "evaluation: {baselines: [majority], resamples: 100}\n"
    )
    for fold in "01":
        said = cli("run", recipe, "--set", f"data.split.fold={fold}", "--folder", tmp_path / f"fold-{fold}")
        assert said.code == 0, said.err
    one = cli("data", "suspects", source, "--probabilities", tmp_path / "fold-0", "--json").value
    words = [word for fold in "01" for word in ("--probabilities", tmp_path / f"fold-{fold}")]
    both = cli("data", "suspects", source, *words, "--method", "loss", "--top", "300", "--json").value
    assert both["rows"] == len(rows) and 0.35 < one["rows"] / len(rows) < 0.65
    order = [row["text"] for row in both["suspects"]]
    assert sum(order.index(text) for text, _ in rows[:8]) / 8 < len(rows) / 4, (
        "wrong labels are among the first quarter"
    )
    (tmp_path / "empty").mkdir()
    said = cli("data", "suspects", source, "--probabilities", tmp_path / "empty")
    assert said.code in (3, 6) and "Traceback" not in said.err


def test_what_is_wrong_is_said(cli: Cli, source: Path, tmp_path: Path) -> None:
    assert "stacked" in cli("data", "suspects", source, "--method", "best").err
    assert cli("data", "suspects", "review", tmp_path / "none.jsonl").code == 3
    assert cli("data", "balance", source, "--plan", "magic").code == 2
    assert cli("data", "balance", source, "--out", tmp_path / "x.json").code == 2
    assert cli("data", "score", source, "--by", "rareness").code == 2
    assert cli("data", "score", source, "--by", "disagreement,instruction").code == 3


def test_scores_of_rows(cli: Cli, source: Path, tmp_path: Path) -> None:
    said = cli("data", "score", source, "--by", "length,rarity,probe", "--out", tmp_path / "scored.jsonl")
    assert said.code == 0, said.err
    assert "rarity" in said.out
    rows = lines(tmp_path / "scored.jsonl")
    assert len(rows) == 240  # the probe asks labelled rows
    assert all(set(row["difficulty"]) == {"length", "rarity", "probe"} for row in rows)
    assert len(cli("data", "score", source, "--json").value["rows"]) == 241


def test_balance_and_plan(cli: Cli, source: Path, tmp_path: Path) -> None:
    said = cli("data", "balance", source, "--by", "label,language", "--plan", "loss", "--out", tmp_path / "plan.json")
    assert said.code == 0, said.err
    made = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert {one["cell"]["language"] for one in made["cells"]} >= {"zh"}
    value = cli("data", "balance", source, "--plan", "sampler", "--power", "0.5", "--json").value
    assert value["slices"][0]["cells"][0]["rows"] == 120
    assert value["plan"]["recipe"] == {"training": {"sampler": {"balanced": {"power": 0.5}}}}
