"""`check --show`: rows of every task as training reads them, and what reads like a template's marks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from toy_runs import Cli

from tunewright.selftesting import toys
from tunewright.tasks import TASKS

Rows = list[tuple[str, list[tuple[str, bool, str | None]]]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toys")
    toys.lay(folder)
    return folder


def check(cli: Cli, place: Path, task: str, *words: object, **changes: Any) -> Any:
    recipe = place / f"{task}.yaml"
    recipe.write_text(yaml.safe_dump({**toys.recipe(task, place), **changes}))
    return cli("check", recipe, "--folder", place / "none", *words)


def shown(cli: Cli, place: Path, task: str, n: int = 2, **changes: Any) -> Rows:
    said = check(cli, place, task, "--show", n, "--json", **changes)
    assert said.code == 0, said.out
    found: Rows = said.value["facts"]["shown"]
    return found


def text(pieces: list[tuple[str, bool, str | None]], learnt: bool | None = None) -> str:
    return "".join(piece for piece, yes, _ in pieces if learnt is None or yes == learnt)


def test_chat(place: Path, cli: Cli) -> None:
    rows = shown(cli, place, "chat", 6)
    lines = [json.loads(line) for line in (place / "chats.jsonl").read_text().splitlines()]
    assert len(rows) == 6 and rows[0][0].startswith("chats.jsonl, line ")
    for title, pieces in rows:
        messages = lines[int(title.rsplit(" ", 1)[1]) - 1]["messages"]
        replies = [m["content"] for m in messages if m["role"] == "assistant"]
        assert text(pieces, True) == "".join(f"{reply}</s>" for reply in replies)
        assert [p for p, _, role in pieces if role == "user"] == [m["content"] for m in messages if m["role"] == "user"]


def test_preference_and_reward_show_both_replies(place: Path, cli: Cli) -> None:
    for task in ("preference", "reward"):
        (one, chosen), (two, rejected) = shown(cli, place, task, 1)
        assert one.endswith(", chosen") and two.endswith(", rejected")
        assert "It is " in text(chosen) and "I do not know" in text(rejected)
        if task == "preference":
            assert text(chosen, True).startswith("It is ") and "What is it like" not in text(rejected, True)
        else:
            assert text(chosen, True) == "</s>"


@pytest.mark.parametrize("model", ["toy", "toy-t5"])
def test_sequences(model: str, place: Path, cli: Cli) -> None:
    ((_, pieces),) = shown(cli, place, "seq2seq", 1, model=str(place / model) if model != "toy" else model)
    source, target = text(pieces, False), text(pieces, True)
    words = source.replace("</s>", "").split()
    assert target.removesuffix("</s>").split() == words[::-1] and target.endswith("</s>")


def test_documents_and_masked_documents(place: Path, cli: Cli) -> None:
    ((_, pieces),) = shown(cli, place, "language_modeling", 1)
    assert text(pieces, False) == "<s>" and text(pieces, True).endswith(" .</s>")
    ((_, pieces),) = shown(cli, place, "language_modeling", 1, model=str(place / "toy-bert"))
    assert 1 <= sum(yes for _, yes, _ in pieces) <= 4 and "[MASK]" not in text(pieces)
    assert "[CLS]" in text(pieces, False)


def test_entities_have_their_types_and_what_is_cut(place: Path, cli: Cli) -> None:
    rows = [json.loads(line) for line in (place / "spans.jsonl").read_text().splitlines()]
    for title, pieces in shown(cli, place, "token_classification", 5):
        row = rows[int(title.rsplit(" ", 1)[1]) - 1]
        assert text(pieces) == row["text"] and all(yes for _, yes, _ in pieces)
        spans = [(row["text"][s["start"] : s["end"]], s["label"]) for s in row["spans"]]
        assert [(p, role) for p, _, role in pieces if role != "O"] == spans
    for _, pieces in shown(cli, place, "token_classification", 5, model={"name": "toy", "max_tokens": 5}):
        read = text(pieces, True)
        assert len(read.split()) <= 3 and [role for _, yes, role in pieces if not yes] in ([], ["cut"])


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_labels_and_what_is_cut(task: str, place: Path, cli: Cli) -> None:
    for _, pieces in shown(cli, place, task, 3):
        assert pieces[0][2] == "read" and all(role != "cut" for _, _, role in pieces)
        assert sum(yes for _, yes, _ in pieces) <= 1
    cut = 0
    for _, pieces in shown(cli, place, task, 8, model={"name": "toy", "max_tokens": 6}):
        parts = {role: piece for piece, _, role in pieces}
        cut += "cut" in parts
        assert len(parts["read"].split()) == (4 if "cut" in parts else len(parts["read"].split()))
    assert cut


@pytest.mark.parametrize("task", list(TASKS))
def test_on_the_terminal(task: str, place: Path, cli: Cli) -> None:
    said = check(cli, place, task, "--show", 1)
    assert said.code == 0 and "⟦" in said.out and ", line " in said.out
    assert "⟦" not in check(cli, place, task).out


@pytest.mark.parametrize("task", ["chat", "preference", "reward"])
def test_text_like_the_templates_marks_is_a_warning(task: str, place: Path, tmp_path: Path, cli: Cli) -> None:
    source = place / toys.DATA[task]["train"]
    rows = source.read_text().splitlines()
    changes = {"data": {**toys.recipe(task, place)["data"], "train": str(tmp_path / "rows.jsonl")}}
    (tmp_path / "rows.jsonl").write_text("\n".join(rows) + "\n")
    assert "control_text" not in check(cli, place, task, "--json", **changes).value["facts"]
    first = json.loads(rows[0])
    if task == "chat":
        first["messages"][-2]["content"] += "</s>### Assistant:"
    else:
        first["prompt"] += "</s>### Assistant:"
    (tmp_path / "rows.jsonl").write_text("\n".join([json.dumps(first), *rows[1:]]) + "\n")
    said = check(cli, place, task, "--json", **changes)
    assert said.code == 0 and said.value["facts"]["control_text"] == 1
    (warning,) = [w for w in said.value["warnings"] if "template's own marks" in w["found"]]
    assert "line 1" in warning["found"] and "'</s>' in a message of the user" in warning["found"]
