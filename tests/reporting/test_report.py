import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outlines import Outline, outline
from wrong_values import json_values, places

from tunewright.core.errors import RunDamaged
from tunewright.reporting import LIMIT, compose, render
from tunewright.reporting.loading import RunFiles

HOSTILE = "</title></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;<!-- {{ 7*7 }}"
FakeRun = Callable[..., Path]


def test_the_report_stands_beside_the_run_and_nothing_else_is_left(fake_run: FakeRun) -> None:
    folder = fake_run()
    before = {path.name for path in folder.iterdir()}
    path = render(folder)
    assert path == folder / "report.html"
    assert {entry.name for entry in folder.iterdir()} == before | {"report.html"}
    assert path.stat().st_mode & 0o777 == 0o644


def test_headings_are_in_order_and_every_link_arrives(fake_run: FakeRun) -> None:
    page = outline(fake_run())
    levels = [int(tag[1]) for tag, _ in page.tags if tag in {"h1", "h2", "h3", "h4"}]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    names = [found["id"] for _, found in page.tags if "id" in found]
    assert len(names) == len(set(names))
    assert {link["href"] for link in page.all("a")} <= {f"#{name}" for name in names}
    assert page.all("html")[0]["lang"] == "en"
    assert {"main", "nav", "header", "footer"} <= {tag for tag, _ in page.tags}


def test_every_figure_of_the_verdict_is_said_first(fake_run: FakeRun) -> None:
    words = outline(fake_run()).words()
    head = words[words.index("Better") : words.index("The ladder of contenders")]
    for part in (
        "is better than TF\N{NON-BREAKING HYPHEN}IDF",
        "+6.4",
        "[+3.3, +9.4]",
        "< 0.001",
        "3.8",
        "800",
        "very unlikely to be luck",
    ):
        assert part in head


def test_the_interval_of_a_comparison_says_its_own_level(fake_run: FakeRun) -> None:
    words = outline(fake_run()).words()
    head = words[words.index("Better") : words.index("The ladder of contenders")]
    assert "[+3.3, +9.4] at 97.5% confidence" in head
    assert "Difference in percentage points with its 97.5% interval" in head
    table = words[words.index("Paired comparisons") : words.index("Where it is right and wrong")]
    assert "Interval at" in table and table.count("97.5%") == 3


def test_a_log_loss_is_shown_in_its_own_unit(fake_run: FakeRun, fake_evidence: Any) -> None:
    """0.173 against 0.237 is no difference of 6.4 points, and the one with less is ahead."""
    figures = {"metric": "log_loss", "effect": -0.064, "low": -0.094, "high": -0.033, "smallest_detectable": 0.038}
    fake_evidence["verdict"].update(figures)
    fake_evidence["comparisons"][1].update(figures)
    words = outline(fake_run(evidence=fake_evidence)).words()
    head = words[words.index("Better") : words.index("The ladder of contenders")]
    assert "−0.064" in head and "[−0.094, −0.033]" in head and "0.038" in head and "Effect on log loss" in head
    assert "points" not in head and "6.4" not in head and "Difference in log loss" in head
    assert head.index("Fine-tuned minilm ahead") < head.index("TF-IDF + logistic regression ahead")
    table = words[words.index("Paired comparisons") : words.index("Where it is right and wrong")]
    assert "−0.064" in table and "[−0.094, −0.033]" in table and "+35.6" in table


def test_the_file_needs_nothing_from_outside(fake_run: FakeRun) -> None:
    page = outline(fake_run())
    assert not page.all("script", "link", "img", "iframe", "object")
    used = [value for _, found in page.tags for key, value in found.items() if key in {"src", "href", "xlink:href"}]
    assert all(value is not None and value.startswith("#") for value in used)
    assert not [key for _, found in page.tags for key in found if key.startswith("on")]


