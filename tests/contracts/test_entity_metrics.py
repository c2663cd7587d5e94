"""Entity metrics equal seqeval's, in its default reading and in the strict one, and do what every metric must do."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tunewright.core.outcomes import Entities, Span
from tunewright.core.registry import dump, members
from tunewright.data.tag_schemes import spans_of
from tunewright.evaluation.scoring import score
from tunewright.metrics import TASKS, Averaged, Metric, task_of

TASK = TASKS["token_classification"]
TYPES = ("LOC", "ORG", "PER")
NAMES = sorted(members("entity_metric"))
Tags = list[list[str]]


def entities(
    gold: Sequence[Sequence[Span] | None], output: Sequence[Sequence[Span]], types: Sequence[str] = TYPES
) -> Entities:
    ids = tuple(f"i{i}" for i in range(len(gold)))
    golds = tuple(None if spans is None else tuple(spans) for spans in gold)
    return Entities("tuned", "test", tuple(types), ids, golds, tuple(map(tuple, output)))


def from_tags(gold: Tags, output: Tags) -> Entities:
    return entities([spans_of(tags).spans for tags in gold], [spans_of(tags).spans for tags in output])


def some_tags(n: int, seed: int, valid: bool) -> Tags:
    """Random tags; where valid, an inside follows its own type."""
    rng, rows = np.random.default_rng(seed), []
    for _ in range(n):
        row: list[str] = []
        for _ in range(rng.integers(1, 14)):
            kind, mark = rng.choice(TYPES), rng.choice(["O", "O", "B", "I", "I"])
            tag = "O" if mark == "O" else f"{mark}-{kind}"
            if mark == "I" and valid:
                tag = f"I-{row[-1][2:]}" if row and row[-1] != "O" else "O"
            row.append(tag)
        rows.append(row)
    return rows


def noisy(rows: Tags, seed: int, valid: bool, share: float = 0.2) -> Tags:
    """The same tags, some of them others; where valid, mended."""
    rng, out = np.random.default_rng(seed), []
    for row in rows:
        new = [
            str(rng.choice(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])) if rng.random() < share else tag for tag in row
        ]
        for i, tag in enumerate(new):
            if valid and tag[0] == "I" and (i == 0 or new[i - 1][2:] != tag[2:]):
                new[i] = "B" + tag[1:]
        out.append(new)
    return out


def slow(gold: Tags, output: Tags) -> dict[str, float]:
    """Written out: entities as sets of (sentence, first, last, type), then the textbook's formulas."""

    def read(rows: Tags) -> set[tuple[int, int, int, str]]:
        found = set()
        for s, row in enumerate(rows):
            i = 0
            while i < len(row):
                if row[i] == "O":
                    i += 1
                    continue
                first, kind, i = i, row[i][2:], i + 1
                while i < len(row) and row[i] == f"I-{kind}":
                    i += 1
                found.add((s, first, i, kind))
        return found

    def figures(g: set[Any], o: set[Any]) -> tuple[float, float, float]:
        right = len(g & o)
        p, r = right / len(o) if o else 0.0, right / len(g) if g else 0.0
        return p, r, 2 * p * r / (p + r) if p + r else 0.0

    g, o = read(gold), read(output)
    kinds = sorted({entity[3] for entity in g | o})
    each = [figures({e for e in g if e[3] == k}, {e for e in o if e[3] == k})[2] for k in kinds]
    p, r, f = figures(g, o)
    return {"precision": p, "recall": r, "f1": f, "f1_macro": sum(each) / len(each)}


def by_seqeval(gold: Tags, output: Tags, **how: Any) -> dict[str, float]:
    measures = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed (the extra test)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        f1, precision, recall = (getattr(measures, f"{n}_score") for n in ("f1", "precision", "recall"))
        return {
            "f1": f1(gold, output, **how),
            "precision": precision(gold, output, **how),
            "recall": recall(gold, output, **how),
            "f1_macro": f1(gold, output, average="macro", **how),
        }


@pytest.fixture(params=NAMES)
def metric(request: pytest.FixtureRequest) -> Metric:
    return TASK.metric(request.param)


