"""Random swap: two words change places, a share of words times over (EDA, Wei and Zou 2019).

What differs: protected tokens keep their places, equal words are not swapped, and within `reach` words of each other
where that is given. Gives no child where a text has fewer than two different words. Cost: about 10 microseconds a text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le

from tunewright.core.registry import register
from tunewright.data.augmentation.protocol import Draw, Edits, Kit, times
from tunewright.data.augmentation.words import content, joined


@register("operator", "swap")
@dataclass(frozen=True)
class Swap(Edits):
    """`share` of the words is the number of swaps; `reach`: how many words apart two may be, any where None."""

    share: Annotated[float, Gt(0), Le(1)] = 0.1
    reach: Annotated[int, Ge(1)] | None = None

    shorthand: ClassVar[str] = "share"

    def edit(self, text: str, draw: Draw, kit: Kit, label: str) -> str | None:
        tokens = kit.guard.tokens(text)
        words = content(tokens)
        pieces = [token.text for token in tokens]
        before = list(pieces)
        for n in range(times(self.share, len(words)) if words else 0):
            first = draw.below(len(words), "first", n)
            others = [
                k for k, i in enumerate(words)
                if pieces[i].casefold() != pieces[words[first]].casefold()
                and (self.reach is None or abs(k - first) <= self.reach)
            ]  # fmt: skip
            if others:
                a, b = words[first], words[others[draw.below(len(others), "second", n)]]
                pieces[a], pieces[b] = pieces[b], pieces[a]
        return joined(pieces) if pieces != before else None
