"""Which texts are near copies of others: Jaccard's index of their shingles, exact, by a prefix filter.

Shingles are the words of the folded text and the pairs of neighbouring ones, Chinese by the character: one word of eleven
changed leaves an index of 0.75, where runs of three words would leave 0.54.

Two sets with an index of at least t share one of the |S| - ceil(t |S|) + 1 first of their shingles in any fixed order
(Bayardo et al. 2007, "Scaling Up All Pairs Similarity Search"), so only those are indexed and looked up; every hit is then
counted out. Cost: some 30 microseconds a text. This is for asking of children; the duplicates of a whole set are found
elsewhere.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from tunewright.core.records import content_id
from tunewright.data.augmentation.words import pieces
from tunewright.data.journal import folded


class Hit(NamedTuple):
    """The place of a text that another is near to, and how near."""

    place: int
    jaccard: float


class Near:
    """An index over texts that answers which is the nearest one of at least `least`."""

    def __init__(self, texts: Iterable[str], least: float) -> None:
        self.least = least
        self.sets = [shingles(text) for text in texts]
        counts = Counter(shingle for one in self.sets for shingle in one)
        self._rank = {shingle: (n, content_id(shingle)) for shingle, n in counts.items()}
        self._places: dict[str, list[int]] = {}
        for place, one in enumerate(self.sets):
            for shingle in self._first(one):
                self._places.setdefault(shingle, []).append(place)

    def _first(self, one: frozenset[str]) -> list[str]:
        """The rarest shingles, of which a near text has at least one among its own; unknown ones are the rarest."""
        ranked = sorted(one, key=lambda shingle: self._rank.get(shingle, (0, content_id(shingle))))
        return ranked[: len(one) - math.ceil(self.least * len(one)) + 1]

    def nearest(self, text: str) -> Hit | None:
        """The nearest text that is near enough; the first of equally near ones."""
        mine = shingles(text)
        asked = {place for shingle in self._first(mine) for place in self._places.get(shingle, ())}
        hits = [Hit(place, len(mine & self.sets[place]) / len(mine | self.sets[place])) for place in sorted(asked)]
        best = max(hits, key=lambda hit: hit.jaccard, default=None)
        return best if best is not None and best.jaccard >= self.least else None


def shingles(text: str) -> frozenset[str]:
    """The words of a text and the pairs of neighbouring ones; a text without any is one shingle."""
    words = pieces(folded(text)) or [folded(text)]
    return frozenset([*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))])