@pytest.mark.parametrize("valid", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_matches_the_reference(metric: Metric, seed: int, valid: bool) -> None:
    gold = some_tags(40, seed, valid)
    output = noisy(gold, seed, valid) if seed % 3 else some_tags(40, seed + 99, valid)
    assert metric.value(from_tags(gold, output)) == pytest.approx(slow(gold, output)[metric.name], abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_matches_seqeval_in_its_default_reading(metric: Metric, seed: int) -> None:
    gold = some_tags(30, seed, valid=seed % 2 == 0)
    output = noisy(gold, seed, valid=seed % 4 < 2)
    assert metric.value(from_tags(gold, output)) == pytest.approx(by_seqeval(gold, output)[metric.name], abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_matches_seqeval_in_its_strict_reading(metric: Metric, seed: int) -> None:
    """On valid sequences, which are all that the data side and the decoding of scores let through."""
    scheme = pytest.importorskip("seqeval.scheme", reason="seqeval is not installed (the extra test)")
    gold = some_tags(30, seed, valid=True)
    output = noisy(gold, seed, valid=True)
    expected = by_seqeval(gold, output, mode="strict", scheme=scheme.IOB2)
    assert metric.value(from_tags(gold, output)) == pytest.approx(expected[metric.name], abs=1e-12)


def sample(n: int, seed: int = 0, share: float = 0.2) -> Entities:
    gold = some_tags(n, seed, True)
    return from_tags(gold, noisy(gold, seed + 1, True, share))


def test_protocol(metric: Metric) -> None:
    assert isinstance(metric, Metric) and isinstance(metric, Averaged)
    assert metric.better == "higher" and metric.title and list(dump(metric)) == [metric.name]
    assert task_of(sample(5)) is TASK and metric.name in TASK.order


def test_perfection_bounds_and_order(metric: Metric) -> None:
    p = sample(60, 3)
    value = metric.value(p)
    assert value is not None and 0 < value < 1
    assert metric.value(p.taken(np.random.default_rng(0).permutation(60))) == pytest.approx(value, abs=1e-12)
    assert metric.value(replace(p, output=tuple(g or () for g in p.gold))) == 1.0
    poor = metric.value(sample(400, 3, share=0.8))
    assert poor is not None and poor < value


def test_items_without_gold_do_not_count(metric: Metric) -> None:
    p = sample(50, 5)
    some = replace(p, gold=tuple(None if i % 5 == 0 else g for i, g in enumerate(p.gold)))
    kept = p.taken(np.flatnonzero(np.arange(50) % 5))
    assert metric.value(some) == metric.value(kept) != metric.value(p)


def test_a_resample_has_the_value_of_its_items(metric: Metric) -> None:
    assert isinstance(metric, Averaged)
    p = sample(40, 9)
    for seed in range(5):
        rows = np.random.default_rng(seed).integers(0, 40, 40)
        found = float(metric.of_means(metric.columns(p)[rows].mean(axis=0)))
        assert found == pytest.approx(metric.value(p.taken(rows)), abs=1e-9)


DEGENERATE: dict[str, Entities] = {
    "no item": entities([], []),
    "not labelled": entities([None, None], [[], [(0, 1, "PER")]]),
    "none there, none found": entities([[]] * 4, [[]] * 4),
    "none there, some found": entities([[]] * 4, [[(0, 1, "PER")]] * 4),
    "some there, none found": entities([[(0, 1, "PER")]] * 4, [[]] * 4),
    "all right": entities([[(0, 1, "PER")], [(2, 5, "LOC")]], [[(0, 1, "PER")], [(2, 5, "LOC")]]),
    "one item": entities([[(0, 1, "PER")]], [[(0, 2, "PER")]]),
    "another type": entities([[(0, 1, "PER")]] * 3, [[(0, 1, "MISC")]] * 3),
    "no types": entities([[]], [[]], ()),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_items_give_a_finite_value_or_a_reason(name: str) -> None:
    p = DEGENERATE[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scored = score(p, 50, 0.95, 0)
        for metric in TASK.metrics().values():
            value, reason, found = metric.value(p), metric.undefined(p), scored[metric.name]
            assert (value is None) == (reason is not None)
            if value is None:
                assert found == {"value": None, "reason": reason}
                continue
            assert math.isfinite(value) and found["value"] == pytest.approx(value)
            if found["low"] is not None:
                assert 0 <= found["low"] <= value <= found["high"] <= 1


def test_what_has_no_value() -> None:
    f1 = TASK.metric("f1")
    assert f1.undefined(DEGENERATE["not labelled"]) == "no item has a label"
    assert f1.undefined(DEGENERATE["none there, none found"]) == "there is neither an entity nor an output"
    assert f1.value(DEGENERATE["none there, some found"]) == 0.0 == f1.value(DEGENERATE["some there, none found"])


def test_interval_holds_the_value_and_narrows_with_more_items(metric: Metric) -> None:
    few, many = (score(sample(n, 8), 200, 0.95, 0)[metric.name] for n in (100, 1600))
    assert few["low"] <= few["value"] <= few["high"] and few["items"] == 100
    assert 0 < many["high"] - many["low"] < 0.5 * (few["high"] - few["low"])
