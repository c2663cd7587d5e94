"""Measures of difficulty: what each says of known texts, in English and Chinese, and the step that writes them."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tunewright.core.errors import DataError, RecipeError
from tunewright.core.records import Annotation, Source, content_id
from tunewright.core.registry import build, dump, members
from tunewright.data.difficulty import Means, measured
from tunewright.data.difficulty.readability import syllables
from tunewright.data.difficulty.words import words_of
from tunewright.data.journal import Draft, Journal
from tunewright.data.steps import Room


def draft(text: str, label: str | None = "a", pair: str | None = None) -> Draft:
    return Draft(text, label, pair, Source("a.csv", 2), None, id=content_id(text, pair))


def of(name: str, *rows: Draft, means: Means | None = None) -> list[float]:
    return measured(list(rows), [name], means or Means())[name].tolist()


def some(n: int = 60) -> list[Draft]:
    rng = random.Random(2)
    return [
        draft(f"{rng.choice(['good', 'bad'])} 好{i} text. " * rng.randint(1, 4), rng.choice("ab"), "a reply")
        for i in range(n)
    ]


def flat_loss(prompts: list[str], replies: list[str]) -> np.ndarray:
    return np.array([1.0 + len(p) / 100 + len(r) / 10 for p, r in zip(prompts, replies, strict=True)])


@pytest.mark.parametrize("name", sorted(members("difficulty")))
def test_every_measure_is_finite_and_knows_no_order(name: str) -> None:
    rows = some()
    rows[3].annotations = (Annotation("x", "a"), Annotation("y", "b"))
    means = Means(0, flat_loss)  # type: ignore[arg-type]
    before = dict(zip((r.id for r in rows), of(name, *rows, means=means), strict=True))
    random.Random(0).shuffle(rows)
    after = dict(zip((r.id for r in rows), of(name, *rows, means=means), strict=True))
    assert after == pytest.approx(before, abs=1e-9)
    assert len(set(before.values())) > 1
    measure = build("difficulty", name)
    assert build("difficulty", json.loads(json.dumps(dump(measure)))) == measure


def test_words_by_script() -> None:
    assert words_of("Don't stop-it, 2 go!") == ["don't", "stop", "it", "2", "go"]
    assert words_of("这家店 very好吃!") == ["这", "家", "店", "very", "好", "吃"]
    assert words_of("... !!") == []


def test_length_counts_words_or_characters() -> None:
    assert of("length", draft("three plain words"), draft("四个汉字"), draft("!!"), draft("one", pair="two three")) == [
        3,
        4,
        0,
        3,
    ]


def test_rarity_is_the_mean_of_minus_log_p() -> None:
    rows = [draft("a a b"), draft("a"), draft("c"), draft("?")]
    p = {w: n / 5 for w, n in Counter("aabac").items()}
    expected = [-(2 * math.log(p["a"]) + math.log(p["b"])) / 3, -math.log(p["a"]), -math.log(p["c"])]
    assert of("rarity", *rows) == pytest.approx([*expected, sum(expected) / 3])
    assert of("rarity", draft("常常常 见"), draft("常"))[0] > of("rarity", draft("常常常 见"), draft("常"))[1]
    with pytest.raises(DataError):
        of("rarity", draft("?!"))


def test_readability_in_english() -> None:
    assert [syllables(w) for w in ("cat", "table", "make", "readability", "the")] == [1, 2, 1, 5, 1]
    easy, hard = (
        draft("The cat sat. The dog ran."),
        draft("Institutional considerations necessitate comprehensive deliberation."),
    )
    a, b = of("readability", easy, hard)
    assert a == pytest.approx(0.39 * 3 + 11.8 * 1 - 15.59)
    assert b > 12 > a


def test_readability_in_chinese() -> None:
    common = [draft("我们今天去吃饭。") for _ in range(20)]
    easy, rare, long = draft("我们吃饭。"), draft("龘靐齉爨。"), draft("我们今天去吃饭我们今天去吃饭我们今天去吃饭。")
    a, b, c = of("readability", *common, easy, rare, long)[-3:]
    assert a < b
    assert a < c
    assert a == pytest.approx(0.39 * 4 / 1.5)


def test_disagreement_is_an_entropy() -> None:
    split, sure, soft = draft("x"), draft("y"), draft("z")
    split.annotations = (Annotation("1", "a"), Annotation("2", "b"))
    sure.annotations = (Annotation("1", "a"), Annotation("2", "a"))
    soft.soft = (("a", 0.9), ("b", 0.1))
    assert of("disagreement", split, sure, soft) == pytest.approx(
        [math.log(2), 0, -0.9 * math.log(0.9) - 0.1 * math.log(0.1)]
    )
    with pytest.raises(DataError, match="annotator"):
        of("disagreement", draft("x"))


def test_instruction_following_is_a_ratio_of_losses() -> None:
    helpful, useless = draft("long prompt that tells", pair="reply"), draft("no", pair="other")

    def loss(prompts: list[str], replies: list[str]) -> np.ndarray:
        return np.array([0.5 if p.startswith("long") else 2.0 for p in prompts])

    assert of("instruction", helpful, useless, means=Means(0, loss)) == pytest.approx([0.25, 1.0])  # type: ignore[arg-type]
    with pytest.raises(DataError) as caught:
        of("instruction", draft("x", None))
    assert len(caught.value.problems) == 2


def test_the_probe_finds_wrong_labels_hard() -> None:
    rows = [draft(f"{'good fine' if i % 2 else 'bad awful'} item number {i}", "ab"[i % 2]) for i in range(100)]
    rows[7].label = "a"
    assert int(np.argmax(of("probe", *rows))) == 7


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(DataError) as caught:
        measured([draft("x", None)], ["disagreement", "instruction", "probe"], Means())
    assert len(caught.value.problems) == 4
    with pytest.raises(RecipeError, match="rarity"):
        measured([draft("x")], ["rareness"], Means())


def test_the_step_writes_scores_and_balances() -> None:
    rows = some(20)
    rows[0].difficulty = (("mine", 1.0), ("length", 99.0))
    room = Room(Journal(), None, 0)  # type: ignore[arg-type]
    left = build("step", {"difficulty": ["length", "rarity"]})(rows, room)
    assert left == rows
    assert dict(rows[0].difficulty) == {
        "mine": 1.0,
        "length": of("length", rows[0])[0],
        "rarity": of("rarity", *rows)[0],
    }
    assert room.journal.ledger.stages[0].balances
    assert set(room.found["difficulty"]) == {"length", "rarity"}
    assert rows[0].record().difficulty == rows[0].difficulty


def test_real_tweets_and_reviews(shared: Path) -> None:
    """Chinese reviews and English tweets: the measures differ among rows and are not one another."""
    import csv

    for path, column, label in (
        ("waimai/waimai_10k.csv", "review", "label"),
        ("tweets/tweets.csv", "text", "sentiment"),
    ):
        with (shared / "data" / path).open(encoding="utf-8-sig", newline="") as file:
            rows = [draft(r[column], r[label]) for r in list(csv.DictReader(file))[3500:4700]]
        scores = measured(rows, ["length", "rarity", "readability", "probe"], Means())
        near = np.corrcoef(list(scores.values()))
        assert all(own.std() > 0 for own in scores.values())
        assert np.abs(near[np.triu_indices(4, 1)]).max() < 0.95
