"""Which script a text is written in."""

from __future__ import annotations

import re

from tunewright.core.scripts import chinese, cjk, japanese, other_letters


def test_a_third_of_the_letters_decide() -> None:
    assert cjk(["今天 ab"]) and not cjk(["今 abcdefgh"]) and not cjk([]) and not cjk(["..."])
    assert cjk(["한국어"]) and not chinese(["한국어"])
    assert chinese(["今天天气很好, OK"]) and not japanese(["今天天气很好"])
    assert japanese(["今日は天気がいい"]) and not chinese(["今日は天気がいい"])
    assert not chinese(["hello"]) and not japanese(["hello"])


def test_letters_of_other_scripts_make_words() -> None:
    word = re.compile(f"[{other_letters()}]+")
    assert word.findall("Привет, мир! γειά σου") == ["Привет", "мир", "γειά", "σου"]
    assert word.findall("नमस्ते दुनिया।") == ["नमस्ते", "दुनिया"], "vowel signs stay in the word, the full stop does not"
    assert word.findall("abc über 漢字 ไทย 한국") == []
