"""Synonym replacement: a share of the words become others of the same meaning.

Of EDA (Wei and Zou 2019, "EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification
Tasks"): n = max(1, share x words) words are replaced. What differs: no synonym is drawn from WordNet's all senses; only
one of the first sense and the same part of speech, in the inflection that stood there; protected words are left alone.
Cost: about 20 microseconds a text. Refuses to guess: words that it does not know stay, and a text without one has no child.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Gt, Le

from tunewright.core.registry import register
from tunewright.data.augmentation.inflection import article
from tunewright.data.augmentation.protocol import Draw, Edits, Kit, times
from tunewright.data.augmentation.thesaurus import Thesaurus, thesaurus
from tunewright.data.augmentation.words import Token, content, joined


@register("operator", "synonyms")
@dataclass(frozen=True)
class Synonyms(Edits):
    """`share` of the words; `thesaurus`: a file of the user's; `wordnet`: its folder, for more than the shipped table."""

    share: Annotated[float, Gt(0), Le(1)] = 0.1
    thesaurus: str | None = None
    wordnet: str | None = None

    shorthand: ClassVar[str] = "share"

    def __post_init__(self) -> None:
        if self.thesaurus is not None and self.wordnet is not None:
            raise ValueError("thesaurus and wordnet: name one of the two")

    def edit(self, text: str, draw: Draw, kit: Kit, label: str) -> str | None:
        tokens, source = kit.guard.tokens(text), opened(self.thesaurus, self.wordnet, kit)
        known = {i: source.of(tokens[i]) for i in content(tokens)}
        places = [i for i, others in known.items() if others]
        if not places:
            return None
        order = draw.ranked(len(places), "place")[: times(self.share, len(known))]
        pieces = [token.text for token in tokens]
        for i in (places[n] for n in order):
            pieces[i] = known[i][draw.below(len(known[i]), "synonym", i)]
            _agree(tokens, pieces, i)
        return joined(pieces)


def opened(file: str | None, wordnet: str | None, kit: Kit) -> Thesaurus:
    """The thesaurus that an operator names, its paths read from where the recipe lies."""
    return thesaurus(*(None if path is None else kit.base / Path(path).expanduser() for path in (file, wordnet)))


def _agree(tokens: list[Token], pieces: list[str], i: int) -> None:
    """An article right before a replaced word as its new first letter wants it."""
    if i >= 2 and tokens[i - 1].kind == "space" and tokens[i - 2].kind == "word" and tokens[i].kind == "word":
        pieces[i - 2] = article(pieces[i - 2], pieces[i])
