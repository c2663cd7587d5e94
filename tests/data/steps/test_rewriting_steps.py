"""Each step that rewrites texts: what it changes, what it must leave, and that twice is once."""

from __future__ import annotations

import csv
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tunewright.data.steps as _steps  # registers them
from tunewright.core.registry import build, members
from tunewright.data.steps import PHASES
from tunewright.data.steps.mojibake import suspicious
from tunewright.data.steps.texts import clean_texts

assert _steps

CASES: list[tuple[Any, str, str]] = [
    ("mojibake", "cafÃ© isnâ€™t “open”", "café isn’t “open”"),
    ("mojibake", "ï¿½ stays", "ï¿½ stays"),
    ("mojibake", "中文“引号”，全角！", "中文“引号”，全角！"),
    ("strip", "\u3000 a \u00a0", "a"),
    ("unicode", "e\u0301 ﬁ，①", "é ﬁ，①"),
    ({"unicode": "NFKC"}, "ﬁ，①", "fi,1"),
    ("control_characters", "a\u200bb\ufeff c\u00ad", "ab c"),
    ("control_characters", "👩‍👩‍👧 ❤️ 🏴\U000e0067\U000e0062\U000e007f", "👩‍👩‍👧 ❤️ 🏴\U000e0067\U000e0062\U000e007f"),
    ("control_characters", "x\u200dy\U000e0067 👩\u200d.", "xy 👩."),
    ("control_characters", "می‌خواهم क्‍ष שלום\u200f!", "می‌خواهم क्‍ष שלום\u200f!"),
    ("control_characters", "plain\u200f", "plain"),
    ("control_characters", "\x1b[1;31mred\x1b[0m \x00\x08", "red "),
    ("control_characters", "safe\u202etxt.exe שלום\u202e", "safetxt.exe שלום"),
    ("control_characters", "tab\t line\n lost\ufffd", "tab\t line\n lost\ufffd"),
    ("html", "<p>Hello <b>you</b></p><p>there</p>", "Hello you\nthere"),
    ("html", "one<br>two<BR/><br />three", "one\ntwo\nthree"),
    ("html", "3 < 5 and 7 > 2, I <3 you, <3, a<b and c>d", "3 < 5 and 7 > 2, I <3 you, <3, a<b and c>d"),
    ("html", "List<String> <url> </s> <|im_end|> <think>", "List<String> <url> </s> <|im_end|> <think>"),
    ("html", "x <a lot of> y", "x <a lot of> y"),
    ("html", "Dear <title> <name>", "Dear <title> <name>"),
    ("html", "<title>Hi</title> yes", "Hi yes"),
    ("html", "x <script>var a='<b>';</script><style>p {}</style>y<!-- c -->", "x y"),
    ("html", "open <!-- and <script> never closed", "open <!-- and  never closed"),
    ("html", "&lt;br&gt;a &amp; b&amp;quot; &#39;c&#x27;", "a & b\" 'c'"),
    ("html", "AT&T; R&D &foo; &#0; &#xD800; &#xFFFD;", "AT&T; R&D &foo; &#0; &#xD800; &#xFFFD;"),
    ("html", "`<b>` and\n```\n<p>&amp;\n```\n<p>x</p>", "`<b>` and\n```\n<p>&amp;\n```\nx"),
    ("html", "it`s &quot;that`s&quot;", 'it`s "that`s"'),
    ("html", '<a href="http://x.y?a=b" target=_blank>link</a> <input type=text disabled>', "link "),
    ("urls", "see http://a.com/x?y=1, or (http://a.com/b_(c)).", "see <url>, or (<url>)."),
    ("urls", "请看http://t.cn/abc，这个https://x.cn。", "请看<url>，这个<url>。"),
    ("urls", "www.foo.com! bit.ly/3x and/or 1.2/3 e@www.foo.com foo.com https://", "<url>! <url> and/or 1.2/3 e@www.foo.com foo.com https://"),
    ({"urls": "domain"}, "http://www.a.com/x?y=1, http://u:p@b.org:80/", "a.com, b.org"),
    ({"urls": "remove"}, "http://a.com see http://a.com now http://a.com", "see now"),
    ({"urls": "keep"}, "http://a.com", "http://a.com"),
    ({"urls": {"token": "[link]"}}, "http://a.com", "[link]"),
    ("mentions", "@ann RT @bob: hi，谢谢@小明 .@c", "<user> RT <user>: hi，谢谢<user> .<user>"),
    ("mentions", "a@b.com @ 5pm x/@y @@ C@t", "a@b.com @ 5pm x/@y @@ C@t"),
    ({"mentions": "remove"}, "hi @ann you", "hi you"),
    ("hashtags", "#sunset，#深圳爆料# 来了", "<hashtag>，<hashtag> 来了"),
    ("hashtags", "#1 #22B C# &#39; #FFAA00 a#b http://x/#y", "#1 #22B C# &#39; #FFAA00 a#b http://x/#y"),
    ({"hashtags": "words"}, "#sunset #深圳爆料#", "sunset 深圳爆料"),
    ({"hashtags": "remove"}, "a #b c", "a c"),
    ("white_space", "a  b\u3000c\u00a0d\te", "a b c d e"),
    ("white_space", "x \n\n\n\n y\r\n\tz\u2028w", "x\n\n y\n\tz\nw"),
    ("white_space", "def f():\n    return  1\n```\na   b\n```", "def f():\n    return 1\n```\na   b\n```"),
    ({"white_space": {"lines": False}}, "a\n\nb \u2028 c", "a b c"),
    ("width", "ＡＢｃ１２３，你好！（￥５）", "ABc123，你好！（￥5）"),
    ("width", "ｶﾞｷﾞ ﾊﾟ｡ (ﾟДﾟ)づ｡", "ガギ パ。 (ﾟДﾟ)づ｡"),
    ({"width": {"punctuation": "half"}}, "Ａ，￥５！", "A,¥5!"),
    ({"width": {"letters": False}}, "Ａ１", "Ａ1"),
    ("han", "歐洲的軟體，头发", "欧洲的软体，头发"),
    ("han", "体育と漢字の国", "体育と漢字の国"),
    ({"han": "traditional"}, "头发发现", "頭髮發現"),
    ({"han": "traditional"}, "岩鹽，皇后", "岩鹽，皇后"),
    ({"han": "tw2sp"}, "程式與滑鼠", "程序与鼠标"),
    ({"han": "s2hk"}, "里面", "里面"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "text", "after"), CASES)
