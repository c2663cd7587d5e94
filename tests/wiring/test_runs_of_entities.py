"""Named entities from a column file to evidence, predictions and a judgement on other rows, with the toy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from toy_runs import Cli

import tunewright
from tunewright.evaluation import read_all

TYPES = ["LOC", "PER"]


def sentences(first: int, count: int) -> str:
    """People follow `mr`, places follow `in`; which names they are is told by nothing else."""
    names = ["bad", "good", "fine", "poor", "great", "awful", "nice", "sad"]
    out = []
    for i in range(first, first + count):
        a, b, c = names[i % 8], names[(i // 8) % 8], names[(i // 64) % 8]
        rows = [("mr", "O"), (a, "B-PER"), (b, "I-PER"), ("is", "O"), ("in", "O"), (c, "B-LOC"), (str(i), "O")]
        out.append("".join(f"{token} {tag}\n" for token, tag in rows))
    return "\n".join(out)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with the whole ladder."""
    place = tmp_path_factory.mktemp("entities")
    (place / "train.bio").write_text(sentences(0, 300), encoding="utf-8")
    recipe = place / "recipe.yaml"
    recipe.write_text(
        yaml.safe_dump({
            "task": "token_classification", "data": {"train": "train.bio", "shares": {"validation": 0.1, "test": 0.3}},
            "model": "toy", "training": {"epochs": 12, "batch": 8, "rate": 0.01},
            "evaluation": {"baselines": ["lexicon", "tfidf", "linear"]},
        }),
        encoding="utf-8",
    )  # fmt: skip
    tunewright.run(recipe, folder=place / "run")
    return place / "run"


def evidence(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "evidence.json").read_text(encoding="utf-8"))
    return found


def test_a_run_ends_with_evidence_and_a_report(run: Path) -> None:
    found = evidence(run)
    assert found["task"] == "token_classification" and found["labels"] == TYPES
    assert found["verdict"]["metric"] == "f1" and found["entities"] == 2 * found["items"]
    reached = {c["name"]: c["metrics"]["f1"]["value"] for c in found["contenders"]}
    assert set(reached) == {"tuned", "lexicon", "tfidf", "linear"}
    assert reached["tfidf"] == 1.0 and reached["tuned"] > 0.9, reached
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Where it is right and wrong, by type" in page and "Traceback" not in page
    assert json.loads((run / "data" / "card.json").read_text(encoding="utf-8"))["scheme"] == "IOB2"
    saved = json.loads((run / "model" / "tunewright.json").read_text(encoding="utf-8"))
    assert saved["labels"] == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"] and saved["types"] == TYPES


def test_the_saved_model_says_what_the_run_said(run: Path) -> None:
    tuned = next(c for c in read_all(run) if c.name == "tuned").predictions
    rows = [json.loads(line) for line in (run / "data" / "test.jsonl").read_text(encoding="utf-8").splitlines()]
    found = tunewright.load(run).predict([row["text"] for row in rows])
    said = {row["id"]: one.as_json()["entities"] for row, one in zip(rows, found, strict=True)}
    for item, spans in zip(tuned.ids, tuned.output, strict=True):  # type: ignore[attr-defined]
        assert [[e["start"], e["end"], e["type"]] for e in said[item]] == [list(span) for span in spans]
    texts = {row["id"]: row["text"] for row in rows}
    assert all(texts[i][e["start"] : e["end"]] == e["text"] for i, es in said.items() for e in es)


def test_the_command_line_names_entities_and_judges_other_rows(run: Path, cli: Cli, tmp_path: Path) -> None:
    told = cli("predict", run, "mr good bad is in fine 7")
    assert told.code == 0 and "PER: good bad" in told.out and "LOC: fine" in told.out
    other = tmp_path / "other.conll"
    other.write_text(sentences(1000, 40) + "\nmr O\nnice B-CAT\n", encoding="utf-8")
    told = cli("evaluate", run, "--data", other, "--json")
    assert told.code == 0, told.err
    found = json.loads((run / "evaluations" / "other" / "evidence.json").read_text(encoding="utf-8"))
    assert found["data"]["items"] == 40 and found["data"]["why"] == {"with a label that the model does not know": 1}
