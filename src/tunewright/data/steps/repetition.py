"""Texts that say the same again and again: machine output, pages of links, one character held down.

Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", appendix A1: shares of lines that
stood there before, of characters in the commonest pair, triple and quadruple of words, and of characters in repeated runs of
five to ten words. Different here: a Chinese character is a word; one length of runs (five words) stands for six. The paper's shares
are of documents; at 40 words they would refuse reviews that say a thing three times (36 of 11,987 of meals, all sensible), so
they count from `least` words on. Shorter texts leave where hardly a word is new (`distinct`), and all where one character makes
up most of them (`run`). Cost: about a microsecond a word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tunewright.core.registry import register
from tunewright.data.language import words
from tunewright.data.steps.protocol import Edit, Phase

_RUN = re.compile(r"(\S)\1{9,}")
_LENGTH = 5
_FEW = 20

DESCRIBED = {"repetition": ("Texts that repeat themselves", "left out")}


@register("step", "repetition")
@dataclass(frozen=True, kw_only=True)
class Repetition:
    """Refuses what is over one of the shares; 1 switches one off.

    `lines` of repeated lines, `pairs`, `triples` and `quadruples` of characters in the commonest of these, `phrases` of words in
    runs of five that stood there before, `run` of one character in a row (ten and more). `distinct` is the least share of
    distinct words in a text of 20 words up to `least`; 0 switches it off.
    """

    lines: float = 0.3
    pairs: float = 0.2
    triples: float = 0.18
    quadruples: float = 0.16
    phrases: float = 0.15
    run: float = 0.5
    distinct: float = 0.2
    least: int = 100

    phase: ClassVar[Phase] = "texts"
    reason: ClassVar[str] = "repetition"
    whole: ClassVar[bool] = True

    def __post_init__(self) -> None:
        shares = (self.lines, self.pairs, self.triples, self.quadruples, self.phrases, self.run)
        if not all(0 < share <= 1 for share in shares) or not 0 <= self.distinct < 1 or self.least < _FEW:
            raise ValueError(f"shares above 0 and up to 1, `distinct` below 1, `least` from {_FEW}")

    def __call__(self, texts: Sequence[str]) -> list[Edit | None]:
        return [Edit(text, why, refused="repetition") if (why := self._why(text)) else None for text in texts]

    def _why(self, text: str) -> str:
        longest = max((len(match.group()) for match in _RUN.finditer(text)), default=0)
        if longest > self.run * len(text):
            return f"{longest / len(text):.0%} one character in a row"
        if len(text) < _FEW:
            return ""
        if "\n" in text:
            lines = [line for line in map(str.strip, text.split("\n")) if line]
            again = 1 - len(set(lines)) / len(lines) if lines else 0.0
            if len(lines) >= 4 and again > self.lines:
                return f"{again:.0%} of lines stood there before"
        said = words(text)
        if len(said) >= self.least:
            return self._of_words(said)
        new = len(set(map(str.lower, said))) / len(said) if len(said) >= _FEW else 1.0
        return f"{new:.0%} of words are distinct" if new < self.distinct else ""

    def _of_words(self, said: Sequence[str]) -> str:
        lower = [word.lower() for word in said]
        letters = sum(map(len, lower))
        for n, most in ((2, self.pairs), (3, self.triples), (4, self.quadruples)):
            runs = Counter(zip(*(lower[i:] for i in range(n)), strict=False))
            run, times = runs.most_common(1)[0]
            share = times * sum(map(len, run)) / letters
            if times > 2 and share > most:
                return f"{share:.0%} of characters in {n} words that stand there {times} times"
        seen, covered = set[tuple[str, ...]](), set[int]()
        for i in range(len(lower) - _LENGTH + 1):
            phrase = tuple(lower[i : i + _LENGTH])
            if phrase in seen:
                covered.update(range(i, i + _LENGTH))
            seen.add(phrase)
        share = len(covered) / len(lower)
        return f"{share:.0%} of words in phrases that stood there before" if share > self.phrases else ""