def test_what_a_step_makes_of_a_text(spec: Any, text: str, after: str) -> None:
    step = build("step", spec)
    (edit,) = step([text])
    assert (text if edit is None else edit.text) == after
    assert edit is None or edit.text != text, "an edit that changes nothing"
    assert step([after]) == [None], "twice is once"


REWRITING = [
    "mojibake", "strip", "unicode", {"unicode": "NFKC"}, "control_characters", "html", "urls", {"urls": "remove"},
    {"urls": "domain"}, "mentions", {"mentions": "remove"}, "hashtags", {"hashtags": "remove"}, {"hashtags": "words"},
    "white_space", {"white_space": {"lines": False}}, "width", {"width": {"punctuation": "half"}}, "han",
    {"han": "traditional"}, {"han": "s2twp"}, {"han": "tw2sp"},
]  # fmt: skip
_PIECES = [
    "http://a.bc/d", "www.x.yz", "www.", "https://", "@ab", "#c", "#中#", "<b>", "</b>", "<br/>", "<!--", "-->", "<script>",
    "</script>", "&amp;", "&lt;", "&gt;", "b", "/", "&", ";", "lt", "`", "```", "\n", "\n\n\n", "  ", "\t", "\u3000", "\u200b",
    "\u200d", "👩", "Ａ", "１", "，", "ｶ", "ﾞ", "Ã©", "â€™", "ï¿½", "é", "e\u0301", "后", "头发", "歐", "岩鹽", "程式", "\x1b[0m",
    "\u202e", "א", "\u200f", "x", "<", ">", "a.com", ".", ":", "ﾟ", "\ufe0f", "]]>", "<![CDATA[", "@", "＠", "<title>",
]  # fmt: skip
SOUP = st.lists(st.one_of(st.sampled_from(_PIECES), st.text(max_size=4)), max_size=14).map("".join)


@pytest.mark.parametrize("spec", REWRITING, ids=str)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(SOUP, min_size=1, max_size=5))
def test_twice_is_once_and_nothing_is_lost_whatever_comes(spec: Any, texts: list[str]) -> None:
    step = build("step", spec)
    edits = step(texts)
    assert len(edits) == len(texts)
    after = [text if edit is None else edit.text for text, edit in zip(texts, edits, strict=True)]
    assert step(after) == [None] * len(after)
    assert [step([text])[0] for text in texts] == list(edits), "a text's edit depends on the others"
    for text, new in zip(texts, after, strict=True):
        assert new.count("\ufffd") <= text.count("\ufffd")
        new.encode()


