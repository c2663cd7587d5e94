"""From predictions to evidence: structure, verdicts, files, runs."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunewright.core.errors import DataError, RecipeError, RunDamaged, StorageError
from tunewright.core.files import write_text
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

LABELS = ("negative", "neutral", "正面")


def contender(
    name: str, n: int, accuracy: float, seed: int = 0, role: Any = "baseline", classes: int = 3, unlabelled: int = 0
) -> Contender:
    """A contender that is right with the given chance, with honest scores; the gold is the same for all."""
    gold = np.random.default_rng(99).integers(0, classes, n)
    rng = np.random.default_rng([seed, n])
    right = rng.random(n) < accuracy
    output = np.where(right, gold, (gold + rng.integers(1, classes, n)) % classes)
    sure = rng.uniform(0.5, 0.95, n)
    scores = np.repeat(((1 - sure) / (classes - 1))[:, None], classes, axis=1)
    scores[np.arange(n), output] = sure
    gold = gold.copy()
    gold[:unlabelled] = -1
    labels = LABELS if classes == 3 else tuple(f"c{i:02d}" for i in range(classes))
    ids = tuple(f"id{i}" for i in range(n))
    return Contender(Predictions(name, "test", labels, ids, gold, output, scores, np.full(n, 0.001)), name, role)


def ladder(n: int = 300, tuned: float = 0.8, **options: Any) -> list[Contender]:
    return [
        contender("tuned", n, tuned, 1, "tuned", **options),
        contender("majority", n, 0.4, 2, **options),
        contender("tfidf", n, 0.6, 3, **options),
        contender("linear", n, 0.55, 4, **options),
    ]


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [x for inner in value.values() for x in numbers(inner)]
    if isinstance(value, list):
        return [x for inner in value for x in numbers(inner)]
    return [value] if isinstance(value, float) else []


def test_structure_is_the_contracts() -> None:
    evidence = gather(ladder(unlabelled=7), resamples=200)
    assert list(evidence) == [
        "version", "task", "split", "items", "labels", "confidence", "resamples", "seed", "contenders",
        "comparisons", "verdict", "mistakes", "flips", "not_tested",
    ]  # fmt: skip
    assert evidence["items"] == 293
    tuned = evidence["contenders"][0]
    assert list(tuned) == [
        "name", "title", "role", "metrics", "per_class", "confusion", "calibration", "seconds_per_item",
    ]  # fmt: skip
    assert len(tuned["metrics"]) >= 17
    for metric in tuned["metrics"].values():
        assert metric["low"] <= metric["value"] <= metric["high"] and metric["method"] and metric["items"] == 293
    for row in tuned["per_class"]:
        assert sorted(row) == sorted(["label", "support", "precision", "recall", "f1", "pr_auc", "roc_auc"])
        for name in ("precision", "recall", "f1", "pr_auc", "roc_auc"):
            assert row[name]["low"] <= row[name]["value"] <= row[name]["high"]
    assert sum(map(sum, tuned["confusion"])) == 293
    assert [sum(row) for row in tuned["confusion"]] == [row["support"] for row in tuned["per_class"]]
    assert sum(b["items"] for b in tuned["calibration"]["bins"]) == 293
    assert tuned["seconds_per_item"] == pytest.approx(0.001)
    assert all(math.isfinite(x) for x in numbers(evidence))
    json.dumps(evidence, allow_nan=False)
    assert any("7 items without a label" in said for said in evidence["not_tested"])


def test_figures_are_those_of_the_predictions() -> None:
    contenders = ladder()
    evidence = gather(contenders, resamples=100)
    a, b = contenders[0].predictions, contenders[2].predictions
    right_a, right_b = a.gold == a.output, b.gold == b.output
    first = next(c for c in evidence["comparisons"] if (c["against"], c["metric"]) == ("tfidf", "accuracy"))
    assert first["effect"] == pytest.approx(right_a.mean() - right_b.mean())
    assert first["discordant"] == [int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())]
    assert first["family"] == 3 and first["p_holm"] >= first["p"]
    flips = evidence["flips"]
    assert [flips["gained_total"], flips["lost_total"]] == first["discordant"]
    assert flips["against"] == "tfidf" and len(flips["gained"]) == 30
    gold = dict(zip(a.ids, a.gold, strict=True))
    for item in flips["lost"]:
        assert item["gold"] == item["from"] == LABELS[gold[item["id"]]] != item["to"]
    for item in flips["gained"]:
        assert item["gold"] == item["to"] != item["from"]
    mistakes = evidence["mistakes"]
    assert len(mistakes) == min(30, int((~right_a).sum()))
    given = [m["confidence"] for m in mistakes]
    assert given == sorted(given, reverse=True) and all(m["gold"] != m["output"] for m in mistakes)
    assert given[0] == a.scores.max(axis=1)[~right_a].max()


def test_same_predictions_same_evidence_whatever_the_order_of_items() -> None:
    contenders = ladder()
    once = gather(contenders, resamples=150)
    assert gather(contenders, resamples=150) == once
    assert gather(contenders, resamples=150, seed=1) != once
    order = [contenders[1].predictions.ids[i] for i in np.random.default_rng(0).permutation(300)]
    mixed = [contenders[0], replace(contenders[1], predictions=take(contenders[1].predictions, order)), *contenders[2:]]
    assert gather(mixed, resamples=150) == once


def test_better_worse_and_cannot_tell() -> None:
    better = gather(ladder(tuned=0.85), resamples=50)["verdict"]
    assert (better["outcome"], better["against"], better["metric"]) == ("better", "tfidf", "accuracy")
    assert better["low"] > 0 and better["p_holm"] < 0.05
    assert better["sentence"].startswith("tuned is better than tfidf: ")
    assert "a gain of" in better["sentence"] and "percentage points (95% interval" in better["sentence"]
    assert f"{100 * better['effect']:.1f} percentage points" in better["sentence"]
    worse = gather(ladder(tuned=0.3), resamples=50)["verdict"]
    assert worse["outcome"] == "worse" and worse["high"] < 0 and "a loss of" in worse["sentence"]
    unclear = gather(ladder(tuned=0.61), resamples=50)["verdict"]
    assert unclear["outcome"] == "can't tell" and unclear["smallest_detectable"] > abs(unclear["effect"])
    assert unclear["sentence"].startswith("These 300 test items cannot tell whether tuned is better or worse")


def test_a_lower_log_loss_is_better() -> None:
    evidence = gather(ladder(tuned=0.9), metric="log_loss", resamples=300)
    verdict = evidence["verdict"]
    assert verdict["metric"] == "log_loss" and verdict["effect"] < 0 and verdict["outcome"] == "better"
    assert "lower by" in verdict["sentence"] and "percentage" not in verdict["sentence"]
    assert evidence["comparisons"][0]["test"] == "paired bootstrap"
    assert evidence["comparisons"][0]["discordant"] is None
    tests = {c["metric"]: c["test"] for c in evidence["comparisons"]}
    assert tests["roc_auc"] == "DeLong" and tests["f1_macro"] == "paired bootstrap"


def test_the_majority_class_counts_only_where_it_is_alone() -> None:
    strong_majority = [*ladder(tuned=0.8)[:1], contender("majority", 300, 0.75, 2), contender("tfidf", 300, 0.6, 3)]
    assert gather(strong_majority, resamples=50)["verdict"]["against"] == "tfidf"
    assert gather(strong_majority[:2], resamples=50)["verdict"]["against"] == "majority"


def test_without_a_baseline_or_a_tuned_model_nothing_is_claimed() -> None:
    alone = gather(ladder()[:1], resamples=50)
    assert alone["verdict"]["outcome"] == "can't tell" and "no baseline" in alone["verdict"]["sentence"]
    assert alone["flips"] is None and alone["comparisons"] == []
    assert "no tuned" in gather(ladder()[1:], resamples=50)["verdict"]["sentence"]
    nothing = gather(ladder(n=20, unlabelled=20), resamples=50)
    assert "no item has a label" in nothing["verdict"]["sentence"]
    assert nothing["contenders"][0]["metrics"]["accuracy"] == {"value": None, "reason": "no item has a label"}
    json.dumps(nothing, allow_nan=False)


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "log_loss", "roc_auc"])
def test_false_verdicts_are_as_rare_as_promised(metric: str) -> None:
    """Two contenders of one skill: about one in twenty comparisons may claim a difference."""
    rounds, claims, covered = 300, 0, 0
    for seed in range(rounds):
        a = contender("tuned", 160, 0.7, 2 * seed + 10, "tuned").predictions
        b = contender("tfidf", 160, 0.7, 2 * seed + 11).predictions
        found = compare(metric, a, b, Plan(resamples=200))
        assert found is not None and found.interval.low is not None and found.interval.high is not None
        claims += corrected([found])[0].outcome(0.05) != "can't tell"
        covered += found.interval.low <= 0 <= found.interval.high
    assert 0.01 < claims / rounds < 0.09
    assert 0.91 < covered / rounds < 0.99


def test_holm_keeps_the_family_at_alpha() -> None:
    false = 0
    for seed in range(150):
        b = [contender(f"b{i}", 160, 0.7, 5 * seed + i + 11).predictions for i in range(4)]
        a = contender("tuned", 160, 0.7, 5 * seed + 10, "tuned").predictions
        found = [compare("accuracy", a, other) for other in b]
        false += any(c.outcome(0.05) != "can't tell" for c in corrected([c for c in found if c is not None]))
    assert false / 150 < 0.09


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "log_loss", "roc_auc"])
def test_what_is_shown_beside_a_verdict_agrees_with_it(metric: str) -> None:
    """No "can't tell" beside an interval without zero, no "better" beside one with zero inside, in either family."""
    seen, corrected_away, at_the_edge = set(), 0, 0
    for n in range(100, 160, 5):
        evidence = gather(ladder(n=n, tuned=0.71), metric=metric)
        for c in evidence["comparisons"]:
            seen.add((c["verdict"], c["metric"] == metric))
            outside = c["low"] > 0 or c["high"] < 0
            assert outside if c["verdict"] != "can't tell" and 0 not in (c["low"], c["high"]) else not outside, c
            assert c["low"] <= c["effect"] <= c["high"] and 0.95 <= c["confidence"] <= 1 - 0.05 / c["family"] + 1e-9
            assert c["interval"].endswith("Holm-adjusted") == (c["family"] > 1)
            if c["verdict"] == "can't tell" and c["p"] < 0.05:
                corrected_away += 1
                at_the_edge += 0 in (c["low"], c["high"])
                assert c["confidence"] > 0.95
        verdict = evidence["verdict"]
        same = next(c for c in evidence["comparisons"] if (c["against"], c["metric"]) == (verdict["against"], metric))
        assert all(verdict[name] == same[name] for name in ("low", "high", "confidence"))
        assert f"{round(100 * verdict['confidence'], 1):g}% interval" in verdict["sentence"]
        assert ("adjusted for 3 comparisons" in verdict["sentence"]) == (verdict["confidence"] > 0.951)
    assert {outcome for outcome, _ in seen} == {"better", "can't tell"}
    assert corrected_away > 5 and at_the_edge <= corrected_away / 3, "the level agrees, not the edge alone"


def test_contenders_must_share_their_items() -> None:
    first, second, third, _ = ladder(n=50)
    p = second.predictions
    missing = replace(second, predictions=take(p, p.ids[1:]))
    gold = third.predictions.gold.copy()
    gold[0] = (gold[0] + 1) % 3
    other = replace(third, predictions=replace(third.predictions, gold=gold))
    with pytest.raises(DataError) as caught:
        gather([first, missing, other])
    assert len(caught.value.problems) == 2
    assert "1 items that only one of them has: id0" in str(caught.value)
    assert "1 items with another gold label: id0" in str(caught.value)
    with pytest.raises(DataError, match="two contenders named 'tuned'"):
        gather([first, first])
    with pytest.raises(DataError, match="no contender"):
        gather([])
    with pytest.raises(RecipeError, match="did you mean 'accuracy'"):
        gather([first], metric="acuracy")


def test_predictions_survive_the_disk_exactly(tmp_path: Path) -> None:
    for c in ladder(n=60, unlabelled=3):
        back = read(write(tmp_path, c))
        assert (back.title, back.role, back.name) == (c.title, c.role, c.name)
        p, q = c.predictions, back.predictions
        assert (p.ids, p.labels, p.split) == (q.ids, q.labels, q.split)
        for name in ("gold", "output", "scores", "seconds"):
            assert np.array_equal(getattr(p, name), getattr(q, name)), name
    path = tmp_path / "predictions" / "tuned.test.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0]) == {
        "contender": "tuned", "title": "tuned", "role": "tuned", "split": "test", "labels": list(LABELS), "version": 1,
    }  # fmt: skip
    assert "正面" in lines[0] and json.loads(lines[1])["gold"] is None
    assert sorted(json.loads(lines[1])) == ["gold", "id", "output", "scores", "seconds"]
    assert [c.name for c in read_all(tmp_path)] == ["tuned", "majority", "tfidf", "linear"]
    assert not list(tmp_path.rglob(".*"))


def test_recomputed_evidence_is_the_same(tmp_path: Path) -> None:
    contenders = ladder(n=80, tuned=0.7)
    for c in contenders:
        write(tmp_path, c)
    evidence = gather(contenders, metric="f1_macro", also=("mcc",), resamples=120, seed=3, confidence=0.9)
    assert recompute(tmp_path) != evidence
    written = write_evidence(tmp_path, evidence)
    assert recompute(tmp_path) == evidence == json.loads(written.read_text(encoding="utf-8"))
    assert recompute(tmp_path, resamples=60)["resamples"] == 60
    written.write_text("{", encoding="utf-8")
    with pytest.raises(RunDamaged, match="computed again"):
        recompute(tmp_path)


def test_damaged_predictions_name_every_line(tmp_path: Path) -> None:
    path = write(tmp_path, ladder(n=12)[0])
    lines = path.read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[1])
    damaged = [
        lines[0],
        lines[1][:20],
        json.dumps({**row, "id": "a", "gold": "unknown"}),
        json.dumps({**row, "id": "b", "output": None}),
        json.dumps({**row, "id": "c", "scores": [0.5, 0.5]}),
        json.dumps({**row, "id": "d", "scores": [float("nan"), 0.5, 0.5]}),
        json.dumps({**row, "id": "e", "scores": [0.9, 0.9, 0.9]}),
        json.dumps({**row, "id": "f", "seconds": "fast"}),
        lines[8],
        lines[8],
        "[]",
    ]
    path.write_text("\n".join(damaged), encoding="utf-8")
    with pytest.raises(RunDamaged) as caught:
        read_all(tmp_path)
    places = [p.where for p in caught.value.problems]
    assert places == [f"tuned.test.jsonl, line {i}" for i in (2, 3, 4, 5, 6, 7, 8, 10, 11)]
    assert "did you" not in str(caught.value) and "stands on line 9 too" in str(caught.value)
    for header in ("", "{}", "[1]", '{"version": 2, "contender": "x", "labels": ["a", "a"]}'):
        path.write_text("\n".join([header, *lines[1:]]), encoding="utf-8")
        with pytest.raises(RunDamaged, match="header"):
            read(path)
    path.write_text(lines[0] + "\n", encoding="utf-8")
    with pytest.raises(RunDamaged, match="no predictions after the header"):
        read(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RunDamaged, match="cannot be read"):
        read(path)
    path.unlink()
    with pytest.raises(RunDamaged, match="no predictions of split 'test'"):
        read_all(tmp_path)


def test_a_file_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "evidence.json"
    write_text(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="disk is full"):
        write_text(path, "new")
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["evidence.json"]
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_text(tmp_path / "file" / "below", "x")


def test_two_runs_are_compared_on_their_common_items(tmp_path: Path) -> None:
    old, new = contender("tuned", 200, 0.6, 1, "tuned"), contender("tuned", 200, 0.85, 2, "tuned")
    p, q = old.predictions, new.predictions
    write(tmp_path / "old", replace(old, predictions=take(p, p.ids[20:])))
    turned = Predictions("tuned", "test", LABELS[::-1], q.ids, 2 - q.gold, 2 - q.output, q.scores[:, ::-1])
    write(tmp_path / "new", replace(new, predictions=take(turned, q.ids[:190])))
    evidence = compare_runs(tmp_path / "old", tmp_path / "new", resamples=50)
    assert evidence["left_out"] == {"old": 10, "new": 20}
    assert evidence["items"] == 170
    assert evidence["verdict"]["outcome"] == "better" and evidence["verdict"]["against"] == "old"
    direct = (q.gold == q.output)[20:190].mean() - (p.gold == p.output)[20:190].mean()
    assert evidence["verdict"]["effect"] == pytest.approx(direct)
    shown = {c["name"]: c["metrics"]["log_loss"]["value"] for c in evidence["contenders"]}
    for name, one in (("old", p), ("new", q)):
        true = one.scores[np.arange(200), one.gold][20:190]
        assert shown[name] == pytest.approx(-np.log(true).mean())
    back = compare_runs(tmp_path / "new", tmp_path / "old", resamples=50)
    assert back["verdict"]["outcome"] == "worse"
    assert compare_runs(tmp_path / "new", tmp_path / "new", resamples=50)["verdict"]["outcome"] == "can't tell"


def test_runs_that_cannot_be_compared(tmp_path: Path) -> None:
    old, new = contender("tuned", 40, 0.6, 1, "tuned"), contender("tuned", 40, 0.8, 2, "tuned")
    p = old.predictions
    write(tmp_path / "old", replace(old, predictions=take(p, p.ids[:20])))
    write(tmp_path / "new", replace(new, predictions=take(new.predictions, p.ids[20:])))
    with pytest.raises(DataError, match="no labelled item"):
        compare_runs(tmp_path / "old", tmp_path / "new")
    write(tmp_path / "new", replace(new, predictions=replace(new.predictions, gold=(new.predictions.gold + 1) % 3)))
    with pytest.raises(DataError, match="20 of 20 common items have another gold label"):
        compare_runs(tmp_path / "old", tmp_path / "new")
    write(tmp_path / "base", contender("majority", 40, 0.5))
    with pytest.raises(RunDamaged, match="no tuned"):
        compare_runs(tmp_path / "old", tmp_path / "base")


def test_many_items_and_many_classes_take_seconds() -> None:
    contenders = [contender(c.name, 3000, 0.7, i, c.role, classes=10) for i, c in enumerate(ladder(n=10))]
    started = time.process_time()
    gather(contenders)
    assert time.process_time() - started < 20
