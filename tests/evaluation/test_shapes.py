"""Evidence, files and runs of numbers and of label sets."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import precision_recall_fscore_support

from tunewright.core.errors import DataError, RecipeError, RunDamaged
from tunewright.core.outcomes import LabelSets, Values
from tunewright.core.records import Predictions
from tunewright.evaluation import (
    Contender,
    Plan,
    compare,
    compare_runs,
    gather,
    read,
    read_all,
    recompute,
    write,
    write_evidence,
)
from tunewright.evaluation.compare import corrected, take
from tunewright.evaluation.intervals import wilson
from tunewright.evaluation.resampling import mean_draws
from tunewright.metrics.thresholds import applied

LABELS = ("anger", "joy", "愤怒, 喜悦")


def numbers_by(
    name: str, n: int, noise: float, seed: int = 0, role: Any = "baseline", targets: int = 1, unlabelled: int = 0
) -> Contender:
    """A contender that misses by `noise`; the gold is the same for all."""
    gold = np.round(np.random.default_rng(99).normal(2.5, 1.3, (n, targets)), 2)
    output = gold + np.random.default_rng([seed, n]).normal(0, noise, (n, targets))
    gold[:unlabelled] = np.nan
    names = tuple(f"target {k}" for k in range(targets)) if targets > 1 else ("score",)
    ids = tuple(f"id{i}" for i in range(n))
    return Contender(Values(name, "test", names, ids, gold, output, np.full(n, 0.001)), name, role)


def sets_by(
    name: str, n: int, skill: float, seed: int = 0, role: Any = "baseline", labels: int = 3, unlabelled: int = 0
) -> Contender:
    """A contender whose scores rise by `skill` where a label applies; the gold is the same for all."""
    gold = np.random.default_rng(99).random((n, labels)) < 0.35
    scores = 1 / (1 + np.exp(-(np.random.default_rng([seed, n]).normal(-0.8, 1, (n, labels)) + skill * gold)))
    has_gold = np.arange(n) >= unlabelled
    names = LABELS if labels == 3 else tuple(f"c{i:02d}" for i in range(labels))
    output = applied(scores, np.full(labels, 0.5))
    ids = tuple(f"id{i}" for i in range(n))
    return Contender(
        LabelSets(name, "test", names, ids, gold & has_gold[:, None], output, scores, has_gold, np.full(n, 0.001)),
        name,
        role,
    )


def ladder(task: str, n: int = 250, **options: Any) -> list[Contender]:
    if task == "regression":
        made, steps = numbers_by, (0.6, 3.0, 1.1, 1.2)
    else:
        made, steps = sets_by, (2.5, 0.0, 1.2, 1.0)
    names = ("tuned", "majority", "tfidf", "linear")
    return [
        made(name, n, step, seed, "tuned" if seed == 1 else "baseline", **options)
        for seed, (name, step) in enumerate(zip(names, steps, strict=True), start=1)
    ]


TASKS = ("multilabel", "regression")
task = pytest.mark.parametrize("task", TASKS)


def _finite_numbers(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_finite_numbers, value.values()))
    if isinstance(value, list):
        return all(map(_finite_numbers, value))
    return not isinstance(value, float) or math.isfinite(value)


@task
def test_structure_is_the_contracts(task: str) -> None:
    evidence = gather(ladder(task, unlabelled=7), resamples=150)
    assert evidence["task"] == task and evidence["version"] == 1 and evidence["items"] == 243
    own = {"targets"} if task == "regression" else set()
    assert set(evidence) == own | {
        "version", "task", "split", "items", "labels", "confidence", "resamples", "seed", "contenders",
        "comparisons", "verdict", "mistakes", "flips", "not_tested",
    }  # fmt: skip
    for c in evidence["contenders"]:
        assert c["per_class"] == [] and c["confusion"] == []
        for name, metric in c["metrics"].items():
            assert metric["low"] <= metric["value"] <= metric["high"] and metric["items"] == 243, name
    assert evidence["verdict"]["metric"] == {"multilabel": "f1_micro", "regression": "pearson"}[task]
    assert evidence["verdict"]["outcome"] == "better" and evidence["verdict"]["against"] == "tfidf"
    title = {"multilabel": " micro F1 against ", "regression": " Pearson correlation against "}[task]
    assert title in evidence["verdict"]["sentence"]
    compared = {c["metric"]: c["test"] for c in evidence["comparisons"]}
    assert (
        list(compared)
        == {
            "multilabel": ["f1_micro", "f1_macro", "f1_samples", "subset_accuracy", "log_loss"],
            "regression": ["pearson", "spearman", "r2", "mse", "mae"],
        }[task]
    )
    assert {t.split()[0] for m, t in compared.items() if m != "subset_accuracy"} == {"paired"}
    assert _finite_numbers(evidence)
    json.dumps(evidence, allow_nan=False)
    word = {"multilabel": "label", "regression": "number"}[task]
    assert any(f"7 items without a {word}" in said for said in evidence["not_tested"])
    assert any(f"a wrong {word} counts" in said for said in evidence["not_tested"])


def test_figures_of_label_sets_are_those_of_the_predictions() -> None:
    contenders = ladder("multilabel")
    evidence = gather(contenders, resamples=150)
    a: Any = contenders[0].predictions
    b: Any = contenders[2].predictions
    rows = evidence["contenders"][0]["per_label"]
    assert [row["label"] for row in rows] == list(LABELS)
    reference = precision_recall_fscore_support(a.gold, a.output, average=None)
    for name, column in zip(("precision", "recall", "f1", "support"), reference, strict=True):
        found = [row[name] if name == "support" else row[name]["value"] for row in rows]
        assert found == pytest.approx(column.tolist(), abs=1e-12)
    for row in rows:
        for name in ("precision", "recall", "f1"):
            assert 0 <= row[name]["low"] < row[name]["value"] < row[name]["high"] <= 1
    bins = evidence["contenders"][0]["calibration"]["bins"]
    assert sum(one["items"] for one in bins) == 250 * 3
    inside = (a.scores > bins[3]["low"]) & (a.scores <= bins[3]["high"])
    assert bins[3]["accuracy"] == pytest.approx(a.gold[inside].mean())
    assert bins[3]["confidence"] == pytest.approx(a.scores[inside].mean())
    right_a, right_b = ((p.gold == p.output).all(axis=1) for p in (a, b))
    exact = next(c for c in evidence["comparisons"] if (c["against"], c["metric"]) == ("tfidf", "subset_accuracy"))
    assert exact["discordant"] == [int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())]
    assert exact["test"].startswith("McNemar")
    flips = evidence["flips"]
    assert [flips["gained_total"], flips["lost_total"]] == exact["discordant"]
    assert all(item["gold"] == item["to"] != item["from"] for item in flips["gained"])
    assert all(isinstance(item["gold"], list) for item in flips["gained"])
    mistakes, wrong = evidence["mistakes"], (a.gold != a.output).sum(axis=1)
    assert [m["wrong"] for m in mistakes] == sorted(wrong[wrong > 0], reverse=True)[:30]
    place = {item: i for i, item in enumerate(a.ids)}
    sure = [np.where(a.output, a.scores, 1 - a.scores)[place[m["id"]]].mean() for m in mistakes]
    for i in range(1, len(mistakes)):
        assert mistakes[i]["wrong"] < mistakes[i - 1]["wrong"] or sure[i] <= sure[i - 1]
        assert mistakes[i]["gold"] == a.gold_of(place[mistakes[i]["id"]]) != mistakes[i]["output"]


def test_figures_of_numbers_are_those_of_the_predictions() -> None:
    contenders = ladder("regression", targets=2)
    evidence = gather(contenders, resamples=150)
    p: Any = contenders[0].predictions
    rows = evidence["contenders"][0]["per_target"]
    for k, row in enumerate(rows):
        assert row["target"] == f"target {k}"
        assert row["pearson"]["value"] == pytest.approx(stats.pearsonr(p.gold[:, k], p.output[:, k]).statistic)
        assert row["spearman"]["value"] == pytest.approx(stats.spearmanr(p.gold[:, k], p.output[:, k]).statistic)
        assert row["mae"]["value"] == pytest.approx(np.abs(p.gold[:, k] - p.output[:, k]).mean())
        for name in ("mse", "rmse", "mae", "r2", "pearson", "spearman"):
            assert row[name]["low"] < row[name]["value"] < row[name]["high"]
    means = [row["r2"]["value"] for row in rows]
    assert evidence["contenders"][0]["metrics"]["r2"]["value"] == pytest.approx(np.mean(means))
    assert evidence["flips"] is None
    assert evidence["targets"]["names"] == ["target 0", "target 1"]
    assert evidence["targets"]["mean"] == pytest.approx(p.gold.mean(axis=0).tolist())
    assert evidence["targets"]["spread"] == pytest.approx(p.gold.std(axis=0).tolist())
    error = (np.abs(p.gold - p.output) / p.gold.std(axis=0)).mean(axis=1)
    assert [m["error"] for m in evidence["mistakes"]] == pytest.approx(sorted(error, reverse=True)[:30])
    one: Any = ladder("regression")[0].predictions
    single = gather(ladder("regression"), resamples=150)
    assert single["contenders"][0]["per_target"][0]["pearson"] == single["contenders"][0]["metrics"]["pearson"]
    assert single["mistakes"][0]["error"] == pytest.approx(np.abs(one.gold - one.output).max())


def test_points_are_of_the_same_items_for_the_two_that_count() -> None:
    contenders = ladder("regression", n=900, unlabelled=5)
    rows = {row["name"]: row["points"] for row in gather(contenders, resamples=50)["contenders"]}
    assert rows["majority"] == rows["linear"] == []
    assert len(rows["tuned"]) == len(rows["tfidf"]) == 400
    assert [gold for gold, _ in rows["tuned"]] == [gold for gold, _ in rows["tfidf"]]
    p: Any = contenders[0].predictions
    given = set(zip(p.gold[:, 0].tolist(), p.output[:, 0].tolist(), strict=True))
    assert {(gold, output) for gold, output in rows["tuned"]} <= given
    few = gather(ladder("regression", n=30, unlabelled=5), resamples=50)["contenders"][0]["points"]
    assert len(few) == 25


@task
def test_same_predictions_same_evidence_whatever_the_order_of_items(task: str) -> None:
    contenders = ladder(task, n=450)
    once = gather(contenders, resamples=100)
    assert gather(contenders, resamples=100) == once != gather(contenders, resamples=100, seed=1)
    second = contenders[1].predictions
    order = [second.ids[i] for i in np.random.default_rng(0).permutation(450)]
    mixed = [contenders[0], replace(contenders[1], predictions=take(second, order)), *contenders[2:]]
    assert gather(mixed, resamples=100) == once


@task
def test_predictions_survive_the_disk_exactly(task: str, tmp_path: Path) -> None:
    contenders = ladder(task, n=40, unlabelled=3)
    for c in contenders:
        back = read(write(tmp_path, c))
        p, q = c.predictions, back.predictions
        assert type(p) is type(q) and (p.ids, p.labels, p.split) == (q.ids, q.labels, q.split)
        for name in ("gold", "output", "scores", "has_gold", "seconds"):
            assert not hasattr(p, name) or np.array_equal(
                getattr(p, name), getattr(q, name), equal_nan=name != "has_gold"
            ), name
    lines = (tmp_path / "predictions" / "tuned.test.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0])["task"] == task
    first, fifth = json.loads(lines[1]), json.loads(lines[5])
    assert first["gold"] is None and isinstance(fifth["gold"], list) and isinstance(fifth["output"], list)
    shown = (
        ["gold", "id", "output", "scores", "seconds"] if task == "multilabel" else ["gold", "id", "output", "seconds"]
    )
    assert sorted(first) == shown
    evidence = gather(contenders, resamples=80)
    write_evidence(tmp_path, evidence)
    assert recompute(tmp_path) == evidence


def test_the_empty_set_is_an_answer(tmp_path: Path) -> None:
    p: Any = sets_by("tuned", 3, 1.0, role="tuned").predictions
    p = replace(p, gold=np.zeros((3, 3), bool), has_gold=np.array([True, False, True]))
    back: Any = read(write(tmp_path, Contender(p, "tuned", "tuned"))).predictions
    assert [back.gold_of(i) for i in range(3)] == [[], None, []]
    assert len(back.supervised()) == 2


def test_damaged_lines_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, ladder("multilabel", n=9)[0])
    lines = path.read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[1])
    bad = [
        {"id": "a", "gold": "joy"}, {"id": "b", "output": ["hate"]}, {"id": "c", "output": ["joy", "joy"]},
        {"id": "d", "output": None}, {"id": "e", "scores": [0.1, 0.2]}, {"id": "f", "scores": [0.1, 0.2, 1.2]},
        {"id": "g", "scores": None},
    ]  # fmt: skip
    path.write_text("\n".join([lines[0], *(json.dumps(row | b) for b in bad)]), encoding="utf-8")
    with pytest.raises(RunDamaged) as caught:
        read_all(tmp_path)
    assert [p.where for p in caught.value.problems] == [f"tuned.test.jsonl, line {i}" for i in range(2, 9)]
    assert "['joy', 'joy']" in str(caught.value) and "'hate'" in str(caught.value)
    path = write(tmp_path, ladder("regression", n=9)[0])
    lines = path.read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[1])
    worse: list[dict[str, Any]] = [
        {"id": "a", "gold": 3.5}, {"id": "b", "output": [1, 2]}, {"id": "c", "output": None},
        {"id": "d", "output": [float("nan")]}, {"id": "e", "output": [True]}, {"id": "f", "gold": []},
    ]  # fmt: skip
    path.write_text("\n".join([lines[0], *(json.dumps(row | b) for b in worse)]), encoding="utf-8")
    with pytest.raises(RunDamaged) as caught:
        read_all(tmp_path)
    assert [p.where for p in caught.value.problems] == [f"tuned.test.jsonl, line {i}" for i in range(2, 8)]
    header = json.loads(lines[0]) | {"task": "poetry"}
    path.write_text("\n".join([json.dumps(header), *lines[1:]]), encoding="utf-8")
    with pytest.raises(RunDamaged, match="'poetry'"):
        read(path)


def test_contenders_must_share_task_items_and_gold() -> None:
    first, second, third, _ = ladder("regression", n=30)
    p: Any = third.predictions
    gold = p.gold.copy()
    gold[0] += 1e-9
    with pytest.raises(DataError) as caught:
        gather([first, ladder("multilabel", n=30)[1], replace(third, predictions=replace(p, gold=gold))])
    assert "predictions of multilabel in place of regression" in str(caught.value)
    assert "1 items with another gold number: id0" in str(caught.value)
    with pytest.raises(RecipeError, match="accuracy"):
        gather([first, second], metric="accuracy")


def test_nothing_is_claimed_without_a_value() -> None:
    still = ladder("regression", n=20)
    still = [replace(c, predictions=replace(c.predictions, gold=np.ones((20, 1)))) for c in still]  # type: ignore[type-var]
    evidence = gather(still, resamples=50)
    assert evidence["verdict"]["outcome"] == "can't tell"
    assert "every item has the same number in score" in evidence["verdict"]["sentence"]
    for task in TASKS:
        nothing = gather(ladder(task, n=20, unlabelled=20), resamples=50)
        assert nothing["verdict"]["outcome"] == "can't tell" and nothing["items"] == 0
        json.dumps(nothing, allow_nan=False)


def test_open_scales_are_written_with_four_digits() -> None:
    def scaled(c: Contender, by: float) -> Contender:
        p: Any = c.predictions
        return replace(c, predictions=replace(p, gold=p.gold * by, output=p.output * by))

    for by, unit in ((1e6, ","), (1e-4, "e-")):
        said = gather([scaled(c, by) for c in ladder("regression")], metric="mae", resamples=300)["verdict"]["sentence"]
        assert unit in said and "0.000" not in said and "lower by" in said, said


@pytest.mark.parametrize("metric", ["pearson", "mse", "r2", "f1_micro", "f1_macro", "subset_accuracy"])
def test_false_verdicts_are_as_rare_as_promised(metric: str) -> None:
    """Two contenders of one skill: about one in twenty comparisons may claim a difference."""
    rounds, claims, covered = 400, 0, 0
    for seed in range(rounds):
        if metric in ("pearson", "mse", "r2"):
            a, b = (numbers_by(f"{side}", 150, 1.0, 2 * seed + side + 1000) for side in (0, 1))
        else:
            a, b = (sets_by(f"{side}", 150, 1.5, 2 * seed + side + 1000) for side in (0, 1))
        found = compare(metric, a.predictions, b.predictions, Plan(resamples=200))
        assert found is not None and found.interval.low is not None and found.interval.high is not None
        claims += corrected([found])[0].outcome(0.05) != "can't tell"
        covered += found.interval.low <= 0 <= found.interval.high
    assert 0.02 < claims / rounds < 0.09
    assert 0.91 < covered / rounds < 0.98


def test_runs_are_compared_on_their_common_items(tmp_path: Path) -> None:
    old, new = sets_by("tuned", 120, 0.8, 1, "tuned"), sets_by("tuned", 120, 3.0, 2, "tuned")
    write(tmp_path / "old", replace(old, predictions=take(old.predictions, old.predictions.ids[20:])))
    p: Any = new.predictions
    order = [2, 0, 1]
    wide: dict[str, Any] = {n: np.c_[getattr(p, n)[:, order], np.zeros(120)] for n in ("gold", "output", "scores")}
    wide["gold"], wide["output"] = wide["gold"] > 0, wide["output"] > 0
    turned = replace(p, labels=(*(LABELS[i] for i in order), "new"), **wide)
    write(tmp_path / "new", replace(new, predictions=turned))
    evidence = compare_runs(tmp_path / "old", tmp_path / "new", resamples=80)
    assert evidence["items"] == 100 and evidence["left_out"] == {"old": 0, "new": 20}
    assert evidence["labels"] == sorted([*LABELS, "new"]) and evidence["verdict"]["outcome"] == "better"
    both = numbers_by("tuned", 50, 0.5, role="tuned", targets=2)
    q: Any = both.predictions
    write(tmp_path / "first", both)
    swapped = replace(q, labels=q.labels[::-1], gold=q.gold[:, ::-1], output=q.output[:, ::-1])
    write(tmp_path / "second", replace(both, predictions=swapped))
    assert compare_runs(tmp_path / "first", tmp_path / "second", resamples=50)["verdict"]["effect"] == 0
    write(tmp_path / "third", replace(both, predictions=replace(q, labels=("x", "y"))))
    with pytest.raises(DataError, match="target 0"):
        compare_runs(tmp_path / "first", tmp_path / "third")
    with pytest.raises(DataError, match="a run of multilabel and one of regression"):
        compare_runs(tmp_path / "old", tmp_path / "first")


def test_shares_are_never_certain() -> None:
    """All right or all wrong is no proof: the interval is Wilson's, as wide as the number of items makes it."""
    p: Any = sets_by("tuned", 40, 1.0, role="tuned").predictions
    for output in (p.gold, ~p.gold):
        found = gather([Contender(replace(p, output=output), "tuned", "tuned")], resamples=50)["contenders"][0][
            "metrics"
        ]
        for name in ("f1_micro", "f1_macro", "subset_accuracy", "recall_macro"):
            assert found[name]["method"].startswith("Wilson") and found[name]["high"] - found[name]["low"] > 0.05, name
    some = gather([Contender(p, "tuned", "tuned")], resamples=50)["contenders"][0]["metrics"]["subset_accuracy"]
    right = int((p.gold == p.output).all(axis=1).sum())
    assert (some["low"], some["high"]) == pytest.approx((wilson(right, 40).low, wilson(right, 40).high))


def test_rare_columns_are_resampled_as_the_others() -> None:
    rng = np.random.default_rng(0)
    columns = np.c_[rng.random((300, 40)) < 0.02, rng.random((300, 3)) < 0.5, rng.normal(size=(300, 2))].astype(float)
    together = mean_draws(columns, 100, 3)
    alone = np.concatenate([mean_draws(columns[:, [j]] + 2.0, 100, 3) - 2.0 for j in range(45)], axis=1)
    assert together == pytest.approx(alone, abs=1e-9)


def test_the_type_tells_the_task() -> None:
    plain = Predictions("a", "test", ("x", "y"), ("1",), np.array([0]), np.array([1]), np.array([[0.4, 0.6]]))
    assert gather([Contender(plain, "a", "tuned")], resamples=20)["task"] == "classification"


def test_many_items_and_labels_take_seconds() -> None:
    started = time.process_time()
    gather(ladder("multilabel", n=5000, labels=28))
    gather(ladder("regression", n=5000))
    assert time.process_time() - started < 40