@settings(max_examples=200, deadline=None)
@given(
    st.text(alphabet=st.characters(codec="utf-8", categories=["L", "N", "P", "S"], max_codepoint=0x2FFF), max_size=60)
)
def test_letters_and_marks_alone_are_not_touched_by_what_is_unseen(text: str) -> None:
    assert build("step", "control_characters")([text]) == [None]
    assert build("step", "white_space")([text]) == [None]


@pytest.mark.parametrize("to", ["t2s", "s2t", "s2tw", "s2twp", "s2hk", "tw2s", "tw2sp", "hk2s", "t2tw", "t2hk"])
def test_conversions_end_where_they_lead(shared: Path, to: str) -> None:
    step = build("step", {"han": to})
    draw = random.Random(5)
    texts = waimai(shared)[::40] + [
        "".join(draw.choices("后後里裡程式序軟体體干乾幹发發髮台臺云雲鼠标鹽盐岩巖着著", k=8)) for _ in range(300)
    ]
    texts += [edit.text for edit in build("step", {"han": "s2twp"})(texts) if edit is not None]
    once = [text if edit is None else edit.text for text, edit in zip(texts, step(texts), strict=True)]
    assert once != texts
    assert step(once) == [None] * len(once)


def test_what_ftfy_would_call_bad_is_always_looked_at() -> None:
    marks = "".join(MOJIBAKE_CATEGORIES.values()) + " aZ，中’“"
    draw = random.Random(3)
    texts = ["".join(draw.choices(marks, k=draw.randrange(2, 6))) for _ in range(20_000)]
    assert sum(map(is_bad, texts)) > 5_000
    assert all(suspicious()(text) for text in texts if is_bad(text))


def test_every_step_of_texts_says_what_it_is() -> None:
    for name, cls in members("step").items():
        assert cls.phase in PHASES
        if cls.phase == "texts":
            module = __import__(cls.__module__, fromlist=["DESCRIBED"])
            assert cls.reason in module.DESCRIBED, name


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["html", "urls", "mentions", "hashtags", "white_space", "control_characters"])
def test_long_hostile_texts_take_no_longer_than_their_length(spec: str) -> None:
    step = build("step", spec)
    for piece in (
        "<script>",
        "<!--",
        "<a ",
        "<a b=",
        "&amp;",
        "a-",
        "a.",
        "www.a.",
        " ",
        "\n ",
        "`",
        "#中",
        "@a",
        "&",
        "http://",
        "\u200d",
    ):
        began = time.process_time()
        step([piece * (200_000 // len(piece)) + "x"])
        assert time.process_time() - began < 5, piece


def tweets(shared: Path) -> list[str]:
    with (shared / "data/tweets/tweets.csv").open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


def waimai(shared: Path) -> list[str]:
    with (shared / "data/waimai/waimai_10k.csv").open(encoding="utf-8-sig", newline="") as file:
        return [row["review"] for row in csv.DictReader(file)]


def counts(specs: list[Any], texts: list[str]) -> dict[str, int]:
    cleaned = clean_texts([build("step", spec) for spec in specs], texts)
    found: dict[str, int] = {}
    for entry in cleaned.entries:
        found[entry.reason] = found.get(entry.reason, 0) + 1
    return found


def test_real_tweets(shared: Path) -> None:
    texts = tweets(shared)
    found = counts(["mojibake", "strip", "html", "control_characters", "white_space", "urls", "mentions"], texts)
    assert found == {"outer_space": 3237, "html": 1, "white_space": 2679, "urls": 395, "mentions": 22}
    profanity = [text for text in texts if "****" in text]
    assert len(profanity) > 100
    after = clean_texts([build("step", s) for s in ("mojibake", "html", "urls", "mentions", "white_space")], profanity)
    assert all(new.count("*") == old.count("*") for new, old in zip(after.texts, profanity, strict=True))


def test_real_chinese(shared: Path) -> None:
    steps = ["strip", "width", "han", "white_space", "control_characters", "html", "urls"]
    assert counts(steps, waimai(shared)) == {"han": 48, "control_characters": 1}
    lines = (shared / "data/eprstmt/test_public.json").read_text(encoding="utf-8").splitlines()
    found = counts(steps, [json.loads(line)["sentence"] for line in lines])
    assert found == {"han": 2, "white_space": 27, "html": 7}


def test_real_pages(shared: Path) -> None:
    lines = (shared / "data/instructions/c4_demo.jsonl").read_text(encoding="utf-8").split("\n")
    steps = ["strip", "html", "white_space", "control_characters", "urls", "hashtags", "mentions"]
    found = counts(steps, [json.loads(line)["text"] for line in lines if line])
    assert found == {"html": 3, "white_space": 4, "control_characters": 4, "urls": 11, "hashtags": 2, "mentions": 4}
