"""The shapes of predictions: what is known, what is picked, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tunewright.core.outcomes import Entities, Judged, Likelihoods, Margins, Texts

IDS = ("a", "b", "c")
NAMED: dict[str, Any] = {"contender": "tuned", "split": "test", "labels": (), "ids": IDS}
NAN = float("nan")


def entities() -> Entities:
    gold = (((0, 4, "PER"),), None, ())
    output = (((0, 4, "PER"), (6, 9, "ORG")), (), ((1, 2, "ORG"),))
    return Entities(**{**NAMED, "labels": ("ORG", "PER")}, gold=gold, output=output, seconds=np.array([1.0, 2.0, 3.0]))


def texts() -> Texts:
    return Texts(
        **NAMED,
        gold=("yes", None, ""),
        output=("yes", "no", "maybe"),
        nll=np.array([0.5, NAN, 0.25]),
        tokens=np.array([2, 0, 1]),
        seconds=np.array([1.0, 2.0, 3.0]),
    )


def likelihoods() -> Likelihoods:
    return Likelihoods(**NAMED, nll=np.array([9.0, 4.0, 1.0]), tokens=np.array([3, 2, 1]), bytes=np.array([8, 5, 2]))


def margins() -> Margins:
    return Margins(**NAMED, chosen=np.array([1.0, 2.0, NAN]), rejected=np.array([0.25, NAN, 3.0]))


@pytest.mark.parametrize("make", [entities, texts, likelihoods, margins])
def test_every_shape_is_judged_and_picks_all_of_its_columns(make: Any) -> None:
    p = make()
    assert isinstance(p, Judged) and len(p) == 3
    picked = p.taken(np.array([2, 0]))
    assert picked.ids == ("c", "a") and len(picked) == 2
    assert [picked.gold_of(0), picked.gold_of(1)] == [p.gold_of(2), p.gold_of(0)]
    for name in ("output", "nll", "tokens", "bytes", "chosen", "rejected", "seconds"):
        if getattr(p, name, None) is not None:
            column = getattr(p, name)
            assert repr(list(getattr(picked, name))) == repr([column[2], column[0]])


@pytest.mark.parametrize("make", [entities, texts])
def test_an_empty_answer_is_an_answer_and_none_is_not(make: Any) -> None:
    p = make()
    assert p.known().tolist() == [True, False, True]
    assert p.supervised().ids == ("a", "c")
    assert p.gold_of(1) is None and p.gold_of(2) in ("", [])


def test_spans_are_written_as_lists() -> None:
    assert entities().gold_of(0) == [[0, 4, "PER"]]


@pytest.mark.parametrize("make", [likelihoods, margins])
def test_documents_and_pairs_are_all_known(make: Any) -> None:
    assert make().known().all() and make().supervised().ids == IDS


def test_a_documents_gold_is_its_size() -> None:
    assert likelihoods().gold_of(1) == 5


def test_a_side_that_is_missing_counts_nothing_in_the_margin() -> None:
    p = margins()
    assert p.margin().tolist() == [0.75, 2.0, -3.0]
    assert [p.gold_of(i) for i in range(3)] == [["chosen", "rejected"], ["chosen"], ["rejected"]]


@pytest.mark.parametrize(
    ("kind", "columns", "said"),
    [
        (Entities, {"gold": ((),), "output": ((), (), ())}, "3 ids, but 1 gold"),
        (Texts, {"gold": ("", "", ""), "output": ("",), "nll": np.zeros(3), "tokens": np.ones(3, int)}, "1 output"),
        (Texts, {"gold": ("",) * 3, "output": ("",) * 3, "nll": np.zeros(2), "tokens": np.ones(3, int)}, r"nll \(2,\)"),
        (Likelihoods, {"nll": np.zeros(3), "tokens": np.ones(3, int), "bytes": np.ones(4, int)}, r"bytes \(4,\)"),
        (Margins, {"chosen": np.zeros(3), "rejected": np.zeros(1)}, r"rejected \(1,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(kind: Any, columns: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        kind(**NAMED, **columns)


def test_a_shape_that_several_tasks_share_remembers_its_own() -> None:
    p = replace(texts(), task="seq2seq", truncated=np.array([False, True, True]))
    picked = p.taken(np.array([2, 0]))
    assert picked.task == "seq2seq" and picked.truncated is not None and picked.truncated.tolist() == [True, False]
    assert texts().task == "chat" and texts().supervised().truncated is None
    assert replace(margins(), task="reward").taken(np.array([1])).task == "reward"
