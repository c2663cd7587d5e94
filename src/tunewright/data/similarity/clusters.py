"""Clusters of near copies: the groups that verified pairs make up.

A pair is near where the Jaccard coefficient of its shingle sets reaches the threshold. Candidates come from bands of
MinHash (`signatures`), every one is verified on the sets themselves, and a cluster is whatever verified pairs connect:
so its ends may be less alike than the threshold (a chain), which `alarm` is there to notice.

Cost, at 0.8, on one core: about 10 microseconds a text of 130 characters and 100 bytes of memory; linear but for sorting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.data.similarity.candidates import buckets, rounds
from tunewright.data.similarity.hashing import U64
from tunewright.data.similarity.shingles import Sets, jaccard, shingled
from tunewright.data.similarity.signatures import band_keys, banding
from tunewright.data.similarity.unions import Unions

Ints = NDArray[np.int64]
Texts = Callable[[Ints], Sequence[str]]
"""The texts at these places."""
BATCH_CHARACTERS = 1 << 16
_PAIRS = 1 << 11
_SHARE, _LEAST = 0.01, 20


@dataclass(frozen=True)
class Prints:
    """What is kept of texts to find near copies: `content (N,)` hashes; of each set its text, kind and band keys."""

    content: U64
    owner: NDArray[np.int64]
    long: NDArray[np.bool_]
    keys: NDArray[np.uint32]

    def taken(self, rows: Ints) -> Prints:
        """Those of some texts, in this ascending order."""
        place = np.full(len(self.content), -1, np.int64)
        place[rows] = np.arange(len(rows))
        sets = place[self.owner] >= 0
        return Prints(self.content[rows], place[self.owner[sets]], self.long[sets], self.keys[sets])

    @staticmethod
    def joined(parts: list[Prints]) -> Prints:
        """Those of several batches, one after the other. The list is emptied on the way, so that memory is held once."""
        texts, sets = sum(len(part.content) for part in parts), sum(len(part.owner) for part in parts)
        made = Prints(
            np.empty(texts, np.uint64), np.empty(sets, np.int64), np.empty(sets, np.bool_),
            np.empty((sets, parts[0].keys.shape[1]), np.uint32),
        )  # fmt: skip
        parts.reverse()
        text = at = 0
        while parts:
            part = parts.pop()
            end = at + len(part.owner)
            made.content[text : text + len(part.content)] = part.content
            made.owner[at:end], made.long[at:end], made.keys[at:end] = part.owner + text, part.long, part.keys
            text, at = text + len(part.content), end
        return made


def batches(texts: Sequence[str], characters: int = BATCH_CHARACTERS) -> Iterator[Sequence[str]]:
    """Runs of texts of about so many characters together."""
    start = held = 0
    for i, text in enumerate(texts):
        held += len(text) + 1
        if held >= characters:
            yield texts[start : i + 1]
            start, held = i + 1, 0
    if start < len(texts):
        yield texts[start:]


def prints(texts: Sequence[str], threshold: float) -> Prints:
    """The prints of one batch of texts."""
    sets = shingled(texts, threshold)
    return Prints(sets.content, sets.owner, sets.long, band_keys(sets, banding(threshold)))


def near_clusters(texts: Sequence[str], threshold: float = 0.8) -> Ints:
    """(N,) for each text the place of the first text of its cluster; its own where it has no near copy.

    Which texts share a cluster does not depend on their order.

    Args:
        texts: at least one unit of each is compared; texts equal but for case, width, punctuation and space are near.
        threshold: the least Jaccard coefficient of near copies, above 0 and up to 1.
    """
    _check(threshold)
    if not len(texts):
        return np.zeros(0, np.int64)
    found = Prints.joined([prints(batch, threshold) for batch in batches(texts)])
    return clusters_of(found, threshold, lambda places: [texts[i] for i in places.tolist()])


def _check(threshold: float) -> None:
    if not 0 < threshold <= 1:
        raise ValueError(f"a threshold of {threshold}: above 0 and up to 1")


def clusters_of(found: Prints, threshold: float, texts: Texts) -> Ints:
    """The clusters of texts whose prints were taken before; `texts` is asked for candidates alone."""
    _, first, rank = np.unique(found.content, return_index=True, return_inverse=True)
    leads = np.zeros(len(found.content), np.bool_)
    leads[first] = True
    sets = np.flatnonzero(leads[found.owner])
    sets = sets[np.argsort(rank[found.owner[sets]], kind="stable")]
    owner, long = rank[found.owner[sets]], found.long[sets]
    unions = Unions(len(first))
    for band in range(found.keys.shape[1]):
        items, bounds = buckets(found.keys[sets, band])
        for left, right in rounds(items, bounds, lambda: unions.roots[owner]):
            for start in range(0, len(left), _PAIRS):
                one, other = left[start : start + _PAIRS], right[start : start + _PAIRS]
                apart = (unions.roots[owner[one]] != unions.roots[owner[other]]) & (long[one] == long[other])
                one, other = one[apart], other[apart]
                near = _verified(owner[one], owner[other], long[one], threshold, lambda ranks: texts(first[ranks]))
                unions.unite(owner[one[near]], owner[other[near]])
    group = unions.roots[rank]
    least = np.full(len(first), len(rank), np.int64)
    np.minimum.at(least, group, np.arange(len(rank)))
    return np.asarray(least[group])


def candidates(found: Prints) -> Ints:
    """The texts that share a band's key with another content: those that `clusters_of` may ask for."""
    _, first = np.unique(found.content, return_index=True)
    leads = np.zeros(len(found.content), np.bool_)
    leads[first] = True
    sets = np.flatnonzero(leads[found.owner])
    asked = np.zeros(len(found.content), np.bool_)
    for band in range(found.keys.shape[1]):
        items, _ = buckets(found.keys[sets, band])
        asked[found.owner[sets[items]]] = True
    return np.flatnonzero(asked)


def _verified(left: Ints, right: Ints, long: NDArray[np.bool_], threshold: float, texts: Texts) -> NDArray[np.bool_]:
    """Which pairs of texts are near, by the kind of set that is given for each pair."""
    if not len(left):
        return np.zeros(0, np.bool_)
    places, at = np.unique(np.concatenate((left, right)), return_inverse=True)
    sets = shingled(texts(places), threshold)
    number = np.full((len(places), 2), -1, np.int64)
    number[sets.owner, sets.long.astype(np.int64)] = np.arange(len(sets.owner))
    kind = long.astype(np.int64)
    one, other = number[at[: len(left)], kind], number[at[len(left) :], kind]
    return jaccard(sets, one, other) >= threshold - 1e-12


@dataclass(frozen=True)
class Alarm:
    """A cluster too large to be believed: its first row, how many rows it has, their share."""

    first: int
    rows: int
    share: float


def alarm(clusters: Ints) -> list[Alarm]:
    """The clusters that swallow more than 1% of the rows and more than 20 of them, largest first."""
    first, counts = np.unique(clusters, return_counts=True)
    large = np.flatnonzero(counts > max(_LEAST, _SHARE * len(clusters)))
    order = large[np.argsort(-counts[large], kind="stable")]
    return [Alarm(int(first[i]), int(counts[i]), float(counts[i] / len(clusters))) for i in order]


__all__ = [
    "Alarm",
    "Ints",
    "Prints",
    "Sets",
    "alarm",
    "batches",
    "candidates",
    "clusters_of",
    "near_clusters",
    "prints",
]
