"""Simplified and traditional Chinese, and the forms of Taiwan and Hong Kong, through OpenCC's tables.

Phrases decide where one character has several counterparts (`头发`, `发现`). `to` is `simplified`, `traditional` or the name of
a configuration: `s2t`, `s2tw`, `s2twp`, `s2hk`, `t2s`, `tw2s`, `tw2sp`, `hk2s`, `t2tw`, `t2hk`; those that end in p change words
as well (`軟體`, `软件`). A text with kana is Japanese and stays as it is. But for those from plain traditional, a text must hold
a character to which nothing is converted: OpenCC would go on with what is done (`岩鹽` to `巖鹽`). Needs the extra `data`.
Cost: a microsecond for a text that holds nothing to convert, else 30 (to simplified) to 120 a text of 25 characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal

from tunewright.core.errors import Problem, RecipeError
from tunewright.core.registry import register
from tunewright.data.steps.protocol import Edit, Phase
from tunewright.data.steps.rewriting import rewritten

Forms = Literal[
    "simplified", "traditional", "s2t", "s2tw", "s2twp", "s2hk", "t2s", "tw2s", "tw2sp", "hk2s", "t2tw", "t2hk"
]
_CONFIGS = {"simplified": "t2s", "traditional": "s2t"}
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")

DESCRIBED = {"han": ("Chinese in the other script", "converted")}


@cache
def _converter(config: str) -> tuple[frozenset[str], Callable[[str], str]]:
    """Characters of which a text that is to be converted holds one, and the conversion."""
    try:
        from opencc import OpenCC
    except ImportError:
        raise RecipeError(
            Problem(where="data.steps.han", found="OpenCC is not installed",
                    to_do="pip install 'tunewright[data]', or leave this step out")
        ) from None  # fmt: skip
    opencc = OpenCC(config)
    entries = [(key, value.split(" ")[0]) for _, _, table in opencc.dict_cache.values() for key, value in table.items()]
    return frozenset(_telling(entries, config[:2] != "t2")), opencc.convert


def _telling(entries: Sequence[tuple[str, str]], only: bool) -> set[str]:
    """Characters of which a text that is to be converted holds one; `only` those to which nothing is converted."""
    single = {key for key, value in entries if len(key) == 1 and key != value}
    if only:
        return single - {character for _, value in entries for character in value}
    phrases = ((key, value) for key, value in entries if key != value and single.isdisjoint(key))
    return single | {min(set(key) - set(value), default=key[0]) for key, value in phrases}


@register("step", "han")
@dataclass(frozen=True)
class Han:
    """Converts texts."""

    to: Forms = "simplified"

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "han"
    shorthand: ClassVar[str] = "to"

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        telling, convert = _converter(_CONFIGS.get(self.to, self.to))
        return rewritten(
            texts, lambda text: not (text.isascii() or telling.isdisjoint(text) or _KANA.search(text)), convert
        )
