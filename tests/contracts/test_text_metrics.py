"""What every registered metric of texts, likelihoods and margins must do. Registering a metric tests it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from tunewright.core.outcomes import Judged, Likelihoods, Margins, Texts
from tunewright.core.registry import dump, members
from tunewright.evaluation.scoring import score
from tunewright.metrics import TASKS, Averaged, Metric, task_of

NAMES = ("chat", "seq2seq", "language_modeling", "preference", "reward")
CASES = [(task, name) for task in NAMES for name in sorted(members(TASKS[task].family))]
WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "saw", "two", "dogs.", "Why", "not?\n")
NAN = float("nan")


def texts(n: int, seed: int = 0, skill: float = 0.6, task: str = "chat") -> Texts:
    """Outputs keep each word of the gold text with probability `skill`."""
    rng = np.random.default_rng([seed, n])
    gold = [list(rng.choice(WORDS, rng.integers(4, 14))) for _ in range(n)]
    output = [[word if rng.random() < skill else str(rng.choice(WORDS)) for word in words] for words in gold]
    tokens = np.array([len(words) for words in gold])
    nll = tokens * np.exp(rng.normal(1 - skill, 0.2, n))
    ids = tuple(f"i{i}" for i in range(n))
    return Texts(
        "tuned", "test", (), ids, *(tuple(map(" ".join, side)) for side in (gold, output)), nll, tokens, task=task
    )


def likelihoods(n: int, seed: int = 0, skill: float = 0.6) -> Likelihoods:
    rng = np.random.default_rng([seed, n])
    tokens = rng.integers(5, 60, n)
    nll = tokens * np.exp(rng.normal(1 - skill, 0.2, n))
    return Likelihoods("tuned", "test", (), tuple(f"i{i}" for i in range(n)), nll, tokens, tokens * 4)


def margins(n: int, seed: int = 0, skill: float = 0.6, task: str = "preference") -> Margins:
    rng = np.random.default_rng([seed, n])
    chosen, rejected = rng.normal(skill, 1, n), rng.normal(0, 1, n)
    return Margins("tuned", "test", (), tuple(f"i{i}" for i in range(n)), chosen, rejected, task=task)


def sample(task: str, n: int, **options: Any) -> Any:
    if task == "language_modeling":
        return likelihoods(n, **options)
    return (texts if task in ("chat", "seq2seq") else margins)(n, task=task, **options)


def perfect(p: Any) -> Judged:
    if isinstance(p, Texts):
        return replace(p, output=tuple(text or "" for text in p.gold), nll=np.zeros(len(p)))
    if isinstance(p, Likelihoods):
        return replace(p, nll=np.zeros(len(p)))
    return replace(p, chosen=np.abs(p.chosen) + 1, rejected=-np.abs(p.rejected))


@cache
def _scorer() -> RougeScorer:
    return RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"])


def _rouge(name: str) -> Callable[[Texts], float]:
    return lambda p: float(
        np.mean([_scorer().score(a, b)[name].fmeasure for a, b in zip(p.gold, p.output, strict=True)])
    )


REFERENCES: dict[str, Callable[[Any], float]] = {
    **{f"text_metric {name}": _rouge(name) for name in ("rouge1", "rouge2", "rougeL", "rougeLsum")},
    "text_metric bleu": lambda p: sacrebleu.corpus_bleu(p.output, [p.gold]).score,
    "text_metric chrf": lambda p: sacrebleu.corpus_chrf(p.output, [p.gold]).score,
    "text_metric exact_match": lambda p: sum(a == b for a, b in zip(p.gold, p.output, strict=True)) / len(p),
    "text_metric length_ratio": lambda p: len("".join(p.output)) / len("".join(p.gold)),
    "text_metric loss": lambda p: sum(p.nll) / sum(p.tokens),
    "likelihood_metric loss": lambda p: sum(p.nll) / sum(p.tokens),
    "likelihood_metric perplexity": lambda p: math.exp(sum(p.nll) / sum(p.tokens)),
    "likelihood_metric bits_per_byte": lambda p: sum(p.nll) / math.log(2) / sum(p.bytes),
    "preference_metric accuracy": lambda p: sum(a > b for a, b in zip(p.chosen, p.rejected, strict=True)) / len(p),
    "preference_metric margin": lambda p: sum(a - b for a, b in zip(p.chosen, p.rejected, strict=True)) / len(p),
}


@pytest.fixture(params=CASES, ids=" ".join)
def case(request: pytest.FixtureRequest) -> tuple[str, Metric]:
    task, name = request.param
    return task, TASKS[task].metric(name)


def test_protocol(case: tuple[str, Metric]) -> None:
    task, metric = case
    assert isinstance(metric, Metric) and isinstance(metric, Averaged)
    assert metric.better in ("higher", "lower", "neither") and metric.title
    assert list(dump(metric)) == [metric.name]
    assert task_of(sample(task, 5)).name == task
    assert metric.name in TASKS[task].order, "its place among the others"
    assert TASKS[task].primary in TASKS[task].order and set(TASKS[task].also) < set(TASKS[task].order)


@pytest.mark.parametrize("skill", [0.0, 0.5, 0.95])
def test_matches_the_reference(case: tuple[str, Metric], skill: float) -> None:
    task, metric = case
    p = sample(task, 60, skill=skill)
    assert metric.value(p) == pytest.approx(REFERENCES[f"{TASKS[task].family} {metric.name}"](p), abs=1e-9)


def test_lies_within_its_bounds_and_ignores_the_order_of_items(case: tuple[str, Metric]) -> None:
    task, metric = case
    p = sample(task, 60, seed=3)
    value = metric.value(p)
    assert value is not None and metric.bounds[0] <= value <= metric.bounds[1]
    assert metric.value(p.taken(np.random.default_rng(0).permutation(60))) == pytest.approx(value, abs=1e-9)


def test_perfection_is_the_best_value(case: tuple[str, Metric]) -> None:
    task, metric = case
    value = metric.value(perfect(sample(task, 40)))
    if metric.better == "neither":
        assert value == 1.0
    elif metric.name == "margin":
        assert value is not None and value > 1
    else:
        best = metric.bounds[1] if metric.better == "higher" else metric.bounds[0]
        assert value == pytest.approx(best, abs=1e-9)


def test_better_predictions_score_better(case: tuple[str, Metric]) -> None:
    task, metric = case
    poor, good = (metric.value(sample(task, 800, seed=1, skill=s)) for s in (0.2, 0.9))
    assert poor is not None and good is not None
    if metric.better != "neither":
        assert (good > poor) == (metric.better == "higher")


@pytest.mark.parametrize("name", sorted(members("text_metric")))
def test_items_without_gold_do_not_count(name: str) -> None:
    metric, p = TASKS["chat"].metric(name), texts(50, seed=5)
    some = replace(p, gold=tuple(None if i % 5 == 0 else text for i, text in enumerate(p.gold)))
    kept = p.taken(np.flatnonzero(np.arange(50) % 5))
    assert metric.value(some) == metric.value(kept) != metric.value(p)
    items = metric.items(some)
    assert items is None or items.shape == (40,)


def test_items_have_the_value_as_their_mean(case: tuple[str, Metric]) -> None:
    task, metric = case
    p = sample(task, 50, seed=6)
    items = metric.items(p)
    means = ("rouge1", "rouge2", "rougeL", "rougeLsum", "exact_match", "accuracy", "margin")
    assert (items is not None) == (metric.name in means)
    if items is not None:
        assert items.mean() == pytest.approx(metric.value(p), abs=1e-12)
        assert not getattr(metric, "binary", False) or set(items) <= {0.0, 1.0}


def test_a_resample_has_the_value_of_its_items(case: tuple[str, Metric]) -> None:
    """What intervals are made of: means of columns give what the metric says of those items themselves."""
    task, metric = case
    assert isinstance(metric, Averaged)
    p = sample(task, 40, seed=9, skill=0.3)
    for seed in range(5):
        rows = np.random.default_rng(seed).integers(0, 40, 40)
        found = float(metric.of_means(metric.columns(p)[rows].mean(axis=0)))
        assert found == pytest.approx(metric.value(p.taken(rows)), abs=1e-9)


def test_many_resamples_at_once_are_each_alone(case: tuple[str, Metric]) -> None:
    task, metric = case
    assert isinstance(metric, Averaged)
    columns = metric.columns(sample(task, 30, seed=2))
    means = np.random.default_rng(0).dirichlet(np.ones(30), size=(2, 3)) @ columns
    together = metric.of_means(means)
    assert together.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            assert float(metric.of_means(means[i, j])) == pytest.approx(together[i, j], abs=1e-12)


def _pairs(*pairs: tuple[str | None, str], nll: Any = None) -> Texts:
    n = len(pairs)
    gold, output = zip(*pairs, strict=True)
    given = np.full(n, NAN) if nll is None else np.array(nll, float)
    return Texts("tuned", "test", (), tuple(f"i{i}" for i in range(n)), gold, output, given, np.full(n, 3))


def _documents(nll: Any, tokens: Any, size: Any) -> Likelihoods:
    ids = tuple(f"i{i}" for i in range(len(nll)))
    return Likelihoods("tuned", "test", (), ids, np.array(nll, float), np.array(tokens, int), np.array(size, int))


def _margins(chosen: Any, rejected: Any) -> Margins:
    ids = tuple(f"i{i}" for i in range(len(chosen)))
    return Margins("tuned", "test", (), ids, np.array(chosen, float), np.array(rejected, float))


DEGENERATE: dict[str, Any] = {
    "one item": _pairs(("a b c d e", "a b c d"), nll=[2.0]),
    "no gold text": _pairs((None, "a"), (None, "b")),
    "empty texts": _pairs(("", ""), ("", "")),
    "empty gold": _pairs(("", "a"), ("", "b c")),
    "empty output": _pairs(("a b", ""), ("c d", "")),
    "punctuation": _pairs(("...", "!!!"), ("?", "。")),
    "nothing in common": _pairs(("a b c d e", "v w x y z"), ("a b c d e", "v w x y z")),
    "all equal": _pairs(*[("a b c d e", "a b c d e")] * 4, nll=[0.0] * 4),
    "some nats unknown": _pairs(("a", "a"), ("b", "c"), ("c", "c"), nll=[NAN, 3.0, NAN]),
    "no document": _documents([], [], []),
    "one document": _documents([3.0], [2], [9]),
    "empty documents": _documents([0.0, 0.0], [0, 0], [0, 0]),
    "one empty document": _documents([0.0, 5.0], [0, 2], [0, 9]),
    "endless perplexity": _documents([1e6, 2e6], [1, 1], [4, 4]),
    "no pair": _margins([], []),
    "ties": _margins([1.0, 1.0], [1.0, 1.0]),
    "thumbs": _margins([1.0, NAN, NAN], [NAN, 2.0, -2.0]),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_items_give_a_finite_value_or_a_reason(name: str) -> None:
    p = DEGENERATE[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scored = score(p, 50, 0.95, 0)
        for metric in task_of(p).metrics().values():
            value, reason, found = metric.value(p), metric.undefined(p), scored[metric.name]
            assert (value is None) == (reason is not None), metric.name
            if value is None:
                assert found == {"value": None, "reason": reason}
                continue
            assert math.isfinite(value) and found["value"] == pytest.approx(value)
            for end in ("low", "high"):
                assert found[end] is None or math.isfinite(found[end])
            if found["low"] is not None:
                assert metric.bounds[0] <= found["low"] <= value <= found["high"] <= metric.bounds[1]


def test_what_has_no_value_says_why() -> None:
    chat, documents = TASKS["chat"], TASKS["language_modeling"]
    copied = _pairs(("a b", "a b"), ("c", "d"))
    assert chat.metric("loss").undefined(copied) == "it gives no likelihood of the gold texts"
    assert chat.metric("rougeL").value(copied) == 0.5
    assert chat.metric("length_ratio").undefined(DEGENERATE["empty gold"]) == "every gold text is empty"
    assert {m.undefined(DEGENERATE["no gold text"]) for m in chat.metrics().values()} == {"no item has a gold text"}
    counted = _documents([9.0, 9.0], [0, 0], [4, 5])
    assert documents.metric("bits_per_byte").value(counted) == pytest.approx(2 / math.log(2))
    assert "only bits per byte" in str(documents.metric("perplexity").undefined(counted))
    assert documents.metric("bits_per_byte").undefined(DEGENERATE["no document"]) == "there is no document"
    assert TASKS["reward"].metric("accuracy").undefined(_margins([], [])) == "there is no pair"


def test_by_pencil() -> None:
    accuracy, margin = (TASKS["preference"].metric(name) for name in ("accuracy", "margin"))
    p = _margins([2.0, 1.0, 0.5, NAN], [1.0, 3.0, 0.5, -4.0])
    assert accuracy.value(p) == (1 + 0 + 0.5 + 1) / 4 and margin.value(p) == (1 - 2 + 0 + 4) / 4
    known = _pairs(("a", "a"), ("b", "c"), ("c", "c"), nll=[NAN, 6.0, 1.5])
    assert TASKS["chat"].metric("loss").value(known) == 7.5 / 6, "over the items whose likelihood is known"
    documents = _documents([math.log(2) * 8, math.log(2) * 4], [3, 1], [10, 2])
    values = {name: metric.value(documents) for name, metric in TASKS["language_modeling"].metrics().items()}
    assert values == pytest.approx({"bits_per_byte": 1.0, "perplexity": 8.0, "loss": 3 * math.log(2)})
    close = _pairs((" yes ", "yes"), ("no", "No"))
    assert TASKS["chat"].metric("exact_match").value(close) == 0.5


def test_interval_holds_the_value_and_narrows_with_more_items(case: tuple[str, Metric]) -> None:
    task, metric = case
    few, many = (score(sample(task, n, seed=8), 200, 0.95, 0)[metric.name] for n in (50, 800))
    assert few["low"] <= few["value"] <= few["high"] and few["items"] == 50
    assert 0 < many["high"] - many["low"] < 0.6 * (few["high"] - few["low"]) or metric.name == "exact_match"


@pytest.mark.parametrize(("task", "name"), [("chat", "rougeL"), ("chat", "chrf"), ("chat", "bleu"), ("chat", "loss"),
                                            ("language_modeling", "bits_per_byte"), ("preference", "margin")])  # fmt: skip
def test_intervals_cover_as_often_as_they_say(task: str, name: str) -> None:
    """Samples of 60 items out of 2,000, whose own value is the truth."""
    everything, metric = sample(task, 2000, seed=77, skill=0.5), TASKS[task].metric(name)
    assert isinstance(metric, Averaged)
    truth, columns = metric.value(everything), metric.columns(everything)
    hits, rounds, rng = 0, 250, np.random.default_rng(0)
    for _ in range(rounds):
        mine = columns[rng.integers(0, 2000, 60)]
        if name == "bleu":
            mine = np.concatenate([mine[:, :-1], np.full((60, 1), 60.0)], axis=1)
        drawn = rng.multinomial(60, np.full(60, 1 / 60), size=300) @ mine / 60
        low, high = np.quantile(metric.of_means(drawn), [0.025, 0.975])
        hits += low <= truth <= high
    assert 0.87 < hits / rounds < 0.99


def test_a_constant_score_is_no_certainty() -> None:
    for name in ("nothing in common", "all equal"):
        found = score(DEGENERATE[name], 50, 0.95, 0)
        for metric in ("rougeL", "chrf", "bleu"):
            width = found[metric]["high"] - found[metric]["low"]
            assert width > (0.3 if metric == "rougeL" else 30), (name, metric)
