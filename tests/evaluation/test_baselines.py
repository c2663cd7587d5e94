"""Baselines: honest, deterministic, and strong enough to be worth beating."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tunewright.core.errors import DataError
from tunewright.core.records import Record, Source, content_id
from tunewright.evaluation import baselines
from tunewright.evaluation.baselines import cjk, linear, majority, tfidf


def record(text: str, label: str | None, n: int = 0) -> Record:
    return Record(content_id(text, str(n)), text, label, Source("x.csv", n))


def english(n: int, seed: int = 0) -> list[Record]:
    rng = np.random.default_rng(seed)
    words = {"good": ["great", "love", "fine", "nice"], "bad": ["awful", "hate", "broken", "late"], "so": ["ok", "meh"]}
    rows = []
    for i in range(n):
        label = ("good", "bad", "so")[int(rng.choice(3, p=[0.5, 0.3, 0.2]))]
        filler = " ".join(rng.choice(["the", "app", "order", "it", "was", "is", "today"], 5))
        told = label if rng.random() < 0.9 else "bad"
        rows.append(record(f"{filler} {rng.choice(words[told])}", label, i))
    return rows


def accuracy(contender: baselines.Contender) -> float:
    p = contender.predictions.supervised()
    return float((p.gold == p.output).mean())


def test_majority() -> None:
    train, items = english(100), english(50, 1)
    p = majority(train, items).predictions
    assert p.labels == ("bad", "good", "so") and p.ids == tuple(r.id for r in items)
    assert set(p.output) == {1}
    shares = [sum(r.label == label for r in train) / 100 for label in p.labels]
    assert p.scores == pytest.approx(np.tile(shares, (50, 1)))
    assert p.seconds is not None and (p.seconds >= 0).all()


def test_tfidf_learns_and_repeats_itself() -> None:
    train, items = english(300), english(200, 1)
    first, again = tfidf(train, items, 0), tfidf(train, items, 0)
    assert accuracy(first) > 0.8 > accuracy(majority(train, items))
    assert np.array_equal(first.predictions.scores, again.predictions.scores)
    assert first.predictions.scores.sum(axis=1) == pytest.approx(1)
    assert first.predictions.seconds is not None and (first.predictions.seconds > 0).all()
    assert (first.name, first.role, first.predictions.split) == ("tfidf", "baseline", "test")


def test_tfidf_reads_chinese() -> None:
    train = [
        record(f"{'味道很好，推荐' if i % 2 else '送得太慢，难吃'}{i}", "好" if i % 2 else "差", i) for i in range(40)
    ]
    items = [record("难吃，不会再来", "差"), record("好吃，味道不错，推荐", "好")]
    assert accuracy(tfidf(train, items)) == 1.0
    assert cjk([r.text for r in train]) and not cjk(["plain words", "naïve 词"]) and not cjk(["", "!!"])


def test_strength_is_chosen_on_validation_and_never_on_the_items(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[float] = []
    real = baselines._fit

    def spy(*given: object, **options: object) -> object:
        fitted = real(*given, **options)  # type: ignore[arg-type]
        chosen.append(fitted.C)
        return fitted

    monkeypatch.setattr(baselines, "_fit", spy)
    rng = np.random.default_rng(0)
    train = [record(f"w{rng.integers(30)} w{rng.integers(30)}", "ab"[int(rng.integers(2))], i) for i in range(80)]
    noise = [record(f"w{i % 30} w{i % 7}", "ab"[int(rng.integers(2))], 1000 + i) for i in range(60)]
    tfidf(train, train, validation=noise)
    assert chosen[-1] == min(baselines.STRENGTHS), "nothing can be learnt: the strongest penalty"
    tfidf(train, noise, validation=train)
    assert chosen[-1] == max(baselines.STRENGTHS), "validation equals train: the weakest penalty"
    tfidf(train, train)
    assert chosen[-1] == min(baselines.STRENGTHS), "inner folds see that nothing can be learnt"


def test_linear_standardises_and_survives_constant_features() -> None:
    train, items = english(300), english(200, 1)

    def features(rows: list[Record], seed: int) -> np.ndarray:
        y = np.array([("bad", "good", "so").index(str(r.label)) for r in rows])
        x = np.random.default_rng(seed).normal(size=(len(rows), 5)) + np.eye(5)[y] * 3
        x[:, 4] = 7.0
        return (x * np.array([1e-3, 1e4, 1, 1, 1])).astype(np.float32)

    x, y = features(train, 0), features(items, 1)
    found = linear(x, train, y, items, validation_features=y, validation=items, seconds=0.5)
    assert accuracy(found) > 0.85
    assert found.predictions.seconds is not None and found.predictions.seconds.min() >= 0.5
    assert accuracy(linear(x, train, y, items)) > 0.85
    shifted = y.copy()
    shifted[:, 4] += 1e-3
    assert linear(x, train, shifted, items).predictions.scores == pytest.approx(
        linear(x, train, y, items).predictions.scores
    )
    with pytest.raises(DataError, match="features of items"):
        linear(x, train, np.full_like(y, np.nan), items)


def test_small_and_odd_training_sets() -> None:
    one_class = [record("a b", "x", 1), record("c d", "x", 2)]
    items = [record("a", "x"), record("b", "y"), record("", None)]
    p = tfidf(one_class, items).predictions
    assert p.labels == ("x", "y") and list(p.output) == [0, 0, 0] and list(p.gold) == [0, 1, -1]
    pair = [record("good", "x", 1), record("bad", "y", 2)]
    assert list(tfidf(pair, [record("good", "x"), record("bad", "y")]).predictions.output) == [0, 1]
    silent = [record("!", "x", 1), record("?", "y", 2), record(".", "y", 3)]
    assert list(tfidf(silent, items).predictions.output) == [1, 1, 1]
    assert len(tfidf(pair, []).predictions) == 0
    assert len(majority(pair, []).predictions) == 0
    with pytest.raises(DataError, match="no training item has a label"):
        majority([record("a", None)], items)
    with pytest.raises(DataError, match="labels y"):
        tfidf(pair, items, labels=("x",))


def test_tfidf_on_tweets_is_a_strong_baseline(shared: Path) -> None:
    import csv

    with (shared / "data" / "tweets" / "tweets.csv").open(encoding="utf-8", newline="") as file:
        rows = [record(r["text"], r["sentiment"], i) for i, r in enumerate(csv.DictReader(file))]
    found = tfidf(rows[:800], rows[800:1600], validation=rows[1600:1800])
    assert accuracy(found) > 0.52