def test_images_have_names_and_header_cells_a_scope(fake_run: FakeRun) -> None:
    page = outline(fake_run())
    pictures = [k for k, (tag, found) in enumerate(page.tags) if tag == "svg" and found.get("role") == "img"]
    assert len(pictures) > 12
    assert all(page.tags[k + 1][0] == "title" for k in pictures)
    assert all(found.get("scope") in {"row", "col"} for found in page.all("th"))


def test_the_same_run_gives_the_same_bytes(fake_run: FakeRun) -> None:
    folder = fake_run()
    first = render(folder).read_bytes()
    assert render(folder).read_bytes() == first


def test_texts_are_joined_by_id_with_their_place(fake_run: FakeRun) -> None:
    words = outline(fake_run()).words()
    assert "送餐太慢了，面都坨了😡" in words
    assert "👩‍👩‍👧‍👦" in words
    assert "messages.csv, line 2" in words
    assert "gold negative" in words
    assert "all 935 characters" in words


def _poisoned(value: Any) -> Any:
    """Every text of a JSON value with markup in it, except the few that steer."""
    steering = {"better", "tuned", "baseline", "tfidf", "linear", "majority", "accuracy", "test"}
    if isinstance(value, dict):
        return {key: _poisoned(entry) if key != "id" else entry for key, entry in value.items()}
    if isinstance(value, list):
        return [_poisoned(entry) for entry in value]
    return HOSTILE + value if isinstance(value, str) and value not in steering else value


def test_no_text_becomes_markup(fake_run: FakeRun) -> None:
    folder = fake_run(texts=[HOSTILE])
    for name in ("evidence.json", "run.json", "data/card.json", "data/ledger.json"):
        path = folder / name
        path.write_text(json.dumps(_poisoned(json.loads(path.read_text(encoding="utf-8")))), encoding="utf-8")
    (folder / "recipe.yaml").write_text(HOSTILE, encoding="utf-8")
    page = outline(folder)
    assert not page.all("script", "img")
    assert page.words().count("<script>alert(1)</script>") > 100
    assert "{{ 7*7 }}" in page.words()


MISSING = [
    "run.json",
    "recipe.yaml",
    "history.jsonl",
    "evaluations.jsonl",
    "data/ledger.json",
    "data/card.json",
    "data/test.jsonl",
]


@pytest.mark.parametrize("damage", ["absent", "empty", "damaged"])
@pytest.mark.parametrize("name", MISSING)
def test_a_missing_or_damaged_file_is_shown_as_a_gap(fake_run: FakeRun, name: str, damage: str) -> None:
    folder = fake_run()
    if damage == "absent":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(b"" if damage == "empty" else b'{"torn": \xff')
    page = outline(folder)
    assert "Better" in page.words()
    classes = {found.get("class") for found in page.all("p")}
    assert classes & {"gap", "text absent"}


def test_an_empty_folder_but_for_the_evidence_still_gives_a_report(tmp_path: Path, fake_evidence: Any) -> None:
    (tmp_path / "evidence.json").write_text(json.dumps(fake_evidence), encoding="utf-8")
    words = outline(tmp_path).words()
    assert "run.json is not in the run folder" in words
    assert "The text of item 0000000000000000 is not in the run folder" in words


def test_a_torn_last_line_costs_only_that_line(fake_run: FakeRun) -> None:
    folder = fake_run()
    with (folder / "history.jsonl").open("ab") as history:
        history.write(b'{"step": 601, "lo')
    words = outline(folder).words()
    assert "history.jsonl has 1 damaged lines, which are left out" in words
    assert "Gradient norm" in words


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"[]", b"\xff", b'{"version": 2}', b'{"version": 1}', b"[" * 100_000]
)
def test_unusable_evidence_is_a_damaged_run(fake_run: FakeRun, content: bytes | None) -> None:
    folder = fake_run()
    if content is None:
        (folder / "evidence.json").unlink()
    else:
        (folder / "evidence.json").write_bytes(content)
    with pytest.raises(RunDamaged) as caught:
        render(folder)
    problem = caught.value.problems[0]
    assert "evidence.json" in problem.where
    assert "tunewright evaluate" in problem.to_do
    assert not (folder / "report.html").exists()


