"""Rows, the ledger's sums, and predictions that fit together."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.core.errors import DataError
from tunewright.core.records import Event, Ledger, Predictions, Record, Source, content_id

OUTCOMES = ["changed", "dropped", "duplicate", "leaked", "quarantined"]
SOURCE = Source("tweets.csv", 3, 40, 12)


def test_ids_never_change_and_tell_contents_apart() -> None:
    assert content_id("hello", "greeting") == "a85cbc11b1182c17"
    parts: list[tuple[str | None, ...]] = [
        ("ab", "c"),
        ("a", "bc"),
        ("abc",),
        ("abc", None),
        ("abc", ""),
        (None, "abc"),
    ]
    assert len({content_id(*p) for p in parts}) == len(parts)
    assert len(content_id("x")) == 16 and content_id("\ud800") != content_id("\ud801")


def test_a_record_is_written_without_empty_fields() -> None:
    short = Record("1", "a", None, SOURCE)
    where = {"file": "tweets.csv", "line": 3, "offset": 40, "length": 12}
    assert short.as_json() == {"id": "1", "text": "a", "label": None, "source": where}
    full = Record("1", "a", "b", SOURCE, pair="p", split="train", flags=("f",), parents=("0",))
    assert json.loads(json.dumps(full.as_json())) == {
        "id": "1", "text": "a", "label": "b", "pair": "p", "split": "train", "flags": ["f"], "parents": ["0"],
        "source": where,
    }  # fmt: skip


events = st.lists(st.sampled_from(OUTCOMES), max_size=20).map(
    lambda outcomes: [Event("s", o, f"because {o}", SOURCE) for o in outcomes]
)


@given(events, st.integers(0, 50), st.integers(0, 9), st.integers(-2, 2))
def test_a_ledger_takes_what_balances_and_nothing_else(made: list[Event], left: int, added: int, off: int) -> None:
    lost = sum(e.outcome in {"dropped", "duplicate", "leaked", "quarantined"} for e in made)
    entered = left + lost - added + off
    ledger = Ledger()
    if off:
        with pytest.raises(DataError, match="rows in"):
            ledger.close("clean", entered=entered, left=left, events=made, added=added)
        assert ledger.stages == [] and ledger.events == []
        return
    stage = ledger.close("clean", entered=entered, left=left, events=made, added=added)
    assert stage.balances and stage.entered + stage.added == stage.left + stage.dropped + stage.quarantined
    assert stage.changed == sum(e.outcome == "changed" for e in made)
    assert sum(stage.reasons.values()) == len(ledger.events) == len(made)
    (row,) = json.loads(json.dumps(ledger.as_json()))["stages"]
    assert row["balances"] and row["in"] + row["added"] == row["out"] + row["dropped"] + row["quarantined"]


@given(st.lists(events, max_size=5))
def test_a_ledger_of_several_stages_balances_from_end_to_end(stages: list[list[Event]]) -> None:
    ledger, rows = Ledger(), 500
    for i, made in enumerate(stages):
        lost = sum(e.outcome != "changed" for e in made)
        ledger.close(f"stage {i}", entered=rows, left=rows - lost, events=made)
        rows -= lost
    assert rows == 500 - sum(s.dropped + s.quarantined for s in ledger.stages)
    assert [s.name for s in ledger.stages] == [f"stage {i}" for i in range(len(stages))]


def test_an_unknown_outcome_is_a_bug() -> None:
    with pytest.raises(ValueError, match="vanished"):
        Ledger().close("s", entered=1, left=0, events=[Event("s", "vanished", "?", SOURCE)])


def predictions(**more: Any) -> Predictions:
    fields: dict[str, Any] = {
        "contender": "tuned", "split": "test", "labels": ("a", "b"), "ids": ("1", "2", "3"),
        "gold": np.array([0, -1, 1]), "output": np.array([0, 1, 1]),
        "scores": np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]), "seconds": np.array([0.1, 0.2, 0.3]),
    }  # fmt: skip
    return Predictions(**{**fields, **more})


def test_supervised_leaves_out_what_has_no_label() -> None:
    made = predictions()
    kept = made.supervised()
    assert (len(made), len(kept), kept.ids) == (3, 2, ("1", "3"))
    assert kept.gold.tolist() == [0, 1] and kept.output.tolist() == [0, 1]
    assert kept.scores.tolist() == [[0.9, 0.1], [0.4, 0.6]]
    assert kept.seconds is not None and kept.seconds.tolist() == [0.1, 0.3]
    assert kept.supervised() is kept
    assert predictions(seconds=None).supervised().seconds is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"ids": ("1", "2")},
        {"labels": ("a",)},
        {"gold": np.array([0, 1])},
        {"output": np.array([[0], [1], [1]])},
        {"scores": np.zeros((3, 3))},
        {"seconds": np.zeros(2)},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_does_not_fit_together_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="'tuned'"):
        predictions(**wrong)
