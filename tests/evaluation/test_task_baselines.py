"""Baselines of numbers and of label sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from tunewright.core.errors import DataError
from tunewright.core.records import Record, Source, content_id
from tunewright.evaluation import heads, multilabel_baselines, regression_baselines
from tunewright.evaluation.baselines import majority as plain_majority
from tunewright.evaluation.features import standardiser
from tunewright.evaluation.ladders import LADDERS
from tunewright.metrics import TASKS


def record(text: str, label: Any, n: int = 0, pair: str | None = None) -> Record:
    given = None if label is None else json.dumps(label, ensure_ascii=False, separators=(",", ":"))
    return Record(content_id(text, str(n)), text, given, Source("x.csv", n), pair)


def emotional(n: int, seed: int = 0) -> list[Record]:
    """Texts whose words tell their labels; a third have none."""
    rng, words = np.random.default_rng(seed), {"anger": "furious", "joy": "glad", "love": "dear"}
    rows = []
    for i in range(n):
        labels = [name for name, p in zip(words, (0.3, 0.4, 0.1), strict=True) if rng.random() < p]
        said = [words[name] for name in labels if rng.random() < 0.9]
        rows.append(record(" ".join([*rng.choice(["the", "train", "is", "today"], 4), *said]), labels, i))
    return rows


def priced(n: int, seed: int = 0, targets: int = 1) -> list[Record]:
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        parts = rng.integers(0, 2, 3)
        value = 100.0 + parts @ [30.0, 20.0, 10.0] + rng.normal(0, 2)
        text = " ".join(w for w, has in zip(("garden", "garage", "cellar"), parts, strict=True) if has)
        rows.append(record(f"house {text}", [value, -3 * value][:targets], i))
    return rows


def value(contender: Any, metric: str, task: str) -> float:
    return float(TASKS[task].metric(metric).value(contender.predictions))


def test_most_frequent_labels() -> None:
    train, items, held = emotional(300), emotional(80, 1), emotional(100, 2)
    found = multilabel_baselines.majority(train, items, validation=held)
    p: Any = found.predictions
    assert (found.title, p.labels, p.ids) == (
        "Most frequent labels",
        ("anger", "joy", "love"),
        tuple(r.id for r in items),
    )
    shares = [np.mean([name in json.loads(r.label or "") for r in train]) for name in p.labels]
    assert p.scores == pytest.approx(np.tile(shares, (80, 1)))
    assert p.output[0].tolist() == [True, True, False] and (p.output == p.output[0]).all()
    without: Any = multilabel_baselines.majority(train, items).predictions
    assert not without.output.any(), "no validation: one half, which no share reaches"


def test_label_sets_are_learnt_from_words() -> None:
    train, items, held = emotional(400), emotional(150, 1), emotional(100, 2)
    trivial = multilabel_baselines.majority(train, items, validation=held)
    found, again = (multilabel_baselines.tfidf(train, items, 0, validation=held) for _ in range(2))
    assert value(found, "f1_micro", "multilabel") > 0.9 > 0.75 > value(trivial, "f1_micro", "multilabel")
    assert np.array_equal(found.predictions.scores, again.predictions.scores)  # type: ignore[attr-defined]
    assert (found.title, found.role, found.name) == ("TF-IDF + logistic regression", "baseline", "tfidf")
    assert value(multilabel_baselines.tfidf(train, items), "f1_micro", "multilabel") > 0.85, "inner folds"


def test_the_threshold_is_chosen_on_validation_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []

    def spy(gold: np.ndarray, scores: np.ndarray) -> np.ndarray:
        seen.append(gold)
        return np.full(gold.shape[1], 0.05)

    monkeypatch.setattr(multilabel_baselines, "tune", spy)
    train, items, held = emotional(100), emotional(30, 1), emotional(20, 2)
    p: Any = multilabel_baselines.tfidf(
        train, items, validation=[*held, record("x", ["unheard"]), record("y", None)]
    ).predictions
    assert len(seen) == 1 and seen[0].shape == (20, 3), "unlabelled items and unknown labels are left out"
    assert np.array_equal(p.output, p.scores >= 0.05)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("strength", [0.01, 1.0, 100.0])
def test_label_heads_are_logistic_regressions(sparse: bool, strength: float) -> None:
    from scipy.sparse import csr_array

    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)) * (rng.random((200, 6)) < 0.5)
    gold = (x @ rng.normal(size=(6, 3)) + rng.normal(size=(200, 3)) > [0, 1, 2]).astype(float)
    gold[:, 2] = 0
    head = heads._logistics(csr_array(x) if sparse else x, gold, strength)
    for c in range(2):
        reference = LogisticRegression(C=strength, tol=1e-8, max_iter=5000).fit(x, gold[:, c])
        assert head(x)[:, c] == pytest.approx(reference.predict_proba(x)[:, 1], abs=0.01)
    assert head(x)[:, 2] == pytest.approx(0.5 / 201)


def test_numbers_are_learnt_from_words() -> None:
    train, items = priced(300, targets=2), priced(100, 1, targets=2)
    mean = regression_baselines.majority(train, items, labels=("price", "debt"))
    p: Any = mean.predictions
    assert (mean.title, p.labels) == ("Training mean", ("price", "debt"))
    gold = np.array([json.loads(r.label or "") for r in train])
    assert p.output == pytest.approx(np.tile(gold.mean(axis=0), (100, 1)))
    assert p.gold.tolist() == [json.loads(r.label or "") for r in items]
    for held in (None, priced(50, 2, targets=2)):
        found = regression_baselines.tfidf(train, items, validation=held)
        assert found.title == "TF-IDF + ridge" and found.predictions.labels == ("target 1", "target 2")
        assert value(found, "r2", "regression") > 0.95 > 0.01 > value(mean, "r2", "regression")


def test_penalties_are_chosen_on_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[float] = []
    real = heads._chosen

    def spy(fit: Any, *given: Any) -> Any:
        def noted(x: Any, gold: Any, strength: float) -> Any:
            head = fit(x, gold, strength)
            head.strength = strength
            return head

        head = real(noted, *given)
        chosen.append(head.strength)
        return head

    monkeypatch.setattr(heads, "_chosen", spy)
    rng = np.random.default_rng(0)
    noise = [record(f"w{rng.integers(30)} w{rng.integers(30)}", [float(rng.normal())], i) for i in range(90)]
    regression_baselines.tfidf(noise[:60], noise[60:], validation=noise[60:])
    assert chosen[-1] == max(regression_baselines.PENALTIES), "nothing can be learnt"
    regression_baselines.tfidf(noise[:60], noise[60:])
    assert chosen[-1] == max(regression_baselines.PENALTIES), "inner folds see it too"
    regression_baselines.tfidf(noise[:60], noise[60:], validation=noise[:60])
    assert chosen[-1] == min(regression_baselines.PENALTIES), "validation equals train"
    labelled = [record(r.text, [["a"], ["b"], []][i % 3], i) for i, r in enumerate(noise)]
    multilabel_baselines.tfidf(labelled[:60], labelled[60:], validation=labelled[60:])
    assert chosen[-1] == min(multilabel_baselines.STRENGTHS)
    multilabel_baselines.tfidf(labelled[:60], labelled[60:], validation=labelled[:60])
    assert chosen[-1] == max(multilabel_baselines.STRENGTHS)


def _features(rows: Sequence[Record], seed: int) -> np.ndarray:
    """What a frozen model might say: its spread differs by column, one column never moves."""
    y = np.array(
        [[("furious" in r.text), ("glad" in r.text), ("garden" in r.text or "dear" in r.text)] for r in rows], float
    )
    x = np.random.default_rng(seed).normal(size=(len(rows), 5))
    x[:, :3] += 4 * y
    x[:, 4] = 7.0
    return (x * np.array([1e-1, 1e4, 1, 1, 1])).astype(np.float32)


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_linear_standardises(task: str) -> None:
    make: Any = emotional if task == "multilabel" else priced
    train, items, held = make(300), make(100, 1), make(50, 2)
    train[0] = record(train[0].text, None)
    module, metric = LADDERS[task], {"multilabel": "f1_micro", "regression": "r2"}[task]
    x, y, z = _features(train, 0), _features(items, 1), _features(held, 2)
    for options in ({}, {"validation_features": z, "validation": held}):
        found = module.linear(x, train, y, items, seconds=0.5, **options)
        assert value(found, metric, task) > (0.8 if task == "multilabel" else 0.4)
        assert found.predictions.seconds is not None and found.predictions.seconds.min() >= 0.5
    shifted = y.copy()
    shifted[:, 4] += 1e-3
    a, b = (module.linear(x, train, one, items).predictions for one in (y, shifted))
    name = "scores" if task == "multilabel" else "output"
    assert getattr(a, name) == pytest.approx(getattr(b, name))
    with pytest.raises(DataError, match="features of items"):
        module.linear(x, train, np.full_like(y, np.nan), items)


def test_features_that_hardly_move_are_silent() -> None:
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(5, 100, 50), 7 + 1e-9 * rng.normal(size=50)], axis=1)
    scaled = standardiser(x)
    assert scaled(x)[:, 0].mean() == pytest.approx(0, abs=1e-12) and scaled(x)[:, 0].std() == pytest.approx(1)
    assert not scaled(x + 1)[:, 1].any()


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_small_and_odd_training_sets(task: str) -> None:
    module = LADDERS[task]
    some, other = (["a"], ["b"]) if task == "multilabel" else ([1.5], [2.0])
    items = [record("good", some), record("bad", other), record("", None)]
    pair = [record("good", some, 1), record("bad", other, 2)]
    p = module.tfidf(pair, items).predictions
    assert p.known().tolist() == [True, True, False] and p.gold_of(0) == some
    assert len(module.tfidf(pair, []).predictions) == len(module.majority(pair, []).predictions) == 0
    silent = [record("!", some, 1), record("?", other, 2)]
    assert module.tfidf(silent, items).predictions.ids == tuple(r.id for r in items)
    assert module.tfidf([record("a", some)], items[:1]).predictions.gold_of(0) == some
    with pytest.raises(DataError, match="no training item has a"):
        module.majority([record("a", None)], items)
    if task == "multilabel":
        with pytest.raises(DataError, match="labels b"):
            module.tfidf(pair, items, labels=("a",))
        empty: Any = module.tfidf([record("a b", [], 1), record("c d", some, 2)], items[:1]).predictions
        assert empty.labels == ("a",)
    else:
        with pytest.raises(DataError, match="items with 2 numbers"):
            module.tfidf([*pair, record("x", [1.0, 2.0])], items)


def test_every_task_is_asked_in_the_same_way() -> None:
    rows = {"classification": [Record("1", "a", "x", Source("f", 1)), Record("2", "b", "y", Source("f", 2))],
            "multilabel": emotional(10), "regression": priced(10),
            "token_classification": [record("Ann ran", [[0, 3, "PER"]], i) for i in range(3)]}  # fmt: skip
    for task, module in LADDERS.items():
        made = module.majority(rows[task], rows[task], validation=rows[task], labels=None, split="test")
        assert isinstance(made.predictions, TASKS[task].predictions)
    assert LADDERS["classification"].majority is plain_majority


def test_tfidf_on_emotions_and_similar_sentences(shared: Path) -> None:
    names = (shared / "data/goemotions/labels.txt").read_text(encoding="utf-8").split()
    lines = (shared / "data/goemotions/train8k.tsv").read_text(encoding="utf-8").splitlines()[:3000]
    rows = [
        record(text, sorted(names[int(k)] for k in labels.split(",")), i)
        for i, (text, labels, _) in enumerate(line.split("\t") for line in lines)
    ]
    labels = sorted(names)
    parts = {"train": rows[:2000], "items": rows[2000:2600]}
    found = multilabel_baselines.tfidf(**parts, validation=rows[2600:], labels=labels)
    trivial = multilabel_baselines.majority(**parts, validation=rows[2600:], labels=labels)
    assert value(found, "f1_micro", "multilabel") > value(trivial, "f1_micro", "multilabel") + 0.05
    p: Any = found.predictions
    assert value(found, "f1_micro", "multilabel") == pytest.approx(f1_score(p.gold, p.output, average="micro"))
    import csv

    with (shared / "data/stsb/stsb-en-train.csv").open(encoding="utf-8", newline="") as file:
        pairs = [record(a, [float(y)], i, b) for i, (a, b, y) in enumerate(csv.reader(file))][::3]
    alike = regression_baselines.tfidf(pairs[:1200], pairs[1200:1600], validation=pairs[1600:]).predictions
    assert pearsonr(alike.gold[:, 0], alike.output[:, 0]).statistic > 0.6  # type: ignore[attr-defined]
