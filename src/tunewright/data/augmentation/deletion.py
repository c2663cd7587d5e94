"""Random deletion: each word is left out with a probability (EDA, Wei and Zou 2019).

What differs: protected tokens and punctuation stay; at least one word is left out, and at least half of them and one stay.
Gives no child where a text has fewer than two words that may go. Cost: about 10 microseconds a text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt, Lt

from tunewright.core.registry import register
from tunewright.data.augmentation.protocol import Draw, Edits, Kit
from tunewright.data.augmentation.words import content, joined


@register("operator", "deletion")
@dataclass(frozen=True)
class Deletion(Edits):
    """`share`: each word's probability to go."""

    share: Annotated[float, Gt(0), Lt(1)] = 0.1

    shorthand: ClassVar[str] = "share"

    def edit(self, text: str, draw: Draw, kit: Kit, label: str) -> str | None:
        tokens = kit.guard.tokens(text)
        words = content(tokens)
        if len(words) < 2:
            return None
        order = sorted(words, key=lambda i: draw.uniform("word", i))
        gone = [i for i in order if draw.uniform("word", i) < self.share][: len(words) // 2] or order[:1]
        left = ["" if i in gone else token.text for i, token in enumerate(tokens)]
        return joined(left)
