"""How hard a text is to read, as a school grade or like one.

English and other Latin scripts: Flesch-Kincaid, 0.39 words / sentences + 11.8 syllables / words - 15.59, with runs of vowels
for syllables (Kincaid et al. 1975; made for English, no more than an order elsewhere). Chinese: 0.39 x characters a sentence /
1.5 + 8 x the share of characters that are not among the commonest of all rows' which make up 80% of their text: about one
and a half characters make a word, and known characters are what grades count (Sung et al. 2015). It is an order, not a grade.
Both may stand among the same rows; compare rows of one script alone. Cost: one pass.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from tunewright.core.registry import register
from tunewright.core.scripts import cjk
from tunewright.data.difficulty.protocol import Floats, Means
from tunewright.data.difficulty.words import whole, words_of
from tunewright.data.journal import Draft

_SENTENCES = re.compile(r"[.!?。！？；…]+(?:[\"'”’」）)]*)(?:\s|$)|[。！？；…]+|\n+")
_VOWELS = re.compile(r"[aeiouyàâäéèêëîïôöùûüáíóúãõåæøœ]+")
_COMMON = 0.8


@register("difficulty", "readability")
@dataclass(frozen=True)
class Readability:
    """No options."""

    def __call__(self, drafts: Sequence[Draft], means: Means) -> Floats:
        texts = [whole(draft) for draft in drafts]
        words = [words_of(text) for text in texts]
        unspaced = [cjk([text]) for text in texts]
        common = _common(Counter(w for own, is_cjk in zip(words, unspaced, strict=True) if is_cjk for w in own))
        scores = [
            0.0 if not own else _chinese(own, _sentences(text), common) if is_cjk else _grade(own, _sentences(text))
            for text, own, is_cjk in zip(texts, words, unspaced, strict=True)
        ]
        return np.array(scores, np.float64)


def syllables(word: str) -> int:
    """Runs of vowels, without a silent e at the end; at least one."""
    runs = len(_VOWELS.findall(word))
    silent = runs > 1 and word.endswith("e") and not word.endswith(("le", "ee", "ye"))
    return max(runs - silent, 1)


def _sentences(text: str) -> int:
    return max(sum(bool(words_of(part)) for part in _SENTENCES.split(text)), 1)


def _grade(words: Sequence[str], sentences: int) -> float:
    return 0.39 * len(words) / sentences + 11.8 * sum(map(syllables, words)) / len(words) - 15.59


def _chinese(words: Sequence[str], sentences: int, common: Collection[str]) -> float:
    return 0.39 * len(words) / 1.5 / sentences + 8.0 * sum(word not in common for word in words) / len(words)


def _common(counts: Counter[str]) -> frozenset[str]:
    wanted, out = _COMMON * counts.total(), set[str]()
    for word, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        if wanted <= 0:
            break
        out.add(word)
        wanted -= count
    return frozenset(out)
