"""Baselines of written texts, language models and preferences."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunewright.core.conversations import Message, preference_label, prompt_text, reply_label, thumb_label
from tunewright.core.errors import DataError
from tunewright.core.records import Record, Source, content_id
from tunewright.evaluation import Contender
from tunewright.evaluation.ladders import RUNGS
from tunewright.evaluation.text_baselines import opening
from tunewright.metrics import TASKS, task_of


def record(text: str, label: str | None = None, n: int = 0) -> Record:
    return Record(content_id(text, label, str(n)), text, label, Source("x.jsonl", n))


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def said(text: str) -> Message:
    return {"role": "assistant", "content": text}


def chat(question: str, answer: str | None, n: int = 0) -> Record:
    return record(prompt_text([user(question)]), None if answer is None else reply_label(said(answer)), n)


def pair(chosen: str, rejected: str, n: int = 0) -> Record:
    return record(prompt_text([user(f"question {n}")]), preference_label([said(chosen)], [said(rejected)]), n)


def thumb(text: str, good: bool, n: int = 0) -> Record:
    return record(prompt_text([user(f"question {n}")]), thumb_label([said(text)], good), n)


def value(contender: Contender, metric: str) -> float:
    return float(task_of(contender.predictions).metric(metric).value(contender.predictions))


def test_every_task_has_its_ladder() -> None:
    assert {task: list(rungs) for task, rungs in RUNGS.items()} == {
        "language_modeling": ["unigram", "words"],
        "chat": ["majority", "copy", "lead"],
        "seq2seq": ["majority", "copy", "lead"],
        "preference": ["length", "tfidf"],
        "reward": ["length", "tfidf"],
    }
    rows = {
        "language_modeling": [record("a b c", None, i) for i in range(3)],
        "chat": [chat("hi", "hello", i) for i in range(3)],
        "seq2seq": [record("ein Hund", "a dog", i) for i in range(3)],
        "preference": [pair("good reply", "bad", i) for i in range(8)],
    }
    rows["reward"] = rows["preference"]
    for task, rungs in RUNGS.items():
        for name, rung in rungs.items():
            made = rung(rows[task], rows[task], 3, validation=rows[task], split="held")
            assert (made.name, made.role, made.predictions.split) == (name, "baseline", "held") and made.title
            assert task_of(made.predictions) is TASKS[task] and made.predictions.ids == tuple(r.id for r in rows[task])
            assert made.predictions.seconds is not None and len(made.predictions.seconds) == len(rows[task])


def test_frequent_replies_and_copies() -> None:
    train = [chat("?", answer, i) for i, answer in enumerate(["yes", "no", "yes", "perhaps"])]
    items = [chat("is it so", "yes"), chat("why", None)]
    found: Any = RUNGS["chat"]["majority"](train, items).predictions
    assert found.output == ("yes", "yes") and found.gold == ("yes", None) and np.isnan(found.nll).all()
    copied: Any = RUNGS["chat"]["copy"](train, items).predictions
    assert copied.output == ("is it so", "why") and copied.labels == ()
    different = [record("x", target, i) for i, target in enumerate(["a", "bbbbbb", "ccc"])]
    plain: Any = RUNGS["seq2seq"]["majority"](different, different).predictions
    assert set(plain.output) == {"ccc"}, "the one of middle length where all are as frequent"
    with pytest.raises(DataError, match="no training item has a reply"):
        RUNGS["chat"]["majority"]([chat("?", None)], items)


def test_calls_of_tools_are_part_of_the_text() -> None:
    call: Message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
    }
    row = record(prompt_text([user("?")]), reply_label(call))
    found: Any = RUNGS["chat"]["majority"]([row], [row]).predictions
    assert found.gold == found.output == ('{"name":"f","arguments":{}}',)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One. Two! Three? Four.", "One. Two! Three?"),
        ("Version 1.5 is out. It works", "Version 1.5 is out. It works"),
        ('He said "Go." Then he went. Then he slept. End.', 'He said "Go." Then he went. Then he slept.'),
        ("#Person1#: Hi\n#Person2#: Hello\n\n#Person1#: Bye\n#Person2#: Bye",
         "#Person1#: Hi\n#Person2#: Hello\n\n#Person1#: Bye"),
        ("今天好。我们去公园！好吗？再见。", "今天好。我们去公园！好吗？"),
        ("", ""), ("  ", ""), ("no end", "no end"),
    ],
)  # fmt: skip
def test_the_first_three_sentences(text: str, first: str) -> None:
    assert opening(text).replace("\n\n", "\n") == first.replace("\n\n", "\n")


def test_bytes_by_pencil() -> None:
    found: Any = RUNGS["language_modeling"]["unigram"]([record("aab")], [record("ab"), record("é"), record("")])
    p, whole = found.predictions, 3 + 256
    assert p.nll.tolist() == pytest.approx([-math.log(3 / whole) - math.log(2 / whole), 2 * math.log(whole), 0.0])
    assert p.bytes.tolist() == [2, 2, 0] and p.tokens.tolist() == [0, 0, 0]
    assert found.title == "Token frequencies of train"


def test_words_are_a_code_that_can_be_read() -> None:
    """The probabilities of all next pieces sum to at most 1, and known words cost less than their bytes."""
    train = [record("the dog saw the cat and the bird")]
    rung = RUNGS["language_modeling"]["words"]
    pieces = ["the", " dog", " saw", " the", " cat", " and", " bird"]
    p: Any = rung(train, [record(piece) for piece in pieces]).predictions
    counts = {" the": 2}
    once = 6  # all but " the"
    whole = 8 + once
    assert p.nll.tolist() == pytest.approx([-math.log(counts.get(piece, 1) / whole) for piece in pieces])
    new: Any = rung(train, [record(" fox")]).predictions
    assert new.nll[0] > -math.log(once / whole) and np.isfinite(new.nll).all()
    total = sum(math.exp(-n) for n in p.nll) + once / whole
    assert total == pytest.approx(1.0)


def test_counting_on_shakespeare(shared: Path) -> None:
    path = shared / "data/tinyshakespeare/input.txt"
    lines = path.read_text(encoding="utf-8").split("\n\n")
    train, items = ([record(text, None, i) for i, text in enumerate(part)] for part in (lines[:2000], lines[-200:]))
    byte, word = (
        value(RUNGS["language_modeling"][name](train, items), "bits_per_byte") for name in ("unigram", "words")
    )
    assert 1.5 < word < 4 < byte < 5.5


def test_the_longer_or_the_shorter_reply_is_learnt() -> None:
    longer = [pair("a long reply", "short", i) for i in range(5)] + [pair("no", "not at all", 9)]
    items = [pair("quite long indeed", "brief", 1), pair("brief", "quite long indeed", 2), pair("same", "size", 3)]
    found = RUNGS["preference"]["length"](longer, items)
    p: Any = found.predictions
    assert found.title == "The longer reply" and p.margin().tolist() == [12, -12, 0]
    assert value(found, "accuracy") == 0.5 and p.task == "preference"
    swapped = [pair("short", "a long reply", i) for i in range(5)]
    back = RUNGS["reward"]["length"](swapped, items)
    assert back.title == "The shorter reply" and back.predictions.margin().tolist() == [-12, 12, 0]  # type: ignore[attr-defined]


def test_lengths_of_single_replies_have_a_limit() -> None:
    train = [thumb("x" * n, n > 10, n) for n in range(2, 22, 2)]
    items = [thumb("y" * 30, True), thumb("y" * 3, False, 1), thumb("y" * 30, False, 2)]
    found = RUNGS["preference"]["length"](train, items)
    p: Any = found.predictions
    assert p.margin().tolist() == [30 - 11, 11 - 3, 11 - 30] and np.isnan(p.rejected[0]) and np.isnan(p.chosen[1])
    assert value(found, "accuracy") == pytest.approx(2 / 3)


def polite(n: int, seed: int, single: bool = False) -> list[Record]:
    """Polite replies are preferred, nine times in ten; all have the same length."""
    rng, rows = np.random.default_rng([seed, n]), []
    for i in range(n):
        words = [" ".join(rng.choice(["train", "leaves", "today", "at", "noon"], 5)) for _ in range(2)]
        good, bad = f"{words[0]} please", f"{words[1]} whatev"
        if rng.random() < 0.1:
            good, bad = bad, good
        rows.append(thumb(good if i % 2 else bad, bool(i % 2), i) if single else pair(good, bad, i))
    return rows


@pytest.mark.parametrize("single", [False, True])
def test_words_of_preferred_replies_are_learnt(single: bool) -> None:
    train, items, held = (polite(n, seed, single) for n, seed in ((300, 0), (200, 1), (100, 2)))
    rung = RUNGS["preference"]["tfidf"]
    found, again = (rung(train, items, 5, validation=held) for _ in range(2))
    assert 0.8 < value(found, "accuracy") < 0.97
    assert np.array_equal(found.predictions.chosen, again.predictions.chosen, equal_nan=True)  # type: ignore[attr-defined]
    assert value(rung(train, items), "accuracy") > 0.8, "inner folds"
    mixed = rung([*train, *polite(100, 7, not single)], items, validation=held)
    assert value(mixed, "accuracy") > 0.8


def test_nothing_to_learn_from() -> None:
    for name in ("length", "tfidf"):
        with pytest.raises(DataError, match="no training item has a label"):
            RUNGS["preference"][name]([record(prompt_text([user("?")]))], [])
    mute = [pair("...", "!!!", i) for i in range(4)]
    assert value(RUNGS["preference"]["tfidf"](mute, mute), "accuracy") == 0.5
    some = RUNGS["preference"]["length"](mute, [*mute, record(prompt_text([user("?")]))])
    assert len(some.predictions) == 4, "an item without an answer has nothing to be right about"


def test_real_preferences(shared: Path) -> None:
    rows = json.loads((shared / "data/instructions/dpo_en_demo.json").read_text(encoding="utf-8"))
    records = [pair(row["chosen"]["value"], row["rejected"]["value"], i) for i, row in enumerate(rows)]
    train, items = records[:200], records[200:]
    for name in ("length", "tfidf"):
        assert 0.3 < value(RUNGS["preference"][name](train, items), "accuracy") <= 1
