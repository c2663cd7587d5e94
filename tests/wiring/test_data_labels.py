"""`tunewright data agree | arbitrate | queue`, and the step `arbitrate` of a recipe: from annotators to soft labels in training."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest
from toy_runs import Cli

from tunewright.bundled import toy_rows
from tunewright.core.errors import RecipeError
from tunewright.core.records import Annotation, Source
from tunewright.curating import open_source
from tunewright.data.journal import Draft, Journal
from tunewright.data.steps import Room
from tunewright.data.steps.arbitrate import Arbitrate, gather_annotations
from tunewright.data.targets.classes import Classes
from tunewright.recipe import read as read_recipe
from tunewright.running import work

SKILL = {"anna": 0.95, "ben": 0.9, "chris": 0.85, "spam": 0.0}


def annotated(path: Path, items: int = 150) -> dict[str, str]:
    """A table of toy texts with three honest annotators and one who draws labels; the truth by text."""
    rng, truth = random.Random(0), {}
    labels = sorted({label for _, label in toy_rows(50)})
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["item", "who", "label", "text"])
        for i, (text, label) in enumerate(dict(toy_rows(items)).items()):
            truth[text] = label
            for who, skill in SKILL.items():
                wrong = [name for name in labels if name != label]
                said = label if rng.random() < skill else rng.choice(labels if who == "spam" else wrong)
                writer.writerow([i, who, said, text])
    return truth


COLUMNS = ["--item", "item", "--annotator", "who", "--label", "label", "--text", "text"]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    annotated(tmp_path / "a.csv")
    return Path("a.csv")


def test_agree_says_how_far_and_who_does_not_look(cli: Cli, table: Path) -> None:
    said = cli("data", "agree", str(table), *COLUMNS)
    assert said.code == 0 and "Krippendorff's alpha" in said.out and "agrees no better than chance" in said.out
    found = cli("data", "agree", str(table), *COLUMNS, "--json").value
    assert {a["annotator"] for a in found["by_annotator"] if a["suspected"]} == {"spam"}
    alpha = found["figures"]["alpha"]
    assert alpha["low"] < alpha["value"] < alpha["high"] and found["ok"]
    assert cli("data", "agree", str(table), *COLUMNS, "--least", "0.99", "--json").code == 9
    alone = cli("data", "agree", str(table), "--annotators", "who", "--item", "item", "--least", "0.1", "--json")
    assert alone.code == 9 and "one annotator" in alone.value["figures"]["alpha"]["refused"], (
        "what is refused is no pass"
    )
    wrong = cli("data", "agree", str(table), *COLUMNS, "--level", "ordinla")
    assert wrong.code == 2 and "did you mean 'ordinal'?" in wrong.err + wrong.out


def test_arbitrate_writes_labels_and_holds_them_against_the_truth(cli: Cli, table: Path) -> None:
    truth = annotated(table)
    rows = read(table)
    with Path("truth.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["item", "truth"], *{(r["item"], truth[r["text"]]) for r in rows}])
    said = cli("data", "arbitrate", str(table), *COLUMNS, "--truth", "truth.csv", "--out", "labels.jsonl", "--json")
    assert said.code == 0 and said.value["truth"]["right"]["value"] >= said.value["truth"]["majority"]["value"] > 0.8
    written = [json.loads(line) for line in Path("labels.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(written) == len(truth) and all(r["text"] in truth and r["soft"] for r in written)
    shown = cli("data", "arbitrate", str(table), *COLUMNS, "--truth", "truth.csv")
    assert "exact sign test" in shown.out and "converged" in shown.out


def test_a_queue_is_exported_answered_on_a_screen_and_beats_all(cli: Cli, table: Path) -> None:
    majority = ["--method", "majority", "--below", "0.6"]
    made = cli("data", "queue", "export", str(table), *COLUMNS, *majority, "--out", "q.jsonl", "--json")
    n = made.value["items"]
    assert made.code == 0 and n > 4
    said = cli("data", "queue", "review", "q.jsonl", "--by", "anna", stdin="2\ns\n1q")
    assert said.code == 0 and f"2 of {n} items answered" in said.out and "1-9 choose" in said.out
    assert cli("data", "queue", "review", "q.jsonl", "--json").value["answered"] == 2, "it goes on where it was"
    left = cli(
        "data", "arbitrate", str(table), *COLUMNS, *majority, "--gold", "q.answers.jsonl", "--out", "l.jsonl", "--json"
    )
    assert left.value["queued"] == n - 2
    gold = [r for r in map(json.loads, Path("l.jsonl").read_text(encoding="utf-8").splitlines()) if r["how"] == "gold"]
    assert len(gold) == 2 and all(r["probability"] == 1 for r in gold)


def test_a_queue_in_a_file_comes_back(cli: Cli, table: Path) -> None:
    cli("data", "queue", "export", str(table), *COLUMNS, "--method", "majority", "--below", "0.6", "--out", "q.csv")
    rows = read(Path("q.csv"))
    rows[0]["answer"] = json.loads(rows[0]["labels"])[0][:-1]
    write(Path("q.csv"), rows)
    wrong = cli("data", "queue", "import", "q.csv", "--by", "ben")
    assert wrong.code == 3 and "did you mean" in wrong.err + wrong.out
    rows[0]["answer"] = json.loads(rows[0]["labels"])[0]
    write(Path("q.csv"), rows)
    found = cli("data", "queue", "import", "q.csv", "--by", "ben", "--json").value
    assert (found["taken"], found["answers"], found["file"]) == (1, 1, "q.answers.jsonl")


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


RECIPE = """
data:
  train: a.csv
  text: text
  label: label
  annotator: who
  item: item
  steps:
    - strip
    - arbitrate: {method: METHOD, soft: true, queue_below: 0.6}
