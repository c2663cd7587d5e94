"""A text's words for measures of difficulty: runs of letters and digits; of Chinese, Japanese and the like, characters."""

from __future__ import annotations

import re
from functools import cache

from tunewright.core.scripts import IDEOGRAPH, KANA, UNSPACED
from tunewright.data.journal import Draft

_CUT = rf"[{IDEOGRAPH}{KANA}{UNSPACED}]"


@cache
def _pattern() -> re.Pattern[str]:
    return re.compile(rf"{_CUT}|(?:(?!{_CUT})[^\W_])+(?:['’](?:(?!{_CUT})[^\W_])+)*")


def words_of(text: str) -> list[str]:
    """Its words without case, in their order; marks that are no letters or digits are none."""
    return _pattern().findall(text.casefold())


def whole(draft: Draft) -> str:
    """The text with its second text where there is one."""
    return draft.text if draft.pair is None else f"{draft.text} {draft.pair}"
