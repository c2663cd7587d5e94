"""Leaks of every kind are found, in Chinese and English, with spans that say the same; nothing else is."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from tunewright.core.seeds import key
from tunewright.data.leakage import KINDS, Leakage, Passage, leakage, spans
from tunewright.data.similarity.grams import overlaps
from tunewright.data.similarity.joins import closest, nearest

PROSE = "the committee met in the old library and after a long debate about the budget voted to keep the reading room open all year"
CHINESE = "委员会在旧图书馆开会，经过长时间的预算辩论之后，投票决定阅览室全年开放，并且延长周末的开放时间"


def side(*texts: str, name: str = "s") -> list[Passage]:
    return [Passage(f"{name}{i}", text, f"{name}.csv", i + 2) for i, text in enumerate(texts)]


def kinds(found: Leakage) -> dict[str, int]:
    return {kind: n for cell in found.cells for kind, n in cell.counts.items() if n}


FILLER = ["nothing to see in this row", "这一行没有什么", "another row that nobody copied"]


@pytest.mark.parametrize(
    ("held", "other", "kind"),
    [
        ("Good morning", "good  MORNING", "exact"),
        ("很好吃", "很好吃", "exact"),
        (
            PROSE,
            f"As the paper said: {PROSE}. Nobody was surprised, since it had been so every year before that one.",
            "contained",
        ),
        (
            "我们投票决定阅览室全年开放",
            "昨天晚上" + "我们投票决定阅览室全年开放" + "，大家都很高兴，一直庆祝到很晚才回家",
            "contained",
        ),
        (PROSE, PROSE.replace("budget", "finances"), "near"),
        (CHINESE, CHINESE.replace("预算", "经费"), "near"),
        (
            PROSE,
            " ".join(PROSE.split()[:14]) + " and then went home without any vote at all because the lights were out",
            "ngram",
        ),
        (CHINESE, CHINESE[:20] + "却没有任何结果，大家只好各自回家等待下一次会议的通知，谁也不知道还要等多久", "ngram"),
        ("thank you very much", "thank you very much for the flowers", ""),
        ("味道不错", "味道不错，就是送得太慢了", ""),
        (
            PROSE,
            "a text about something else that shares no more than the old library and the reading room with it",
            "",
        ),
        (PROSE, CHINESE, ""),
    ],
)
def test_each_kind_of_leak(held: str, other: str, kind: str) -> None:
    found = leakage({"train": side(*FILLER, other)}, {"bench": side("unrelated evaluation text", held, name="b")})
    assert kinds(found) == ({kind: 1} if kind else {})
    assert found.found == bool(kind)
    for leak in found.evidence:
        assert (leak.row.text, leak.other.text, leak.against) == (held, other, "bench")
        assert leak.spans
        for a, b, c, d in leak.spans:
            assert held[a:b].casefold() == other[c:d].casefold() and b > a


def test_every_split_is_held_against_every_set() -> None:
    splits = {"train": side(PROSE, *FILLER), "validation": side("one"), "test": side(PROSE + " again", "two")}
    found = leakage(splits, {"a": side(CHINESE), "b": side("two", PROSE)})
    cells = {(cell.split, cell.against): cell.leaked for cell in found.cells}
    assert cells == {
        ("train", "validation"): 0, ("train", "test"): 1, ("validation", "test"): 0,
        ("train", "a"): 0, ("validation", "a"): 0, ("test", "a"): 0,
        ("train", "b"): 1, ("validation", "b"): 0, ("test", "b"): 2,
    }  # fmt: skip
    assert found.found == 4 and len(found.evidence) == 4


def test_a_child_in_train_gives_its_parent_away_and_is_compared_itself() -> None:
    child = Passage("c", "children differ in every word from it", "a.csv", 2, ("t0",))
    copy = Passage("d", PROSE + " indeed", "a.csv", 3, ("x9",))
    found = leakage({"train": [child, copy], "test": side("a row with a child in train", PROSE, name="t")})
    assert kinds(found) == {"parent": 1, "contained": 1}


def test_meaning_counts_where_there_is_an_encoder() -> None:
    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([[1, 0] if "dog" in text or "hound" in text else [0, 1] for text in texts], np.float32)

    found = leakage({"train": side("a cat slept")}, {"b": side("the hound ran", "it is a cat")}, encode=encode)
    assert kinds(found) == {"semantic": 1}


def test_formulas_that_many_rows_share_are_no_leak() -> None:
    form = "please read the following question with care and then answer it in one single word only"
    rows = [
        f"{form} {i} {i * i} what is the capital of country number {i} in list {i % 7} of page {i * 3}"
        for i in range(30)
    ]
    fresh = (
        f"{form} who painted the ceiling of that famous chapel and how long did it take him in years and months then"
    )
    found = overlaps(rows, [fresh])
    assert (found.other == -1).all()
    assert overlaps(rows[:5], [fresh]).other.tolist() == [0] * 5


def test_the_nearest_of_several_is_taken() -> None:
    one, two = PROSE.replace("budget", "finances"), PROSE + " ok"
    found = nearest([PROSE, "none"], [one, "x", two, two], 0.7)
    assert found.other.tolist() == [2, -1] and found.near[0] > 0.9
    assert nearest([PROSE], [], 0.8).other.tolist() == [-1] and nearest([], [PROSE], 0.8).other.tolist() == []


def test_blocks_of_vectors_find_the_greatest_cosine() -> None:
    chance = np.random.default_rng(1)
    one, two = (chance.normal(size=(n, 4)).astype(np.float32) for n in (1500, 5000))
    one, two = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (one, two))
    found = closest(one, two, 0.99)
    all_of_them = one @ two.T
    assert (found.other == np.where(all_of_them.max(1) >= 0.99 - 1e-6, all_of_them.argmax(1), -1)).mean() > 0.999


def test_empty_sides() -> None:
    assert leakage({"train": [], "test": side("a")}, {"b": []}).found == 0
    assert spans("", "abc") == ()


def test_a_large_train_against_a_large_set_takes_seconds() -> None:
    def text(name: str, i: int) -> str:
        return " ".join(f"w{key(name, i, j) % 5000}" for j in range(24))

    train = side(*(text("train", i) for i in range(10_000)))
    held = side(
        *(text("held", i) for i in range(2000)), *(train[i].text + " end" for i in range(0, 2000, 20)), name="h"
    )
    start = time.process_time()
    found = leakage({"train": train}, {"held": held})
    assert time.process_time() - start < 10
    assert kinds(found) == {"near": 100} and len(found.evidence) == 50


def test_the_command_is_a_gate(tmp_path: Path) -> None:
    from tunewright.cli_data import app

    places = ("food", "room", "bar")
    rows = [f"review {i} says that the {places[i % 3]} was {i * 7} times as good as elsewhere" for i in range(60)]
    lines = "\n".join(f"{text},{'ab'[i % 2]}" for i, text in enumerate([*rows, PROSE]))
    (tmp_path / "rows.csv").write_text(f"text,label\n{lines}\n", encoding="utf-8")
    (tmp_path / "clean.csv").write_text(f"text,label\n{CHINESE},a\nshort text,b\n", encoding="utf-8")
    (tmp_path / "copied.csv").write_text(f"text,label\n{PROSE.upper()},a\n", encoding="utf-8")
    asked = [
        "leaks",
        str(tmp_path / "rows.csv"),
        "--text",
        "text",
        "--label",
        "label",
        "--json",
        "--near",
        "1",
        "--against",
    ]
    told = {}
    for name in ("clean", "copied"):
        result = CliRunner().invoke(app, [*asked, str(tmp_path / f"{name}.csv")])
        told[name] = json.loads(result.stdout)
        leaked = [cell["leaked"] for cell in told[name]["cells"] if cell["against"].endswith(f"{name}.csv")]
        assert sum(leaked) == (name == "copied"), leaked
    (leak,) = [leak for leak in told["copied"]["evidence"] if leak["against"].endswith("copied.csv")]
    assert leak["kind"] == "exact" and leak["spans"] == [[0, len(PROSE), 0, len(PROSE)]] and result.exit_code == 10
    plain = CliRunner().invoke(app, [a for a in [*asked, str(tmp_path / "copied.csv")] if a != "--json"])
    assert plain.exit_code == 10 and "exact" in plain.stdout and set(KINDS) <= set(plain.stdout.split())


def test_real_tweets_leak_by_near_copies_alone(shared: Path) -> None:
    import csv

    with (shared / "data/tweets/tweets.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    found = leakage({"train": side(*texts[:6000])}, {"rest": side(*texts[6000:], name="r")})
    assert kinds(found) == {"contained": 3, "near": 10}
