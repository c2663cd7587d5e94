"""Each gate rejects what it is there for and nothing else, with its evidence; a gate that lets all through is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from aug_rows import draft, kit
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.core.registry import build, dump, members
from tunewright.data.augmentation import Ask, Child
from tunewright.data.augmentation.gates import (
    CODES,
    USUAL,
    Gate,
    Ground,
    Leaked,
    Length,
    PerplexityGate,
    ProbeGate,
    Protected,
    Same,
    Similar,
)  # fmt: skip
from tunewright.data.augmentation.near import Near, shingles
from tunewright.data.augmentation.protocol import Kind
from tunewright.data.journal import Draft

PARENT = draft("I don't like the 3 red cars of New York")
OTHER = draft("the sun is shining on the old stone bridge today", "b")
HELD = [
    draft("a held out row that nobody may learn from, not even nearly", split="test"),
    draft("外卖送得很快味道也非常好下次还会再来", split="validation"),
]


def child(
    text: str, kind: Kind = "edit", row: Draft | None = PARENT, label: str = "a", pair: str | None = None
) -> Child:
    return Child(Ask(label, 0, row), "it", kind, text, pair)


def vectors(texts: Sequence[str]) -> Any:
    made = np.array([[1.0, float("cat" in text)] for text in texts], np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def judge(children: Sequence[Child]) -> tuple[Any, Any]:
    def one(text: str) -> list[float]:
        return [0.1, 0.9] if "sun" in text else [0.55, 0.45] if "car" in text else [0.48, 0.52]

    return (np.array([one(c.text) for c in children]),
            np.array([one(c.ask.row.text if c.ask.row else "") for c in children]))  # fmt: skip


def ground(**more: Any) -> Ground:
    return Ground(kit([PARENT, OTHER], entities=("New York",)), HELD, **more)


GOOD = "I don't love the 3 red cars of New York"
CASES: list[tuple[Gate, list[Child], list[Child], dict[str, Any]]] = [
    (Same(), [child(PARENT.text), child("i DON'T  like the 3 red cars of new york"), child(OTHER.text)], [child(GOOD)], {}),
    (Leaked(), [child(HELD[0].text), child(HELD[0].text.replace("even", "ever") + "!"),
                child(HELD[1].text + "了")],
     [child(GOOD), child("a held out row that is quite another one"), child("外卖送得慢")], {}),
    (Leaked(near=1.0), [child(HELD[0].text.upper())], [child(HELD[0].text + " x")], {}),
    (Length(), [child("I don't"), child("word " * 40), child("x", "new", None), child("word " * 40, "new", None)],
     [child(GOOD), child("a new text of usual length for this label", "new", None)], {}),
    (Protected(), [child("I like the 3 red cars of New York"), child("I don't like the 4 red cars of New York"),
                   child("I don't like the 3 red cars of York"), child("I do like 3 cars of New York", "rewrite"),
                   child("I don't like cars of New York", "rewrite"), child("I don't not like the 3 red cars of New York")],
     [child(GOOD), child("I do not like the 3 red cars of New York"), child("New York and its 3 cars? Never.", "rewrite"),
      child("anything at all", "new", None)], {}),
    (ProbeGate(), [child("the sun is shining"), child("the sun, new", "new", None)],
     [child("the car"), child("the sun", "new", None, "b"), child("sun", row=OTHER, label="a")],
     {"judge": judge, "classes": ("a", "b")}),
    (ProbeGate(confidence=0.6), [], [child("unsure")], {"judge": judge, "classes": ("a", "b")}),
    (ProbeGate(confidence=0.95), [], [child("the sun is shining")], {"judge": judge, "classes": ("a", "b")}),
    (PerplexityGate(), [child("odd " * 3), child("odd", "new", None)], [child(GOOD), child("plain", "new", None)],
     {"perplexity": lambda texts: np.array([100.0 if "odd" in t else 10.0 for t in texts])}),
    (PerplexityGate(), [child("nan")], [], {"perplexity": lambda texts: np.array([np.nan if t == "nan" else 1.0 for t in texts])}),
    (Similar(least=0.8), [child("the cat")], [child(GOOD), child("a cat", "new", None)], {"encode": vectors}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("gate", "bad", "good", "more"), CASES, ids=lambda x: type(x).__name__ if hasattr(x, "code") else ""
)
def test_a_gate_rejects_what_it_is_for_with_its_evidence(gate: Gate, bad: Any, good: Any, more: Any) -> None:
    verdicts = gate([*bad, *good], ground(**more))
    assert len(verdicts) == len(bad) + len(good)
    assert all(verdicts[: len(bad)]), "a bad child went through"
    assert not any(verdicts[len(bad) :]), "a good child was rejected"
    assert gate([], ground(**more)) == []
    assert gate.code in CODES


def test_every_registered_gate_is_here_and_can_be_written() -> None:
    assert {type(gate) for gate, *_ in CASES} == set(members("gate").values())
    assert set(USUAL) <= set(members("gate"))
    assert all(build("gate", dump(gate)) == gate for gate, *_ in CASES)
    assert {gate.code for gate in members("gate").values()} == set(CODES)


def test_the_first_of_equal_children_stays() -> None:
    twins = [child(GOOD), child(GOOD.upper()), child("another one")]
    assert [bool(v) for v in Same()(twins, ground())] == [False, True, False]
    known = ground()
    known.made.add(twins[0].key)
    assert [bool(v) for v in Same()(twins, known)] == [True, True, False]


def test_where_a_model_is_missing_nothing_is_rejected() -> None:
    for gate in (ProbeGate(), PerplexityGate(), Similar()):
        assert gate([child("the sun")], ground()) == [""]


def test_pairs_are_whole() -> None:
    row = draft("one two three", pair="four five six")
    held = draft("one two three four", pair="five six", split="test")
    same = child("one two three four", row=row, pair="five six")
    assert Leaked()([same, child("one two", row=row, pair="seven")], Ground(kit([row]), [held]))[0]


# Nearness: exact, against the plain double loop.


def slow(texts: Sequence[str], text: str, least: float) -> float | None:
    found = [len(a & b) / len(a | b) for a, b in ((shingles(t), shingles(text)) for t in texts)]
    best = max(found, default=0.0)
    return best if best >= least and found else None


words = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f", "好", "坏", "天", "地"]), min_size=0, max_size=9).map(
    " ".join
)


@settings(deadline=None, max_examples=200)
@given(texts=st.lists(words, max_size=8), text=words, least=st.sampled_from([0.3, 0.5, 0.7, 0.9]))
def test_near_finds_what_the_double_loop_finds(texts: list[str], text: str, least: float) -> None:
    hit = Near(texts, least).nearest(text)
    expected = slow(texts, text, least)
    assert (hit and hit.jaccard) == expected
    if hit is not None:
        assert (
            len(shingles(texts[hit.place]) & shingles(text)) / len(shingles(texts[hit.place]) | shingles(text))
            == expected
        )


def test_texts_of_one_word_and_of_none_are_near_to_themselves_alone() -> None:
    index = Near(["hi", "😀", "好", ""], 0.7)
    assert [index.nearest(t) is not None for t in ("hi", "Hi ", "ho", "😀", "😁", "好", "坏")] == [
        True, True, False, True, False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(("gate", "bad", "good", "more"), [c for c in CASES if c[1]], ids=lambda x: type(x).__name__)
def test_a_gate_without_its_check_fails_this_suite(
    gate: Gate, bad: Any, good: Any, more: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(gate), "__call__", lambda self, children, ground: [""] * len(children))
    with pytest.raises(AssertionError, match="went through"):
        test_a_gate_rejects_what_it_is_for_with_its_evidence(gate, bad, good, more)
