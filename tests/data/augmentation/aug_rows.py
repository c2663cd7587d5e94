"""Rows of two languages for the tests of augmentation, and a language model that answers by rule."""

from __future__ import annotations

from collections.abc import Sequence

from tunewright.core.records import Source, content_id
from tunewright.data.augmentation import Ask, Guard, Kit
from tunewright.data.journal import Draft, composed, folded

ENGLISH = [
    "I don't like this movie, it is a really horrible film. But the car was okay! I hate 3 dogs http://t.co/x <email> @me",
    "I`m so tired of waiting and hoping. It was great fun to buy a big house! Never again.",
    "The doctor and the lawyer won't begin before 9:30 in New York, said nobody at all",
    "She started watching movies, and they can not stop laughing about my daddy's jokes",
]
CHINESE = [
    "外卖送得很快，味道非常好，但是分量不够。下次还会再来！推荐给朋友和同事，2人份 https://a.b/c",
    "服务态度不好，等待时间太长。价格便宜，质量一般。希望商家马上解决问题！",
    "电影没有意思，演员表演认真。我喜欢这个地方，房间干净，服务员热情周到",
]
ODD = [
    "",
    "hi",
    "😀",
    "😀😀 👍",
    "不好",
    "好",
    "no",
    "!!!",
    "a b",
    "   ",
    "12345",
    "www.x.org",
    "\n\n",
    "é",
    "the the the",
]


def draft(text: str, label: str = "a", *, pair: str | None = None, split: str = "train", line: int = 1) -> Draft:
    return Draft(
        text, label, pair, Source("rows.csv", line), split,
        content_id(folded(text), None if pair is None else folded(pair)),
        content_id(composed(text), None if pair is None else composed(pair)),
    )  # fmt: skip


def drafts(texts: Sequence[str], labels: Sequence[str] = ("a", "b")) -> list[Draft]:
    return [draft(text, labels[i % len(labels)], line=i + 1) for i, text in enumerate(texts)]


def spoken(prompts: Sequence[str]) -> list[str]:
    """A language model that writes the last line of what it is told, with one word more."""
    return [f"Sure, here it is: {prompt.splitlines()[-1].split(':', 1)[-1].strip()} indeed" for prompt in prompts]


def kit(rows: Sequence[Draft], seed: int = 0, entities: tuple[str, ...] = ("New York",)) -> Kit:
    return Kit(seed, Guard(("horrible", "质量"), entities), train=rows, write=spoken)


def asks(rows: Sequence[Draft], copies: int = 2) -> list[Ask]:
    return [Ask(row.label or "", copy, row) for row in rows for copy in range(copies)]
