"""The report on multi-label and regression runs, in the page and in the terminal."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import fake_runs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from other_tasks import EMOTIONS, multilabel, regression, write_other
from outlines import Outline, outline
from wrong_values import json_values, places

from tunewright import screen
from tunewright.core.errors import RunDamaged
from tunewright.reporting import LIMIT, render, standings
from tunewright.reporting.formatting import measured

MAKE: dict[str, Callable[[], dict[str, Any]]] = {"multilabel": multilabel, "regression": regression}
both = pytest.mark.parametrize("task", list(MAKE))


def between(words: str, start: str, end: str) -> str:
    return words[words.index(start) : words.index(end)]


def anchors(page: Outline) -> list[str]:
    return [str(found["id"]) for tag, found in page.tags if tag == "section"]


def test_a_task_has_its_own_sections_and_no_others(tmp_path: Path) -> None:
    head, foot = ["verdict", "ladder", "comparisons"], ["training", "data", "cost", "lineage", "again", "not-tested"]
    own = {
        "classification": ["classes", "calibration", "mistakes", "flips"],
        "multilabel": ["labels", "calibration", "mistakes", "flips"],
        "regression": ["targets", "mistakes"],
    }
    for task, sections in own.items():
        folder = tmp_path / task
        if task == "classification":
            fake_runs.write_run(folder)
        else:
            write_other(folder, MAKE[task]())
        page = outline(folder)
        assert anchors(page) == head + sections + foot
        links = [str(link["href"]) for link in page.all("a") if link.get("class") != "skip"]
        assert links[: len(anchors(page))] == [f"#{name}" for name in anchors(page)]


@both
def test_nothing_of_classification_is_left(tmp_path: Path, task: str) -> None:
    page = outline(write_other(tmp_path / task, MAKE[task]()))
    words = page.words().replace("Majority class", "")
    for foreign in ("accuracy or", "Confusion matrix", "Classes", "class ", "Accuracy Contender"):
        assert foreign not in words, foreign
    assert not {"gap", "notice"} & {found.get("class") for found in page.all("p")}
    levels = [int(tag[1]) for tag, _ in page.tags if tag in {"h1", "h2", "h3", "h4"}]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(found.get("scope") in {"row", "col"} for found in page.all("th"))
    pictures = [k for k, (tag, found) in enumerate(page.tags) if tag == "svg" and found.get("role") == "img"]
    assert all(page.tags[k + 1][0] == "title" for k in pictures)


def test_labels_stand_by_frequency_with_their_figures_and_the_rivals(tmp_path: Path) -> None:
    found = multilabel()
    page = outline(write_other(tmp_path / "run", found))
    words = between(page.words(), "Where it is right and wrong, by label", "Is it as sure as it is right?")
    ordered = sorted(found["contenders"][3]["per_label"], key=lambda one: -one["support"])
    places = [words.index(f" {one['label']} {one['support']:,} ") for one in ordered]
    assert places == sorted(places) and len(places) == len(EMOTIONS)
    assert "F1 of Frozen minilm + linear head" in words
    first, theirs = ordered[0], {one["label"]: one for one in found["contenders"][2]["per_label"]}
    assert all(f" {100 * first[name]['value']:.1f}% [" in words for name in ("f1", "precision", "recall"))
    assert f"Frozen minilm + linear head {100 * theirs[first['label']]['f1']['value']:.1f}%" in words
    assert sum(found.get("class") == "level-bar" for found in page.all("svg")) == len(EMOTIONS)


def test_many_labels_fold_and_stay_below_the_limit(tmp_path: Path) -> None:
    found = multilabel()
    for one in found["contenders"]:
        one["per_label"] = [{**one["per_label"][0], "label": f"label {k} " + "&" * 300} for k in range(3000)]
    card = {**fake_runs.card(), "classes": [{"label": f"label {k}", "train": 3, "share": 0.1} for k in range(3000)]}
    folder = write_other(tmp_path / "run", found, card=card, texts=["<" * 50_000])
    assert render(folder).stat().st_size < LIMIT
    words = outline(folder).words()
    assert "160 rarer labels" in words and "2,800 still rarer labels" in words
    assert "2,800 more labels stand in data/card.json" in words


def test_what_was_missed_and_what_was_added_are_told_apart(tmp_path: Path) -> None:
    page = outline(write_other(tmp_path / "run", multilabel()))
    words = between(page.words(), "The answers with the most wrong labels", "What flipped")
    assert "right annoyance missed anger added disgust , sadness" in words
    assert "gold no label added joy" in words
    assert "answer no label missed grief" in words
    flips = between(page.words(), "What flipped against", "How the training went")
    assert "211 items gained" in flips and "gold joy, love joy →became joy, love" in flips.replace(
        "→ became", "→became"
    )
    assert "no label →became joy, love" in flips.replace("→ became", "→became")


def test_calibration_of_labels_speaks_of_pairs_and_needs_no_ece(tmp_path: Path) -> None:
    words = outline(write_other(tmp_path / "run", multilabel())).words()
    part = between(words, "Is it as sure as it is right?", "The answers with the most wrong labels")
    assert "pairs (most: 35,010)" in part and "share that holds" in part
    assert "ECE" not in part and "not available" not in part


def test_the_data_chapter_counts_labels_and_labels_an_item(tmp_path: Path) -> None:
    words = outline(write_other(tmp_path / "run", multilabel())).words()
    part = between(words, "The data and what became of every row", "Speed and memory")
    assert "Labels Label Train Validation Test" in part and "admiration 4,000 400 400 50.0%" in part
    assert "Labels an item, mean 1.18 median 1 most 5 items with none 312" in part


def test_metrics_of_a_target_are_plain_numbers_in_its_unit(tmp_path: Path) -> None:
    words = outline(write_other(tmp_path / "run", regression())).words()
    head = between(words, "Better", "The ladder of contenders")
    assert "+0.140" in head and "Effect on Pearson correlation" in head
    assert "points" not in head and "%" not in head.replace("98.3%", "")
    ladder = between(words, "The ladder of contenders", "Paired comparisons")
    assert "0.842 [0.826, 0.858]" in ladder and "0.526 [0.506, 0.546]" in ladder
    assert "not available the answers are all the same" in ladder
    assert "%" not in ladder.replace("95%", "")
    tests = between(words, "Paired comparisons", "How close it comes")
    assert "−0.140 [−0.162, −0.118]" in tests and "percentage points" not in tests


def test_the_contender_without_a_value_is_last_and_the_lower_error_first(tmp_path: Path) -> None:
    found = regression()
    for metric in ("pearson", "mae"):
        found["verdict"]["metric"] = metric
        words = outline(write_other(tmp_path / metric, found)).words()
        first = between(words, "The ladder of contenders", "Every metric")
        titles = ("Fine-tuned minilm", "Frozen minilm + ridge", "TF-IDF + ridge", "Training mean")
        places = [first.index(title) for title in titles]
        assert places == sorted(places)
        lead = {"pearson": "Pearson correlation Contender", "mae": "Mean absolute error (lower is better) Contender"}
        assert first.index(lead[metric]) == min(first.index(one) for one in lead.values())


def test_no_value_stands_below_a_value_under_zero(tmp_path: Path) -> None:
    found = regression()
    found["contenders"][1]["metrics"]["pearson"].update(value=-0.2, low=-0.3, high=-0.1)
    first = between(outline(write_other(tmp_path / "run", found)).words(), "The ladder of contenders", "Every metric")
    assert first.index("TF-IDF + ridge") < first.index("Training mean")
    assert [line[0] for line in standings.ladder(found).lines][2:] == ["TF-IDF + ridge", "Training mean"]


def test_metrics_of_different_units_have_axes_of_their_own(tmp_path: Path) -> None:
    """Small errors are told apart in the drawing, and large ones do not squeeze the correlations."""
    for scale in (0.001, 12_000.0):
        page = render(write_other(tmp_path / str(scale), regression(scale=scale), scale)).read_text(encoding="utf-8")
        ladder = Outline(
            page[page.index('<div class="pair">\n<figure class="forest">') : page.index("<h3>Every metric")]
        )
        rings = [float(str(found["cx"]).rstrip("%")) for found in ladder.all("circle")]
        assert len(rings) == 5  # three rungs with an error, two with a correlation
        assert max(rings[:2]) - min(rings[:2]) > 40 and max(rings[2:]) - min(rings[2:]) > 40


def test_gold_is_drawn_against_the_answers_of_two_contenders(tmp_path: Path) -> None:
    page = outline(write_other(tmp_path / "run", regression()))
    clouds = [found for found in page.all("g") if str(found.get("class")).startswith("cloud")]
    assert [found["class"] for found in clouds] == ["cloud tuned", "cloud rival"]
    assert sum(found.get("class") == "diagonal above" for found in page.all("line")) == 2
    assert sum("r" in found and "cx" in found for found in page.all("circle")) > 800
    words = between(page.words(), "How close it comes", "The largest errors")
    assert "400 of the 1,379 are drawn." in words and "above it the answer is too high" in words
    assert "similarity gold values 2.6 on average, spread 1.53" in words
    assert words.index("Fine-tuned minilm 0.842") < words.index("Frozen minilm + ridge 0.702")


def test_the_axes_of_gold_and_answer_are_one(tmp_path: Path) -> None:
    """An item on the diagonal has the same share of the way across as upright."""
    found = regression()
    found["contenders"][3]["points"] = [[0.0, 0.0], [5.0, 5.0], [2.0, 2.0]]
    found["contenders"][2]["points"] = [[0.0, 9.0]]
    page = render(write_other(tmp_path / "run", found)).read_text(encoding="utf-8")
    cloud = page[page.index('class="cloud tuned"') - 400 : page.index('class="cloud tuned"') + 400]
    start = page.rindex("<g", 0, page.index('class="cloud tuned"'))
    marks = Outline(page[start : page.index("</g>", start) + 4]).all("circle")
    across = [float(str(mark["cx"]).rstrip("%")) for mark in marks]
    upright = [float(str(mark["cy"])) for mark in marks]
    parts = [(x - 14) / (95 - 14) for x in across], [(342 - y) / (342 - 12) for y in upright]
    assert parts[0] == pytest.approx(parts[1], abs=2e-3), cloud
    assert 0 < parts[0][0] < parts[0][2] < parts[0][1] < 0.6


def test_the_largest_errors_have_both_texts(tmp_path: Path) -> None:
    words = outline(write_other(tmp_path / "run", regression())).words()
    part = between(words, "The largest errors Answers", "How the training went")
    assert "A man is playing the cello. Second text: A man seated is playing the cello." in part
    assert "gold 4.8 answer 0.7 off by 4.1" in part


def test_several_targets_of_a_large_unit(tmp_path: Path) -> None:
    found = regression(("quality", "price", "days"), scale=12_000.0)
    words = outline(write_other(tmp_path / "run", found, 12_000.0)).words()
    assert "by the target quality, the first of 3" in words
    assert "quality: gold 57,600, answer 8,400 price: gold 57,600, answer 8,400" in words
    assert "off by 2.5 spreads on average" in words
    assert "6,317 [6,077, 6,557]" in words
    data = between(words, "The data and what became of every row", "Speed and memory")
    assert "Targets" in data and "price" in data and "highest 60,000" in data


def test_the_histogram_of_a_target_holds_every_row(tmp_path: Path) -> None:
    page = outline(write_other(tmp_path / "run", regression()))
    data = between(page.words(), "The data and what became of every row", "Speed and memory")
    assert "6,400 rows in 20 stretches; the fullest, from 4.75 to 5, has 500 rows" in data
    assert "lowest 0 median 2.8 mean 2.7 highest 5 standard deviation 1.52" in data
    assert "Classes" not in data and "Labels" not in data


@pytest.mark.parametrize(
    "broken",
    [
        None,
        {},
        {"edges": [0, 1], "counts": [1, 2]},
        {"edges": [1, 0], "counts": [3]},
        {"edges": [0, 1], "counts": [-1]},
    ],
)
def test_a_broken_histogram_is_a_gap(tmp_path: Path, broken: Any) -> None:
    card = {**fake_runs.card(), "classes": [], "targets": [{"name": "similarity", "histogram": broken}]}
    words = outline(write_other(tmp_path / "run", regression(), card=card)).words()
    assert "holds no histogram of this target" in words


def test_validation_curves_follow_the_task(tmp_path: Path) -> None:
    for task, titles in (("multilabel", ("F1, micro", "F1, macro")), ("regression", ("Pearson", "Spearman"))):
        words = outline(write_other(tmp_path / task, MAKE[task]())).words()
        part = between(words, "Validation metrics", "Learning rate")
        assert all(title in part for title in titles)
        assert (" 75% " in part or " 70% " in part or " 50% " in part) == (task == "multilabel")
        assert ("75.7%" in words) == (task == "multilabel") and ("0.757" in words) == (task == "regression")


@pytest.mark.parametrize(
    ("value", "plain", "change"),
    [(0.4172, "0.417", "+0.417"), (-23.456, "−23.46", "−23.46"), (51234.5, "51,234", "+51,234"), (0.0, "0.000", "0.000"),
     (0.00012, "1.2e-4", "+1.2e-4"), (None, "–", "–"), (float("nan"), "–", "–"), (123.44, "123.4", "+123.4")],
)  # fmt: skip
def test_a_quantity_keeps_about_four_digits(value: Any, plain: str, change: str) -> None:
    assert (measured(value), measured(value, sign=True)) == (plain, change)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_value_of_any_wrong_kind_never_crashes(tmp_path: Path, data: st.DataObject) -> None:
    task = data.draw(st.sampled_from(list(MAKE)))
    folder = write_other(tmp_path / task, MAKE[task](), steps=20)
    name = data.draw(st.sampled_from(["evidence.json", "data/card.json"]))
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    for _ in range(data.draw(st.integers(1, 3))):
        parent = data.draw(st.sampled_from(places(content)[1:]))
        inside = content
        try:
            for key in parent[:-1]:
                inside = inside[key]
            inside[parent[-1]] = data.draw(json_values)
        except (TypeError, KeyError, IndexError):
            continue
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
    try:
        outline(folder)
    except RunDamaged as damaged:
        assert name == "evidence.json", damaged


def test_no_text_becomes_markup(tmp_path: Path) -> None:
    hostile = "</title><script>alert(1)</script>"
    for task, make in MAKE.items():
        text = json.dumps(make())
        for word in ("anger", "similarity", "Fine-tuned minilm"):
            text = text.replace(word, word + hostile)
        folder = write_other(tmp_path / task, json.loads(text))
        page = outline(folder)
        assert not page.all("script") and page.words().count(hostile) > 10


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    monkeypatch.setattr(screen.out, "width", 110)
    monkeypatch.setattr(screen.out, "_file", None)  # `file` would be put back as a stream that is closed by then
    return lambda: capsys.readouterr().out


def test_the_terminal_shows_the_ladder_of_classification_as_ever(told: Callable[[], str]) -> None:
    screen.judged(fake_runs.evidence())
    lines = [" ".join(line.split()) for line in told().splitlines()]
    assert lines[1] == "accuracy 95% interval macro F1 log-loss"
    assert lines[2] == "Fine-tuned minilm 75.4% 72.4 to 78.4 74.1% 0.446"
    assert lines[5].startswith("Majority class 39.8%") and lines[5].endswith("–")


def test_the_terminal_shows_labels(told: Callable[[], str]) -> None:
    screen.judged(multilabel())
    shown = " ".join(told().split())
    assert "micro F1 95% interval macro F1 exact set" in shown
    assert "Fine-tuned minilm 56.2% 55.0 to 57.4 42.2% 47.2%" in shown
    assert "label items precision recall F1" in shown and "and 16 more in the report" in shown


def test_the_terminal_shows_targets(told: Callable[[], str]) -> None:
    screen.judged(regression())
    shown = " ".join(told().split())
    assert "Pearson 95% interval Spearman mean error" in shown
    assert "Fine-tuned minilm 0.842 0.826 to 0.858 0.834 0.526" in shown
    assert "Training mean – – – 1.200" in shown and shown.index("TF-IDF") < shown.index("Training mean")
    assert "target" not in shown
    screen.judged(regression(("quality", "price")))
    assert "target Pearson Spearman mean error RMSE quality 0.842" in " ".join(told().split())


def test_the_ladder_follows_the_verdicts_metric() -> None:
    found = regression()
    found["verdict"]["metric"] = "rmse"
    table = standings.ladder(found)
    assert table.columns == ["", "RMSE", "95% interval", "Pearson", "Spearman", "mean error"]
    assert [line[0] for line in table.lines] == [
        "Fine-tuned minilm", "Frozen minilm + ridge", "TF-IDF + ridge", "Training mean",
    ]  # fmt: skip
    assert table.bold == 0


def test_runs_of_several_tasks_name_their_metric(told: Callable[[], str]) -> None:
    base = {"status": "finished", "created": "today", "verdict": "better", "against": "tfidf"}
    plain = {**base, "name": "messages", "accuracy": 0.754}
    screen.listed_runs([plain, {**base, "name": "torn", "accuracy": None}], Path("runs"))
    shown = told()
    assert "accuracy" in shown and "75.4%" in shown and "figure" not in shown
    screen.listed_runs([plain, {**base, "name": "pairs", "metric": "pearson", "value": 0.842}], Path("runs"))
    shown = told()
    assert "figure" in shown and "accuracy 75.4%" in shown and "Pearson 0.842" in shown


def test_a_run_is_shown_by_the_metric_of_its_verdict(told: Callable[[], str]) -> None:
    figures = {"tuned": {"mae": {"value": 0.5}, "pearson": {"value": 0.842, "low": 0.826, "high": 0.858}}}
    run = {"name": "pairs", "task": "regression", "status": "finished", "created": "today"}
    facts = {"run": run, "verdict": {"metric": "pearson", "sentence": "Better."}, "figures": figures, "recipe": {}}
    screen.shown_run(facts)
    assert "Pearson 0.842 (0.826 to 0.858)" in " ".join(told().split())


def test_check_tells_labels_and_targets(told: Callable[[], str]) -> None:
    target = {"name": "similarity", "low": 0.0, "median": 2.8, "mean": 2.7012, "high": 5.0, "sd": 1.5}
    screen._gold({"classes": {}, "targets": [target]})
    assert told() == "target:  similarity from 0 to 5, median 2.8, mean 2.701\n"
    screen._gold({"classes": {"joy": 4}, "labels_per_item": {"mean": 1.18, "median": 1, "max": 5, "none": 312}})
    assert told() == "labels:  joy 4\nan item: 1.18 labels on average, at most 5; 312 have none\n"
    screen._gold({"classes": {"joy": 4, "fear": 2}})
    assert told() == "classes: joy 4, fear 2\n"
