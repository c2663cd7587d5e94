"""Steps that judge texts: what leaves with which reason, and what must not."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.core.errors import RecipeError
from tunewright.core.records import Source
from tunewright.core.registry import build
from tunewright.data.journal import Draft, Journal
from tunewright.data.steps import Models, Room
from tunewright.data.steps.texts import apply, clean_texts
from tunewright.data.targets import Classes

LOREM = (
    "the cat sat on the mat while seven other animals argued about lunch near a window that nobody had opened since march when "
    "rain came through and ruined every carpet they owned"
)
CHINESE = "今天天气很好我们一起去公园散步然后吃了一顿美味的午餐晚上又看了电影回家的路上遇到老朋友聊了很久"

CASES: list[tuple[Any, str, str]] = [
    ({"length": {"least_characters": 3}}, "ab", "too_short"),
    ({"length": {"least_characters": 3}}, "abc", ""),
    ({"length": {"most_characters": 3}}, "abcd", "too_long"),
    ({"length": {"least_words": 3}}, "很好吃", ""),
    ({"length": {"least_words": 3}}, "very good", "too_short"),
    ({"length": {"most_words": 3}}, "我很好啊", "too_long"),
    ("repetition", LOREM, ""),
    ("repetition", CHINESE, ""),
    ("repetition", "buy now cheap pills " * 10, "repetition"),
    ("repetition", "好吃好吃" * 20, "repetition"),
    ("repetition", "哈哈哈哈哈哈哈哈哈哈哈哈哈", "repetition"),
    ("repetition", "太好吃了哈哈哈哈", ""),
    ("repetition", "好吃好吃好吃", ""),
    ("repetition", "nooooooooooo way, that is not what I said to him", ""),
    ("repetition", "\n".join(["menu item one", "home page here"] * 4) + "\n" + LOREM, "repetition"),
    ("repetition", LOREM + ". " + LOREM, ""),
    ({"repetition": {"least": 40}}, LOREM + ". " + LOREM, "repetition"),
    ({"repetition": {"least": 40, "phrases": 1}}, LOREM + ". " + LOREM, ""),
    ("repetition", "no one likes it " * 30 + LOREM, "repetition"),
    ("repetition", "特别好，特别好，特别好！重要的事情要说三遍！" + CHINESE, ""),
    ({"language": ["en"]}, CHINESE, "language"),
    ({"language": ["zh"]}, CHINESE, ""),
    ({"language": ["zh", "en"]}, "한국어", "language"),
    ({"language": ["zh"]}, "ok lol", ""),
    ({"language": ["zh"]}, LOREM, "language"),
    ({"language": ["en"]}, "Ein kleiner Junge spielt mit seinem Hund im Garten und lacht dabei sehr laut.", "language"),
    ({"language": {"allowed": ["zh"], "unsure": "drop"}}, "ok lol", "language_unsure"),
    ({"language": ["en"]}, "!!! 123 😀", ""),
    ({"script": ["Latin"]}, "mostly english 好 here", ""),
    ({"script": ["Latin"]}, "这个手机很好ok", "script"),
    ({"script": ["Latin", "Han"]}, "这个手机很好ok", ""),
    ({"script": {"allowed": ["Han"], "share": 0.9}}, "这个手机很好 many words of english follow it", "script"),
    ({"script": ["Latin"]}, "😀 123", ""),
    ("symbols", "😀" * 20, "symbols"),
    ("symbols", ":-)", ""),
    ("symbols", "1234 5678 9012 3456 7890 1234", "symbols"),
    ("symbols", LOREM, ""),
    ("symbols", CHINESE + "，。！", ""),
    ("symbols", "| - | - | - | ok | - | - | - | - | - |", "symbols"),
]


@pytest.mark.parametrize(("spec", "text", "reason"), CASES)
def test_what_leaves(spec: Any, text: str, reason: str) -> None:
    (edit,) = build("step", spec)([text])
    assert ("" if edit is None else edit.refused) == reason
    assert edit is None or (edit.text == text and edit.detail)


@pytest.mark.parametrize(
    "spec",
    [
        "length", {"length": {"least_words": 5, "most_words": 2}}, {"length": {"least_characters": -1}}, {"repetition": {"pairs": 0}},
        {"language": []}, {"language": ["English"]}, {"script": ["Chinese"]}, {"script": []}, {"symbols": {"digits": 2}},
        "perplexity", {"perplexity": {"most": 5, "upper": 0.9}}, {"perplexity": {"upper": 1}}, {"perplexity": {"most": -1}},
    ],
    ids=str,
)  # fmt: skip
def test_limits_that_make_no_sense_are_refused(spec: Any) -> None:
    with pytest.raises(RecipeError):
        build("step", spec)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=80), max_size=6))
def test_whatever_comes_is_judged_by_itself(texts: list[str]) -> None:
    for spec in ("repetition", {"language": ["en"]}, {"script": ["Latin"]}, "symbols", {"length": {"least_words": 2}}):
        step = build("step", spec)
        assert step(texts) == [step([text])[0] for text in texts]


def test_a_row_of_two_texts_is_judged_as_one() -> None:
    drafts = [
        Draft("short", None, "but not together", Source("f", 1), None),
        Draft("a", None, "b", Source("f", 2), None),
    ]
    journal = Journal()
    left = apply((build("step", {"length": {"least_characters": 8}}),), drafts, Classes(), journal)
    assert [draft.text for draft in left] == ["short"]
    assert journal.ledger.stages[0].reasons == {"too_short": 1}


def rows(*texts: str) -> list[Draft]:
    return [Draft(text, "x", None, Source("f", i + 1), None) for i, text in enumerate(texts)]


def lengths(texts: Sequence[str]) -> Any:
    """A stand-in for a model, whose figures are known."""
    assert len(set(texts)) == len(texts), "a text is asked twice"
    return np.array([float(len(text)) or np.nan for text in texts])


def test_perplexity_lets_go_what_is_beyond_and_keeps_the_figure() -> None:
    drafts, journal = rows("a", "bbb", "bbb", "c" * 9, "c" * 20, ""), Journal()
    room = Room(journal, Classes(), 0, models=Models(perplexity=lengths))
    left = build("step", {"perplexity": {"most": 10, "least": 2}})(drafts, room)
    assert [draft.text for draft in left] == ["bbb", "bbb", "c" * 9, ""]
    assert left[0].difficulty == (("perplexity", 3.0),)
    assert left[3].difficulty == ()
    assert journal.ledger.stages[0].reasons == {"perplexity_high": 1, "perplexity_low": 1}
    assert room.found["perplexity"]["texts"] == 5
    again = build("step", {"perplexity": {"upper": 0.75}})(drafts, room)
    assert [len(draft.text) for draft in again] == [1, 3, 3, 9, 0]
    assert again[1].difficulty == (("perplexity", 3.0),)


def reasons(spec: Any, texts: list[str]) -> dict[str, int]:
    return dict(Counter(entry.reason for entry in clean_texts([build("step", spec)], texts).entries))


def test_real_texts(shared: Path) -> None:
    with (shared / "data/tweets/tweets.csv").open(encoding="utf-8", newline="") as file:
        tweets = [row["text"] for row in csv.DictReader(file)]
    with (shared / "data/waimai/waimai_10k.csv").open(encoding="utf-8-sig", newline="") as file:
        reviews = [row["review"] for row in csv.DictReader(file)]
    lines = (shared / "data/instructions/c4_demo.jsonl").read_text(encoding="utf-8").split("\n")
    pages = [json.loads(line)["text"] for line in lines if line]
    found = {
        name: [
            reasons(spec, texts)
            for spec in ("repetition", "symbols", {"language": ["en", "zh"]}, {"script": ["Latin", "Han"]})
        ]
        for name, texts in (("tweets", tweets[::4]), ("reviews", reviews), ("pages", pages))
    }
    assert found == {
        "tweets": [{"repetition": 1}, {}, {}, {}],
        "reviews": [{"repetition": 1}, {}, {}, {}],
        "pages": [{"repetition": 9}, {}, {}, {}],
    }
