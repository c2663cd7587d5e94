"""Hashtags (`#sunset`) and Weibo's topics (`#深圳爆料#`), by policy: kept, removed, one token for all, or their words alone.

Numbers (`#1`, `#22B`), character references (`&#39;`), colours and what follows a letter (`C#`) are none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from tunewright.core.registry import register
from tunewright.data.steps.protocol import Edit, Phase
from tunewright.data.steps.rewriting import replaced, rewritten, settled

_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_TAG = re.compile(
    rf"(?<![\w&#/])[#＃](?:(?P<topic>[^#＃\n]{{0,40}}[{_HAN}][^#＃\n]{{0,40}})[#＃]|(?P<tag>(?!\d)(?![0-9A-Fa-f]{{6}}\b)\w+))"
)

DESCRIBED = {"hashtags": ("Hashtags", "treated as the recipe says")}


@register("step", "hashtags")
@dataclass(frozen=True)
class Hashtags:
    """Treats them by the policy; `token` is what stands for one."""

    policy: Literal["keep", "remove", "token", "words"] = "token"
    token: str = "<hashtag>"

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "hashtags"
    shorthand: ClassVar[str] = "policy"

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        if self.policy == "keep":
            return [None] * len(texts)
        return rewritten(texts, lambda text: "#" in text or "＃" in text, settled(self._rewritten))

    def _rewritten(self, text: str) -> str:
        return replaced(text, [(*match.span(), self._word(match)) for match in _TAG.finditer(text)])

    def _word(self, match: re.Match[str]) -> str:
        if self.policy == "words":
            return (match["topic"] or match["tag"]).strip()
        return self.token if self.policy == "token" else ""
