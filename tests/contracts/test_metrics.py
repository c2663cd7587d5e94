"""What every registered metric must do. Registering a metric tests it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

import tunewright.metrics
from tunewright.core.records import Predictions
from tunewright.core.registry import build, dump, members
from tunewright.evaluation.compare import take
from tunewright.evaluation.scoring import score
from tunewright.metrics import Averaged, Counted, Metric, Ranked

assert tunewright.metrics.__all__
NAMES = sorted(members("metric"))
Reference = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]], float]


def predictions(n: int, classes: int, seed: int = 0, skill: float = 1.0) -> Predictions:
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)) + skill * np.eye(classes)[gold]
    scores = np.exp(np.round(logits, 1))  # rounded: ties among scores
    scores /= scores.sum(axis=1, keepdims=True)
    ids = tuple(f"i{i}" for i in range(n))
    labels = tuple("abcdefgh"[:classes])
    return Predictions("tuned", "test", labels, ids, gold, scores.argmax(axis=1), scores)


def as_given(gold: list[int], output: list[int], classes: int) -> Predictions:
    scores = np.full((len(gold), classes), 0.1 / max(classes - 1, 1))
    scores[np.arange(len(gold)), output] = 0.9 if classes > 1 else 1.0
    ids = tuple(f"i{i}" for i in range(len(gold)))
    return Predictions(
        "t", "test", tuple("abcdefgh"[:classes]), ids, np.array(gold, np.int64), np.array(output, np.int64), scores
    )


def perfect(p: Predictions) -> Predictions:
    scores = np.eye(len(p.labels))[p.gold]
    return replace(p, output=p.gold.copy(), scores=scores)


def of_sklearn(average: str, which: str) -> Reference:
    def value(gold: NDArray[np.int64], output: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
        from sklearn.metrics import precision_recall_fscore_support

        place = {"precision": 0, "recall": 1, "f1": 2}[which]
        return float(precision_recall_fscore_support(gold, output, average=average, zero_division=0)[place])

    return value


def _auc(gold: NDArray[np.int64], output: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    from sklearn.metrics import roc_auc_score

    if scores.shape[1] == 2:
        return float(roc_auc_score(gold, scores[:, 1]))
    return float(roc_auc_score(gold, scores, multi_class="ovr", average="macro"))


def _average_precision(gold: NDArray[np.int64], output: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    from sklearn.metrics import average_precision_score

    classes = [1] if scores.shape[1] == 2 else range(scores.shape[1])
    return float(np.mean([average_precision_score(gold == c, scores[:, c]) for c in classes]))


def _ece(gold: NDArray[np.int64], output: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    total = 0.0
    given = [scores[i, k] for i, k in enumerate(output)]
    for b in range(10):
        inside = [i for i, c in enumerate(given) if b / 10 < c <= (b + 1) / 10]
        if inside:
            hits = sum(gold[i] == output[i] for i in inside) / len(inside)
            total += len(inside) / len(gold) * abs(hits - sum(given[i] for i in inside) / len(inside))
    return total


def _plain(name: str, on_scores: bool = False) -> Reference:
    def value(gold: NDArray[np.int64], output: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
        import sklearn.metrics

        return float(getattr(sklearn.metrics, name)(gold, scores if on_scores else output))

    return value


def _brier(gold: NDArray[np.int64], output: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    from sklearn.metrics import brier_score_loss

    return float(brier_score_loss(gold, scores[:, 1] if scores.shape[1] == 2 else scores))


REFERENCES: dict[str, Reference] = {
    "accuracy": _plain("accuracy_score"),
    "balanced_accuracy": _plain("balanced_accuracy_score"),
    "mcc": _plain("matthews_corrcoef"),
    "log_loss": _plain("log_loss", on_scores=True),
    "brier": _brier,
    "roc_auc": _auc,
    "pr_auc": _average_precision,
    "ece": _ece,
    **{
        f"{which}_{average}": of_sklearn(average, which)
        for which in ("precision", "recall", "f1")
        for average in ("macro", "micro", "weighted")
    },
}


@pytest.fixture(params=NAMES)
def metric(request: pytest.FixtureRequest) -> Metric:
    built: Metric = build("metric", request.param)
    return built


def test_protocol(metric: Metric) -> None:
    assert isinstance(metric, Metric)
    assert isinstance(metric, (Counted, Averaged, Ranked))
    assert metric.better in ("higher", "lower")
    assert list(dump(metric)) == [metric.name]
    assert metric.title
    assert metric == build("metric", metric.name)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("skill", [0.0, 1.5])
def test_matches_the_slow_reference(metric: Metric, classes: int, skill: float) -> None:
    p = predictions(120, classes, seed=classes, skill=skill)
    expected = REFERENCES[metric.name](p.gold, p.output, p.scores)
    assert metric.value(p) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"roc_auc", "pr_auc", "log_loss", "brier"}))
def test_a_class_that_is_only_an_output_counts_as_in_the_reference(name: str) -> None:
    p = as_given([0, 0, 1, 1, 0], [0, 1, 1, 2, 0], 5)
    if name == "balanced_accuracy":
        assert build("metric", name).value(p) == pytest.approx((2 / 3 + 1 / 2) / 2)
    else:
        expected = REFERENCES[name](p.gold, p.output, p.scores)
        assert build("metric", name).value(p) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 4])
def test_lies_within_its_bounds_and_ignores_the_order_of_items(metric: Metric, classes: int) -> None:
    p = predictions(60, classes, seed=3)
    value = metric.value(p)
    assert value is not None and metric.bounds[0] <= value <= metric.bounds[1]
    order = np.random.default_rng(0).permutation(len(p))
    assert metric.value(take(p, [p.ids[i] for i in order])) == pytest.approx(value, abs=1e-12)


def test_ignores_the_names_and_the_order_of_labels(metric: Metric) -> None:
    p = predictions(60, 3, seed=4)
    turn = np.array([2, 0, 1])
    turned = replace(p, gold=turn[p.gold], output=turn[p.output], scores=p.scores[:, np.argsort(turn)])
    assert metric.value(turned) == pytest.approx(metric.value(p), abs=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
def test_perfection_is_the_best_value(metric: Metric, classes: int) -> None:
    best = metric.bounds[1] if metric.better == "higher" else metric.bounds[0]
    assert metric.value(perfect(predictions(40, classes))) == pytest.approx(best, abs=1e-12)


def test_better_predictions_score_better(metric: Metric) -> None:
    poor, good = (metric.value(predictions(2000, 3, seed=1, skill=s)) for s in (0.1, 4.0))
    assert poor is not None and good is not None
    assert (good > poor) == (metric.better == "higher")


def test_items_without_a_label_do_not_count(metric: Metric) -> None:
    p = predictions(50, 3, seed=5)
    gold = p.gold.copy()
    gold[::5] = -1
    some = replace(p, gold=gold)
    kept = take(p, [p.ids[i] for i in range(50) if i % 5])
    assert metric.value(some) == metric.value(kept) != metric.value(p)
    items = metric.items(some)
    assert items is None or items.shape == (40,)


def test_items_have_the_value_as_their_mean(metric: Metric) -> None:
    p = predictions(50, 3, seed=6)
    items = metric.items(p)
    if metric.name in ("accuracy", "log_loss", "brier"):
        assert items is not None
    if items is not None:
        assert items.mean() == pytest.approx(metric.value(p), abs=1e-12)


@pytest.mark.parametrize("name", [name for name in NAMES if isinstance(build("metric", name), Ranked)])
def test_influences_predict_a_change_of_weight(name: str) -> None:
    metric: Ranked = build("metric", name)
    p = predictions(80, 3, seed=7)
    value, influence = metric.influence(p)
    assert influence.sum() == pytest.approx(0, abs=1e-12)
    copies = 40  # every item 40 times, item k 41 times: a weight of 1 + 1/40 by arithmetic on repeated items
    for k in range(0, 80, 9):
        rows = np.concatenate([np.repeat(np.arange(80), copies), [k]])
        more = Predictions("t", "s", p.labels, tuple(map(str, range(len(rows)))), p.gold[rows], p.output[rows], p.scores[rows])  # fmt: skip  # noqa: E501
        changed = metric.value(more)
        assert changed is not None
        assert (changed - value) * copies == pytest.approx(influence[k], rel=0.08, abs=2e-4)


DEGENERATE = {
    "one class": as_given([0] * 8, [0, 0, 1, 1, 0, 2, 0, 0], 3),
    "one class, all right": as_given([0] * 8, [0] * 8, 3),
    "one label only": as_given([0] * 4, [0] * 4, 1),
    "one item": as_given([1], [1], 2),
    "one item, wrong": as_given([1], [0], 2),
    "all right": as_given([0, 1, 2, 0], [0, 1, 2, 0], 3),
    "all wrong": as_given([0, 1, 2, 0], [1, 2, 0, 1], 3),
    "constant output": as_given([0, 1, 2, 0], [1, 1, 1, 1], 3),
    "no label at all": as_given([-1, -1], [0, 1], 2),
    "no item": as_given([], [], 2),
    "some unlabelled": as_given([-1, 1, 0, 1], [0, 1, 0, 0], 2),
}


@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_items_give_a_finite_value_or_a_reason(metric: Metric, case: str) -> None:
    p = DEGENERATE[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, reason = metric.value(p), metric.undefined(p)
        assert (value is None) == (reason is not None)
        assert value is None or math.isfinite(value)
        found = score(p, 50, 0.95, 0)[metric.name]
    if value is None:
        assert found == {"value": None, "reason": reason}
    else:
        assert found["value"] == pytest.approx(value)
        for end in ("low", "high"):
            assert found[end] is None or math.isfinite(found[end])
        if found["low"] is not None:
            assert metric.bounds[0] <= found["low"] <= value <= found["high"] <= metric.bounds[1]


def test_the_reasons_are_given() -> None:
    assert build("metric", "roc_auc").undefined(DEGENERATE["one class"]) is not None
    assert build("metric", "mcc").undefined(DEGENERATE["one class"]) is not None
    assert build("metric", "accuracy").undefined(DEGENERATE["one class"]) is None
    assert all(build("metric", name).undefined(DEGENERATE["no label at all"]) for name in NAMES)


def test_interval_holds_the_value_and_narrows_with_more_items(metric: Metric) -> None:
    few, many = (score(predictions(n, 3, seed=8), 200, 0.95, 0)[metric.name] for n in (100, 2500))
    assert few["low"] <= few["value"] <= few["high"] and few["items"] == 100
    assert 0 < many["high"] - many["low"] < 0.5 * (few["high"] - few["low"])
