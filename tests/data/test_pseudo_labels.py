"""Pseudo-labels: thresholds by measured precision, no copies, the trial, and rows that the ledger knows."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunewright.core.errors import DataError
from tunewright.core.records import Source, content_id
from tunewright.core.registry import build
from tunewright.data.journal import Draft, Journal
from tunewright.data.pseudo import levels, thresholds
from tunewright.data.steps import Room

WORDS = {
    "pos": ["好吃", "great", "fine", "lovely", "满意", "tasty"],
    "neg": ["难吃", "awful", "stale", "rude", "失望", "cold"],
}


class Classes:
    task = "classification"


def draft(text: str, label: str | None, line: int = 2) -> Draft:
    return Draft(text, label, None, Source("a.csv", line), None, id=content_id(text))


def review(i: int, rng: random.Random, labelled: bool = True) -> Draft:
    label = "pos" if i % 2 else "neg"
    return draft(" ".join(rng.sample(WORDS[label], 2)) + f" order {i}", label if labelled else None, i)


def some(n: int, start: int = 0, labelled: bool = True) -> list[Draft]:
    rng = random.Random(start)
    return [review(i, rng, labelled) for i in range(start, start + n)]


def room(unlabelled: list[Draft], held: list[Draft] | None = None) -> Room:
    return Room(Journal(), Classes(), 0, unlabelled=unlabelled, held=held or [])  # type: ignore[arg-type]


def go(drafts: list[Draft], here: Room, **options: Any) -> list[Draft]:
    return build("step", {"pseudo_labels": options})(drafts, here)  # type: ignore[no-any-return]


def test_thresholds_reach_the_wanted_precision_and_no_lower() -> None:
    sure = np.linspace(0.99, 0.51, 100)
    p = np.column_stack([sure, 1 - sure])
    given = np.zeros(100, np.int64)
    given[50:] = np.tile([0, 1], 25)  # right until 0.75, then half of the time
    t = thresholds(p, given, 0.9)
    taken = sure >= t[0]
    assert 60 <= taken.sum() <= 64
    assert (given[taken] == 0).mean() >= 0.9
    assert np.isinf(t[1])
    few = thresholds(p[:10], given[:10], 0.9)
    assert np.isinf(few).all()


def test_levels_count() -> None:
    p = np.array([[0.96, 0.04], [0.96, 0.04], [0.6, 0.4], [0.1, 0.9]])
    table = {one.threshold: one for one in levels(p, np.array([0, 1, 0, 1]))}
    assert table[0.95].rows == 2 and table[0.95].precision.value == 0.5
    assert table[0.5].coverage.value == 1.0 and table[0.5].precision.value == 0.75
    assert table[0.99].precision.value is None


def test_new_rows_are_right_and_known_to_the_ledger() -> None:
    train, free = some(200), some(100, 1000, labelled=False)
    here = room(free, some(50, 5000))
    left = go(train, here, keep_anyway=True, soft=True)
    new = left[200:]
    assert left[:200] == train
    assert len(new) > 50
    assert all(d.label == ("pos" if d.source.line % 2 else "neg") for d in new)
    assert all(d.weight == 0.5 and "pseudo_label" in d.flags and d.split == "train" for d in new)
    assert all(sum(p for _, p in d.soft) == pytest.approx(1) for d in new)
    assert all(d.label is None for d in free)
    stage = here.journal.ledger.stages[0]
    assert (stage.entered, stage.added, stage.left) == (200, len(new), 200 + len(new)) and stage.balances
    found = here.found["pseudo_labels"]
    assert found["judged on"] == "held-out rows" and found["added"] == len(new)
    assert len(go(train, room(free), keep_anyway=True, most=7)) == 207


def test_what_does_not_pay_is_off_and_says_so() -> None:
    here = room(some(100, 1000, labelled=False))
    assert len(go(some(200), here)) == 200  # the probe is perfect already
    found = here.found["pseudo_labels"]
    assert found["pays"] is False and "off" in found["said"] and found["gain"]["low"] <= 0


def test_copies_of_held_out_rows_are_left_alone() -> None:
    train, held = some(200), some(30, 5000)
    free = [draft(one.text.upper(), None) for one in held] + [
        draft(train[0].text, None),
        draft("unlike 好吃 great tasty", None),
    ]
    free.append(draft("UNLIKE 好吃 great  tasty", None))
    near = draft("near copy of a held one great", None)
    near.cluster = held[0].cluster = "c"
    here = room([*free, near], held)
    left = go(train, here, keep_anyway=True)
    assert here.found["pseudo_labels"]["apart"] == 1
    assert [d.text for d in left[200:]] == ["unlike 好吃 great tasty"]


def test_the_order_of_rows_changes_nothing() -> None:
    train, free = some(120), some(60, 1000, labelled=False)
    first = {(d.id, d.label) for d in go(train, room(free), keep_anyway=True)}
    random.Random(1).shuffle(train)
    random.Random(2).shuffle(free)
    assert {(d.id, d.label) for d in go(train, room(free), keep_anyway=True)} == first


def test_nothing_to_label_and_other_tasks() -> None:
    here = room([])
    assert len(go(some(30), here)) == 30
    assert "no unlabelled" in here.found["pseudo_labels"]["said"]
    other = room([])
    other.target.task = "regression"  # type: ignore[misc]
    with pytest.raises(DataError, match="regression"):
        go(some(30), other)
    Classes.task = "classification"


def test_on_chinese_reviews_precision_is_what_was_asked(shared: Path) -> None:
    text = (shared / "data/waimai/waimai_10k.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(text.splitlines()))
    random.Random(3).shuffle(rows)
    train = [draft(r["review"], r["label"], i) for i, r in enumerate(rows[:600])]
    truth = {r["review"]: r["label"] for r in rows[600:2600]}
    free = [draft(one, None, i) for i, one in enumerate(truth)]
    new = go(train, room(free), keep_anyway=True, ablate=False, confidence=0.9)[600:]
    right = np.mean([truth[d.text] == d.label for d in new])
    assert len(new) > 400
    assert right > 0.85  # 0.9 is wanted; measured on 600 rows
