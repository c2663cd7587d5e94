"""What every registered metric of numbers and of label sets must do. Registering a metric tests it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from tunewright.core.outcomes import LabelSets, Values
from tunewright.core.registry import dump, members
from tunewright.evaluation.scoring import score
from tunewright.metrics import TASKS, Averaged, Metric, task_of

Shaped = Values | LabelSets
CASES = [(task, name) for task in ("multilabel", "regression") for name in sorted(members(TASKS[task].family))]


def values(n: int, targets: int = 1, seed: int = 0, skill: float = 1.0) -> Values:
    rng = np.random.default_rng([seed, n])
    gold = np.round(rng.normal(2, 1.5, (n, targets)), 1)  # rounded: ties among ranks
    output = np.round(skill * gold + rng.normal(0, 1, (n, targets)), 1)
    return Values("tuned", "test", tuple("abcdef"[:targets]), tuple(f"i{i}" for i in range(n)), gold, output)


def sets(n: int, labels: int = 4, seed: int = 0, skill: float = 1.0, empty: bool = True) -> LabelSets:
    rng = np.random.default_rng([seed, n])
    gold = rng.random((n, labels)) < 0.3
    if not empty:
        gold[~gold.any(axis=1), 0] = True
    scores = 1 / (1 + np.exp(-np.round(rng.normal(size=(n, labels)) - 0.5 + skill * gold, 1)))
    ids = tuple(f"i{i}" for i in range(n))
    return LabelSets("tuned", "test", tuple("abcdef"[:labels]), ids, gold, scores >= 0.5, scores, np.ones(n, bool))


def sample(task: str, n: int, **options: Any) -> Shaped:
    return values(n, **options) if task == "regression" else sets(n, **options)


def perfect(p: Shaped) -> Shaped:
    if isinstance(p, Values):
        return replace(p, output=p.gold.copy())
    return replace(p, output=p.gold.copy(), scores=p.gold.astype(float))


def _mean(one: Callable[[Any, Any], Any]) -> Callable[[Values], float]:
    return lambda p: float(np.mean([one(p.gold[:, k], p.output[:, k]) for k in range(len(p.labels))]))


def _support(which: int, average: str) -> Callable[[LabelSets], float]:
    def value(p: LabelSets) -> float:
        found = sklearn.metrics.precision_recall_fscore_support(p.gold, p.output, average=average, zero_division=0)
        return float(found[which])

    return value


def _set_log_loss(p: LabelSets) -> float:
    losses = [sklearn.metrics.log_loss(p.gold[:, c], p.scores[:, c], labels=[0, 1]) for c in range(len(p.labels))]
    return float(np.mean(losses))


REFERENCES: dict[str, Callable[[Any], float]] = {
    "regression mse": lambda p: sklearn.metrics.mean_squared_error(p.gold, p.output),
    "regression rmse": lambda p: sklearn.metrics.root_mean_squared_error(p.gold, p.output),
    "regression mae": lambda p: sklearn.metrics.mean_absolute_error(p.gold, p.output),
    "regression r2": lambda p: sklearn.metrics.r2_score(p.gold, p.output),
    "regression pearson": _mean(lambda a, b: scipy.stats.pearsonr(a, b).statistic),
    "regression spearman": _mean(lambda a, b: scipy.stats.spearmanr(a, b).statistic),
    **{
        f"multilabel {name}_{average}": _support(place, average)
        for place, name in enumerate(("precision", "recall", "f1"))
        for average in ("micro", "macro")
    },
    "multilabel f1_samples": _support(2, "samples"),
    "multilabel subset_accuracy": lambda p: sklearn.metrics.accuracy_score(p.gold, p.output),
    "multilabel hamming_loss": lambda p: sklearn.metrics.hamming_loss(p.gold, p.output),
    "multilabel log_loss": _set_log_loss,
}


@pytest.fixture(params=CASES, ids=" ".join)
def case(request: pytest.FixtureRequest) -> tuple[str, Metric]:
    task, name = request.param
    return task, TASKS[task].metric(name)


def test_protocol(case: tuple[str, Metric]) -> None:
    task, metric = case
    assert isinstance(metric, Metric) and isinstance(metric, Averaged)
    assert metric.better in ("higher", "lower") and metric.title
    assert list(dump(metric)) == [metric.name]
    assert task_of(sample(task, 5)).name == task
    assert metric.name in TASKS[task].order, "its place among the others"


@pytest.mark.parametrize("skill", [0.0, 1.0])
@pytest.mark.parametrize("width", [1, 3, 5])
def test_matches_the_reference(case: tuple[str, Metric], width: int, skill: float) -> None:
    task, metric = case
    p = values(90, width, skill=skill) if task == "regression" else sets(90, max(width, 2), skill=skill)
    assert metric.value(p) == pytest.approx(REFERENCES[f"{task} {metric.name}"](p), abs=1e-12)


@pytest.mark.parametrize("name", sorted(members("multilabel_metric")))
def test_labels_of_nobody_and_empty_sets_count_as_in_the_reference(name: str) -> None:
    p = sets(6, 5)
    gold, output = np.zeros((6, 5), bool), np.zeros((6, 5), bool)
    gold[0, [0, 1]] = gold[1, 1] = gold[2, 2] = output[0, 0] = output[1, [1, 3]] = output[3, 0] = True
    p = replace(p, gold=gold, output=output)
    assert TASKS["multilabel"].metric(name).value(p) == pytest.approx(REFERENCES[f"multilabel {name}"](p), abs=1e-12)


def test_lies_within_its_bounds_and_ignores_the_order_of_items(case: tuple[str, Metric]) -> None:
    task, metric = case
    p = sample(task, 60, seed=3)
    value = metric.value(p)
    assert value is not None and metric.bounds[0] <= value <= metric.bounds[1]
    order = np.random.default_rng(0).permutation(60)
    assert metric.value(p.taken(order)) == pytest.approx(value, abs=1e-12)


def test_perfection_is_the_best_value(case: tuple[str, Metric]) -> None:
    task, metric = case
    p = values(40, 2) if task == "regression" else sets(40, empty=False)
    best = metric.bounds[1] if metric.better == "higher" else metric.bounds[0]
    assert metric.value(perfect(p)) == pytest.approx(best, abs=1e-9)


def test_better_predictions_score_better(case: tuple[str, Metric]) -> None:
    task, metric = case
    poor, good = (metric.value(sample(task, 2000, seed=1, skill=s)) for s in ((0.1, 1.0) if task == "regression" else (0.1, 3.0)))  # fmt: skip  # noqa: E501
    assert poor is not None and good is not None
    assert (good > poor) == (metric.better == "higher")


def test_items_without_gold_do_not_count(case: tuple[str, Metric]) -> None:
    task, metric = case
    p = sample(task, 50, seed=5)
    if isinstance(p, Values):
        gold = p.gold.copy()
        gold[::5] = np.nan
        some: Shaped = replace(p, gold=gold)
    else:
        some = replace(p, has_gold=np.arange(50) % 5 != 0)
    kept = p.taken(np.flatnonzero(np.arange(50) % 5))
    assert metric.value(some) == metric.value(kept) != metric.value(p)
    items = metric.items(some)
    assert items is None or items.shape == (40,)


def test_items_have_the_value_as_their_mean(case: tuple[str, Metric]) -> None:
    task, metric = case
    p = sample(task, 50, seed=6)
    items = metric.items(p)
    assert (items is not None) == (metric.name in ("mse", "mae", "f1_samples", "subset_accuracy", "hamming_loss", "log_loss"))  # fmt: skip  # noqa: E501
    if items is not None:
        assert items.mean() == pytest.approx(metric.value(p), abs=1e-12)
        assert not getattr(metric, "binary", False) or set(items) <= {0.0, 1.0}


def test_a_resample_has_the_value_of_its_items(case: tuple[str, Metric]) -> None:
    """What intervals are made of: means of columns give what the metric says of those items themselves."""
    task, metric = case
    assert isinstance(metric, Averaged)
    p = sample(task, 40, seed=9)
    for seed in range(5):
        rows = np.random.default_rng(seed).integers(0, 40, 40)
        found = float(metric.of_means(metric.columns(p)[rows].mean(axis=0)))
        # Ranks are taken once, over all items: see the metric.
        near = 0.05 if metric.name == "spearman" else 1e-9
        assert found == pytest.approx(metric.value(p.taken(rows)), abs=near)


def _given(gold: list[float], output: list[float]) -> Values:
    ids = tuple(f"i{i}" for i in range(len(gold)))
    return Values("t", "test", ("y",), ids, np.array(gold, float)[:, None], np.array(output, float)[:, None])


def _sets_given(gold: list[list[int]], output: list[list[int]]) -> LabelSets:
    g, o = np.array(gold, bool).reshape(-1, 2), np.array(output, bool).reshape(-1, 2)
    ids = tuple(f"i{i}" for i in range(len(g)))
    return LabelSets("t", "test", ("a", "b"), ids, g, o, np.where(o, 1.0, 0.0), np.ones(len(g), bool))


DEGENERATE: dict[str, Shaped] = {
    "one number": _given([2.5], [2.0]),
    "two numbers": _given([1, 2], [3, 1]),
    "gold never varies": _given([0.1] * 7, [1, 2, 3, 4, 5, 6, 7]),
    "output never varies": _given([1, 2, 3, 4, 5, 6, 7], [0.1] * 7),
    "all equal": _given([3.3] * 5, [3.3] * 5),
    "all exact": _given([1, 2, 3], [1, 2, 3]),
    "far from zero": _given([1e9, 1e9 + 1, 1e9 + 2, 1e9 + 4], [1e9, 1e9 + 2, 1e9 + 1, 1e9 + 3]),
    "a difference below the smallest square": _given([0, 1e-200, 0, 0], [0, 1, 2, 3]),
    "no number at all": _given([math.nan, math.nan], [1, 2]),
    "no item of numbers": _given([], []),
    "one item": _sets_given([[1, 0]], [[1, 1]]),
    "none applies, none given": _sets_given([[0, 0]] * 4, [[0, 0]] * 4),
    "none applies, all given": _sets_given([[0, 0]] * 4, [[1, 1]] * 4),
    "all applies, none given": _sets_given([[1, 1]] * 4, [[0, 0]] * 4),
    "all right": _sets_given([[1, 0], [0, 1], [1, 1]], [[1, 0], [0, 1], [1, 1]]),
    "not labelled": replace(_sets_given([[0, 0]] * 2, [[1, 1]] * 2), has_gold=np.zeros(2, bool)),
    "no item of sets": _sets_given([], []),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_items_give_a_finite_value_or_a_reason(name: str) -> None:
    p = DEGENERATE[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scored = score(p, 50, 0.95, 0)
        for metric in task_of(p).metrics().values():
            value, reason, found = metric.value(p), metric.undefined(p), scored[metric.name]
            assert (value is None) == (reason is not None)
            if value is None:
                assert found == {"value": None, "reason": reason}
                continue
            assert math.isfinite(value) and found["value"] == pytest.approx(value)
            for end in ("low", "high"):
                assert found[end] is None or math.isfinite(found[end])
            if found["low"] is not None:
                assert metric.bounds[0] <= found["low"] <= value <= found["high"] <= metric.bounds[1]


def test_what_never_varies() -> None:
    regression = TASKS["regression"]
    assert regression.metric("r2").undefined(DEGENERATE["gold never varies"]) == "every item has the same number in y"
    assert regression.metric("mse").undefined(DEGENERATE["gold never varies"]) is None
    still = DEGENERATE["output never varies"]
    assert regression.metric("pearson").value(still) == regression.metric("spearman").value(still) == 0.0
    assert regression.metric("mae").undefined(DEGENERATE["no number at all"]) == "no item has a number"
    assert TASKS["multilabel"].metric("f1_micro").undefined(DEGENERATE["not labelled"]) == "no item has a label"


def test_interval_holds_the_value_and_narrows_with_more_items(case: tuple[str, Metric]) -> None:
    task, metric = case
    few, many = (score(sample(task, n, seed=8), 200, 0.95, 0)[metric.name] for n in (100, 2500))
    assert few["low"] <= few["value"] <= few["high"] and few["items"] == 100
    assert 0 < many["high"] - many["low"] < 0.5 * (few["high"] - few["low"])


@pytest.mark.parametrize("name", ["pearson", "spearman", "r2", "mse"])
def test_intervals_cover_as_often_as_they_say(name: str) -> None:
    """The truth of a bivariate normal, held against 300 samples of it."""
    rho, n, hits, rounds = 0.6, 80, 0, 300
    truth = {"pearson": rho, "spearman": 6 / math.pi * math.asin(rho / 2), "r2": 1 - 2 * (1 - rho), "mse": 2 - 2 * rho}
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        both = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], n)
        p = Values("t", "test", ("y",), tuple(map(str, range(n))), both[:, :1], both[:, 1:])
        found = score(p, 300, 0.95, 0)[name]
        hits += found["low"] <= truth[name] <= found["high"]
    assert 0.89 < hits / rounds < 0.985
