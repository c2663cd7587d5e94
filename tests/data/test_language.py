"""Scripts and languages of texts, short and long."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np
import pytest

from tunewright.data.language import SCRIPTS, guesser, languages, scripts, shares, units, words

CASES = [
    ("这个手机很好用", "zh", "Han"),
    ("好", "zh", "Han"),
    ("我用iPhone手机很好", "zh", "Han"),
    ("這個很好", "zh", "Han"),
    ("优の良品真好吃", "zh", "Han"),
    ("体育と漢字の国", "ja", "Kana"),
    ("これはペンです", "ja", "Kana"),
    ("ラーメン", "ja", "Kana"),
    ("한국어", "ko", "Hangul"),
    ("Γειά σου", "el", "Greek"),
    ("สวัสดีครับ", "th", "Thai"),
    ("שלום עולם", "he", "Hebrew"),
    ("I am not going to the party, are you?", "en", "Latin"),
    ("❀⚘送༵来༵不༵是༵很༵凉༵了༵⚘❀", "zh", "Han"),
    ("ok lol", "und", "Latin"),
    ("123 !!! 😀", "und", ""),
    ("", "und", ""),
]


@pytest.mark.parametrize(("text", "code", "script"), CASES)
def test_language_and_script(text: str, code: str, script: str) -> None:
    (one,) = languages([text])
    assert (one.code, one.script) == (code, script)
    assert 0 <= one.sure <= 1


def test_german_is_asked_of_py3langid() -> None:
    text = "Ein kleiner Junge spielt mit seinem Hund im Garten und lacht dabei sehr laut."
    assert languages([text])[0].code == "und"
    assert languages([text], guesser())[0].code == "de"


def test_scripts_count_every_character_once() -> None:
    texts = ["ab 1!", "中文，😀\n", "", "x" * 5000, "\U0001f600\U00020000\U0010ffff"]
    found = scripts(texts)
    assert found.sum(1).tolist() == [len(text) for text in texts]
    assert dict(zip(SCRIPTS, found[0].tolist(), strict=True))["Latin"] == 2
    assert dict(zip(SCRIPTS, found[1].tolist(), strict=True)) | {
        "Han": 2,
        "punctuation": 1,
        "symbol": 1,
        "space": 1,
    } == dict(zip(SCRIPTS, found[1].tolist(), strict=True))
    assert dict(zip(SCRIPTS, found[4].tolist(), strict=True))["Han"] == 1


def test_scripts_do_not_depend_on_the_batch() -> None:
    draw = random.Random(2)
    texts = [
        "".join(chr(draw.choice((65, 0x4E00, 0x3042, 0x1F600, 48, 32))) for _ in range(draw.randrange(9)))
        for _ in range(4500)
    ]
    whole = scripts(texts)
    assert np.array_equal(whole, np.concatenate([scripts([text]) for text in texts]))
    assert units(texts).shape == (4500, SCRIPTS.index("digit"))


def test_words_of_chinese_are_characters() -> None:
    assert words("我用iPhone 15，it's ok") == ["我", "用", "iPhone", "15", "it", "s", "ok"]


def test_shares() -> None:
    found = shares(["好", "不好", "I am not the one for you", "?"])
    assert [(row["language"], row["rows"], row["share"]) for row in found] == [
        ("zh", 2, 0.5),
        ("en", 1, 0.25),
        ("und", 1, 0.25),
    ]
    assert [(row["script"], row["rows"]) for row in shares(["好", "hm"], "script")] == [("Han", 1), ("Latin", 1)]
    assert shares([]) == []


def test_real_texts_are_never_taken_for_another_language(shared: Path) -> None:
    with (shared / "data/tweets/tweets.csv").open(encoding="utf-8", newline="") as file:
        tweets = [row["text"] for row in csv.DictReader(file)][::4]
    with (shared / "data/waimai/waimai_10k.csv").open(encoding="utf-8-sig", newline="") as file:
        reviews = [row["review"] for row in csv.DictReader(file)]
    german = (shared / "data/multi30k/train5k.de").read_text(encoding="utf-8").split("\n")[:500]
    guess = guesser()
    english = [one.code for one in languages(tweets, guess)]
    assert set(english) == {"en", "und"}
    assert english.count("en") > 0.75 * len(english)
    assert {one.code for one in languages(reviews)} == {"zh"}
    found = [one.code for one in languages(german, guess)]
    assert set(found) == {"de", "und"}
    assert found.count("de") > 0.96 * len(found)
