"""Random insertion: a share of words is put in at random places.

What is inserted: a `synonym` of a word of the text (EDA, Wei and Zou 2019), a word that stands in at least two rows of
train (`vocabulary`), or `punctuation` (AEDA: Karimi et al. 2021, "AEDA: An Easier Data Augmentation Technique for Text
Classification", from 1 to a third of the words). Cost: about 30 microseconds a text.

What differs: nothing is put inside a protected token or between a negation and what follows it. "synonym" gives no child
where no word has one. The probe by which operators are tried reads no punctuation, so that it cannot tell AEDA's worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt, Le

from tunewright.core.registry import register
from tunewright.data.augmentation.protocol import Draw, Edits, Kit, times
from tunewright.data.augmentation.synonyms import opened
from tunewright.data.augmentation.words import Token, content, denies, joined

MARKS = (".", ";", "?", ":", "!", ",")
CHINESE_MARKS = ("。", "；", "？", "：", "！", "，")


@register("operator", "insertion")
@dataclass(frozen=True)
class Insertion(Edits):
    """`share` of the words; `of`: what is put in; `thesaurus` and `wordnet` as synonyms have them."""

    share: Annotated[float, Gt(0), Le(1)] = 0.1
    of: Literal["synonym", "vocabulary", "punctuation"] = "synonym"
    thesaurus: str | None = None
    wordnet: str | None = None

    shorthand: ClassVar[str] = "share"

    def edit(self, text: str, draw: Draw, kit: Kit, label: str) -> str | None:
        tokens = kit.guard.tokens(text)
        words = content(tokens)
        if not words:
            return None
        pieces = [token.text for token in tokens]
        wanted = times(self.share, len(words))
        if self.of == "punctuation":
            wanted = 1 + draw.below(max(len(words) // 3, 1), "times")
        places = [i for i in words if not (i >= 2 and tokens[i - 1].kind == "space" and denies(tokens[i - 2].text))]
        put = 0
        for n, at in enumerate(draw.ranked(len(places), "place")[:wanted]):
            i = places[at]
            new = self._new(tokens, words, draw, kit, n)
            if new is not None:
                spaced = tokens[i].kind == "word"
                pieces[i] = f"{new} {pieces[i]}" if spaced else new + pieces[i]
                put += 1
        return joined(pieces) if put else None

    def _new(self, tokens: list[Token], words: list[int], draw: Draw, kit: Kit, n: int) -> str | None:
        if self.of == "punctuation":
            marks = CHINESE_MARKS if tokens[words[0]].kind == "han" else MARKS
            return marks[draw.below(len(marks), "mark", n)]
        if self.of == "vocabulary":
            written = tokens[words[0]].kind
            known = [word for word in kit.vocabulary if (word[0] > "\u2e7f") == (written == "han")]
            return known[draw.below(len(known), "word", n)] if known else None
        source = opened(self.thesaurus, self.wordnet, kit)
        others = [other for i in words for other in source.of(tokens[i])]
        return others[draw.below(len(others), "word", n)] if others else None
