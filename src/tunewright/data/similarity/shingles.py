"""Texts as sets of shingles, by script, so that neither Chinese nor a text of one word falls through.

A text becomes a row of units: a word of a script with spaces, or one character of a script without. Then:

| text | shingles |
|---|---|
| 20 units or more, or no word of a script with spaces | each two units that follow one another |
| fewer than 20 / threshold units, with words | 4 characters from each place; where a character without spaces stands, two units |
| fewer than 4 shingles by these rules | one: the whole text (so only equal texts are near) |

A text from 20 to 20 / threshold units has a set by either rule, and two texts are near where they are near by one: so
no pair is parted by the limit, since sets of Jaccard at least t differ in size by the factor t at most. One changed word
among 20 leaves 17 / 21 = 0.81 of word pairs; below that, only characters notice that most has stayed.

Punctuation, case, width and white space count for nothing; a text of punctuation alone is compared whole.
Cost: about 8 microseconds a text of 130 characters. No loop over shingles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tunewright.data.similarity.alphabet import ALONE, GAP, SPACED, codes_of
from tunewright.data.similarity.hashing import U64, Sums, mix, ranges, windows

FEW_UNITS = 20
FEWEST = 4
WIDTH = 4
BITS = 44
"""Of a shingle's hash these are kept, so that it can be sorted together with the number of its set."""
_LOW = np.uint64((1 << BITS) - 1)
_SPACE = 0x20


@dataclass(frozen=True)
class Sets:
    """Shingle sets of texts: set e belongs to text `owner[e]`, is by word pairs or not (`long[e]`), and holds
    `values[starts[e]:starts[e + 1]]`, ascending hashes of 44 bits without repetition.

    `content (N,)` is the hash of each text as it is compared.
    """  # fmt: skip

    values: U64
    starts: NDArray[np.int64]
    owner: NDArray[np.int64]
    long: NDArray[np.bool_]
    content: U64

    @property
    def sizes(self) -> NDArray[np.int64]:
        return np.diff(self.starts)


@dataclass(frozen=True)
class _Stream:
    """Code points that count, a space before each word, and the units they make up."""

    codes: NDArray[np.uint32]
    alone: NDArray[np.bool_]
    owner: NDArray[np.int64]
    units: NDArray[np.int64]
    hashes: U64
    content: U64


def _stream(texts: Sequence[str]) -> _Stream:
    raw, kinds, ends = codes_of(texts)
    n = len(texts)
    spaced, keep = kinds == SPACED, kinds != GAP
    begins = spaced.copy()
    begins[1:] &= ~spaced[:-1]
    heads = ends[:-1][ends[:-1] < len(raw)]
    begins[heads] = spaced[heads]
    place = np.cumsum(keep.view(np.int8) + begins.view(np.int8), dtype=np.int64)
    total = int(place[-1]) if len(place) else 0
    codes = np.full(total, _SPACE, np.uint32)
    at = place[keep] - 1
    codes[at] = raw[keep]
    alone = np.zeros(total, np.bool_)
    alone[at[(kinds == ALONE)[keep]]] = True
    stops = np.concatenate(([0], place))[ends]
    starts = np.concatenate(([0], stops))[:-1]
    units = np.flatnonzero(alone | (codes == _SPACE))
    sums = Sums(codes)
    content = sums.stretches(starts, stops)
    bare = np.flatnonzero(stops == starts)
    if len(bare):
        content[bare] = Sums(raw).stretches(np.concatenate(([0], ends))[bare], ends[bare])
    hashes = sums.stretches(units, np.concatenate((units, [total]))[1:])
    return _Stream(codes, alone, np.repeat(np.arange(n), stops - starts), units, hashes, content)


def units_of(texts: Sequence[str]) -> tuple[U64, NDArray[np.int64]]:
    """The hash of every unit of the texts in their order, and the text that each stands in."""
    stream = _stream(texts)
    return stream.hashes, stream.owner[stream.units]


def shingled(texts: Sequence[str], threshold: float) -> Sets:
    """The shingle sets of a batch of texts (up to 500,000)."""
    stream = _stream(texts)
    plan = _plan(stream, len(texts), threshold)
    at = stream.owner[stream.units]
    whole = at[:-1] == at[1:]
    in_long = whole & plan.long[at[:-1]]
    in_short = whole & plan.short[at[:-1]] & stream.alone[stream.units[:-1]]
    pairs = mix(stream.hashes[:-1] * np.uint64(0xD6E8FEB86659FD93) + stream.hashes[1:])
    by_long, by_short = plan.long_set[at[:-1][in_long]], plan.short_set[at[:-1][in_short]]
    grams = windows(stream.codes, WIDTH)
    at = stream.owner[: len(grams)]
    good = (at == stream.owner[len(stream.owner) - len(grams) :]) & plan.short[at] & ~stream.alone[: len(grams)]
    of_set = np.concatenate((by_long, by_short, plan.short_set[at[good]]))
    values = np.concatenate((pairs[in_long], pairs[in_short], grams[good]))
    few = np.bincount(of_set, minlength=len(plan.owner)) < FEWEST
    if few.any():
        stay, lone = ~few[of_set], np.flatnonzero(few)
        of_set = np.concatenate((of_set[stay], lone))
        values = np.concatenate((values[stay], stream.content[plan.owner[lone]]))
    return _sorted(values, of_set, plan, stream.content)


@dataclass(frozen=True)
class _Plan:
    """Which texts have a set by word pairs and by characters, and the number of each; the owners of all sets."""

    long: NDArray[np.bool_]
    short: NDArray[np.bool_]
    long_set: NDArray[np.int64]
    short_set: NDArray[np.int64]
    owner: NDArray[np.int64]
    is_long: NDArray[np.bool_]


def _plan(stream: _Stream, n: int, threshold: float) -> _Plan:
    owner = stream.owner[stream.units]
    count = np.bincount(owner, minlength=n)
    worded = np.bincount(owner[~stream.alone[stream.units]], minlength=n) > 0
    long = (count >= FEW_UNITS) | ~worded
    short = worded & (count < math.ceil(FEW_UNITS / threshold))
    last = np.cumsum(long.astype(np.int64) + short) - 1
    owner = np.repeat(np.arange(n), long.astype(np.int64) + short)
    is_long = np.zeros(len(owner), np.bool_)
    is_long[(last - short)[long]] = True
    return _Plan(long, short, last - short, last, owner, is_long)


def _sorted(values: U64, of_set: NDArray[np.int64], plan: _Plan, content: U64) -> Sets:
    keys = (of_set.astype(np.uint64) << np.uint64(BITS)) | (values & _LOW)
    keys.sort()
    if len(keys):
        keys = keys[np.concatenate(([True], keys[1:] != keys[:-1]))]
    starts = np.searchsorted(keys, np.arange(len(plan.owner) + 1, dtype=np.uint64) << np.uint64(BITS))
    return Sets(keys & _LOW, starts.astype(np.int64), plan.owner, plan.is_long, content)


def jaccard(sets: Sets, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
    """The true Jaccard coefficients of pairs of sets (up to 500,000 pairs)."""
    sizes = sets.sizes
    pair = np.arange(len(left), dtype=np.uint64) << np.uint64(BITS)
    keys = np.concatenate([
        sets.values[ranges(sets.starts[side], sizes[side])] | np.repeat(pair, sizes[side]) for side in (left, right)
    ])  # fmt: skip
    keys.sort()
    twice = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(BITS)
    common = np.bincount(twice.astype(np.int64), minlength=len(left))
    return np.asarray(common / (sizes[left] + sizes[right] - common), dtype=np.float64)