model: toy
training: {epochs: 1, batch: 16}
evaluation: {resamples: 100, baselines: [majority]}
"""


def test_a_recipe_joins_annotators_and_learns_from_what_is_believed(table: Path, tmp_path: Path) -> None:
    truth = annotated(table)
    recipe = tmp_path / "r.yaml"
    recipe.write_text(RECIPE.replace("METHOD", "majority"), encoding="utf-8")
    found = open_source(recipe).prepared()
    records = [r for part in found.splits.values() for r in part]
    reasons = {s.name: dict(s.reasons) for s in found.ledger.stages}
    assert all(s.balances for s in found.ledger.stages)
    assert reasons["annotations"] == {"annotation_joined": 3 * len(truth)}
    undecided = reasons["arbitrate"]["undecided"]
    assert undecided > 4 and len(records) + undecided == len(truth)
    soft = [r for r in records if r.soft]
    assert soft and all(abs(sum(dict(r.soft).values()) - 1) < 1e-4 and r.soft[0][0] == r.label for r in soft)
    assert all(len(r.annotations) == 4 for r in records)
    assert found.found["arbitrate"]["agreement"]["figures"]["alpha"]["value"] > 0.3


def test_answers_settle_what_a_run_has_set_aside(cli: Cli, table: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(RECIPE.replace("METHOD", "majority"), encoding="utf-8")
    assert cli("data", "check", "r.yaml", "--out", "checked", "--json").code in (0, 9)
    n = cli("data", "queue", "export", "checked", "--out", "q.jsonl", "--json").value["items"]
    rows = [json.loads(line) for line in Path("q.jsonl").read_text(encoding="utf-8").splitlines()]
    assert n == len(rows) > 4 and rows[0]["reason"] == "undecided" and len(rows[0]["candidates"]) > 1
    for r in rows[:3]:
        r["answer"] = r["labels"][-1]
    Path("q.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    assert cli("data", "queue", "import", "q.jsonl", "--json").value["taken"] == 3
    gold = str(tmp_path / "q.answers.jsonl")
    recipe.write_text(RECIPE.replace("METHOD, ", f"majority, gold: {json.dumps(gold)}, "), encoding="utf-8")
    found = open_source(recipe).prepared()
    stage = next(s for s in found.ledger.stages if s.name == "arbitrate")
    assert stage.reasons["adjudicated"] == 3 and stage.reasons["undecided"] == n - 3
    by_text = {r.text: r for part in found.splits.values() for r in part}
    assert all(by_text[r["text"]].label == r["answer"] and not by_text[r["text"]].soft for r in rows[:3])
    event = next(e for e in found.ledger.events if e.reason == "adjudicated")
    assert " by " in event.detail


def test_soft_labels_reach_a_run(table: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(RECIPE.replace("METHOD", "majority"), encoding="utf-8")
    events = list(work(read_recipe(recipe), tmp_path / "run", base=tmp_path, until="train"))
    assert events[-1].kind == "finished"
    kept = [json.loads(line) for line in (tmp_path / "run/data/train.jsonl").read_text(encoding="utf-8").splitlines()]
    assert any("soft" in r for r in kept)
    recipe.write_text(RECIPE.replace("METHOD", "majority") + "objective: {custom: {file: loss.py}}\n", encoding="utf-8")
    (tmp_path / "loss.py").write_text("def loss(scores, targets):\n    return scores.sum(-1)\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="are not sure"):
        list(work(read_recipe(recipe), tmp_path / "other", base=tmp_path, until="train"))


def draft(text: str, label: str | None, by: str = "", **more: Any) -> Draft:
    said = (Annotation(by, label),) if by and label else ()
    return Draft(text, label, None, Source("f", len(text)), None, key=text, id=text, annotations=said, **more)


def test_rows_without_annotators_stay_and_sides_are_not_mixed() -> None:
    rows = [
        draft("a", "x"),
        draft("b", "x", "anna"),
        draft("b", "y", "ben"),
        draft("a", "y"),
        draft("b", None, "chris"),
    ]
    rows[4].annotations = ()
    journal = Journal()
    left = gather_annotations(rows, journal)
    assert [r.text for r in left] == ["a", "b", "a", "b"] and len(left[1].annotations) == 2
    assert journal.ledger.stages[-1].balances and journal.ledger.stages[-1].dropped == 1
    one, two = draft("c", "x", "anna"), draft("c", "y", "ben")
    two.split = "test"
    assert len(gather_annotations([one, two], Journal())) == 2
    items = [draft("c", "x", "anna", item="1"), draft("C!", "y", "ben", item="1"), draft("c", "y", "ben", item="2")]
    assert [len(r.annotations) for r in gather_annotations(items, Journal())] == [2, 1]


def test_a_method_that_does_not_fit_the_task_is_refused() -> None:
    rows = [draft("b", "x", "anna"), draft("b", "y", "ben")]
    with pytest.raises(RecipeError, match="mean"):
        Arbitrate(method="mean")(rows, Room(Journal(), Classes(), 0))


def test_numbers_are_arbitrated_by_their_middle(tmp_path: Path) -> None:
    from tunewright.data.rows import Columns
    from tunewright.data.targets.numbers import Numbers

    target = Numbers(Columns("text", "label"))
    said = {"b": ("[2.0]", "[3.0]", "[7.0]"), "c": ("[1.0]", "[1.0]", "[1.0]")}
    for method, expected in (("median", [3.0, 1.0]), ("mean", [4.0, 1.0])):
        rows = [draft(t, label, f"w{i}") for t, labels in said.items() for i, label in enumerate(labels)]
        room = Room(Journal(), target, 0)
        left = Arbitrate(method=method, spread_above=9.0)(rows, room)  # type: ignore[arg-type]
        assert [json.loads(r.label or "")[0] for r in left] == expected and not any(r.soft for r in left)
        torn = [draft(t, label, f"w{i}") for t, labels in said.items() for i, label in enumerate(labels)]
        left = Arbitrate(method=method, spread_above=2.0)(torn, Room(Journal(), target, 0))  # type: ignore[arg-type]
        assert [r.text for r in left] == ["c"]


def test_a_models_opinion_breaks_a_tie_in_a_step(tmp_path: Path) -> None:
    (tmp_path / "said.csv").write_text("id,p_x,p_y\nb,0.2,0.8\n", encoding="utf-8")
    rows = [draft(text, label, by) for text in "bc" for label, by in (("x", "anna"), ("y", "ben"))]
    room = Room(Journal(), Classes(), 0, base=tmp_path)
    left = Arbitrate(method="majority", opinion="said.csv")(rows, room)
    assert [(r.text, r.label) for r in left] == [("b", "y")] and dict(left[0].soft) == pytest.approx(
        {"y": 0.6, "x": 0.4}
    )
    assert [q.reason for q in room.journal.quarantined] == ["undecided"]