def test_one_contender_without_a_verdict_is_said_so(fake_run: FakeRun, fake_evidence: Any) -> None:
    fake_evidence["contenders"] = fake_evidence["contenders"][-1:]
    fake_evidence.update(comparisons=[], verdict=None, flips=None)
    words = outline(fake_run(evidence=fake_evidence)).words()
    assert "No verdict" in words
    assert "There is only one contender" in words
    assert "no paired comparison" in words


def test_a_metric_that_could_not_be_computed_gives_its_reason(fake_run: FakeRun) -> None:
    words = outline(fake_run()).words()
    assert "not available the contender gives no scores" in words
    assert "nan" not in words.lower().split()


@pytest.mark.parametrize(("outcome", "words"), [("worse", "is worse than"), ("can't tell", "can’t tell")])
def test_other_verdicts_have_their_own_headline(
    fake_run: FakeRun, fake_evidence: Any, outcome: str, words: str
) -> None:
    fake_evidence["verdict"]["outcome"] = outcome
    assert words in outline(fake_run(evidence=fake_evidence)).words()


def test_a_ledger_that_does_not_balance_is_denounced(fake_run: FakeRun) -> None:
    stage = {
        "name": "read",
        "in": 10,
        "added": 0,
        "out": 8,
        "dropped": 1,
        "quarantined": 0,
        "changed": 0,
        "reasons": {},
    }
    honest = outline(fake_run()).words()
    assert "8,121 + 0 = 8,109 + 12 + 0 ✓" in honest
    assert "7,900 rows used = 6,400 train + 700 validation + 800 test ✓" in honest
    told = outline(fake_run(ledger={"stages": [{**stage, "balances": True}]})).words()
    assert "10 + 0 against 8 + 1 + 0: off by 1" in told
    assert "Do not trust this run" in told
    later = {**stage, "name": "clean", "in": 7, "out": 7, "dropped": 0}
    assert "the stage before left 8" in outline(fake_run(ledger={"stages": [stage, later]})).words()


@pytest.mark.parametrize("classes", [2, 13, 77, 150])
def test_many_classes_and_huge_texts_stay_below_the_limit(fake_run: FakeRun, fake_evidence: Any, classes: int) -> None:
    labels = [f"class {k} " + "&" * 300 for k in range(classes)]
    fake_evidence["labels"] = labels
    for one in fake_evidence["contenders"]:
        one["confusion"] = [[(row * 7 + column * 3) % 5 + 1 for column in range(classes)] for row in range(classes)]
        one["per_class"] = [{**one["per_class"][0], "label": label} for label in labels]
    folder = fake_run(evidence=fake_evidence, texts=["<" * 50_000], steps=30_000)
    assert render(folder).stat().st_size < LIMIT
    words = outline(folder).words()
    assert "Confused most often" in words or classes == 2
    assert "cut here" in words


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_value_of_any_wrong_kind_anywhere_never_crashes(fake_run: FakeRun, data: st.DataObject) -> None:
    folder = fake_run(steps=20)
    name = data.draw(st.sampled_from(["evidence.json", "run.json", "data/card.json", "data/ledger.json"]))
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places(content)[1:]))
        inside = content
        for key in place[:-1]:
            inside = inside[key]
        inside[place[-1]] = data.draw(json_values)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
    try:
        Outline(render(folder).read_text(encoding="utf-8"))
    except RunDamaged as damaged:
        assert name == "evidence.json", damaged


def test_composing_touches_no_file(fake_evidence: Any) -> None:
    assert "measured alone" not in compose(RunFiles(name="x", evidence=fake_evidence))
