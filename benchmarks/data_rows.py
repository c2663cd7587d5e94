"""Generated rows of realistic lengths: half Chinese, half English, some of them near copies made by small edits.

Words and characters come from keyed models that are written here: an English vocabulary of made-up words and the common Chinese
ideographs, both drawn by Zipf's law with a topic of its own for each row. Nothing is taken from any data set.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

SHARE = 0.12
BLOCK = 10_000
_ONSETS = [*"bcdfghklmnprstvw", *(a + b for a in "bcfgp" for b in "rl"), "sh", "st", "th", "tr"]
_NUCLEI = ["a", "e", "i", "o", "u", "ai", "ea", "ou"]
_CODAS = ["", "", "n", "r", "s", "t", "l", "nd", "st"]
_LABELS = ("good", "bad", "neutral")


@cache
def _words(count: int) -> list[str]:
    """Made-up words, short ones first: those are drawn most."""
    chance = np.random.default_rng(11)
    made: dict[str, None] = {}
    while len(made) < count:
        parts = chance.integers(1, 4)
        syllables = zip(chance.integers(0, len(_ONSETS), parts), chance.integers(0, len(_NUCLEI), parts), strict=True)
        made["".join(_ONSETS[i] + _NUCLEI[j] for i, j in syllables) + _CODAS[chance.integers(0, len(_CODAS))]] = None
    return sorted(made, key=len)


def _zipf(count: int, shift: float) -> np.ndarray:
    weights = 1 / (np.arange(count) + shift)
    return np.cumsum(weights / weights.sum())


class Writer:
    """Draws texts. The rows of block `number` depend on it and on nothing else."""

    def __init__(self) -> None:
        self.words = _words(20_000)
        self.characters = [chr(code) for code in range(0x4E00, 0x4E00 + 3000)]
        self.common = (_zipf(len(self.words), 3.0), _zipf(len(self.characters), 8.0))

    def block(self, number: int, size: int = BLOCK) -> list[tuple[str, str]]:
        """`size` rows (text, label); SHARE of them are near copies of other rows of the block."""
        chance = np.random.default_rng([7, number])
        copies = int(size * SHARE)
        half = (size - copies) // 2
        rows = [*self._english(chance, size - copies - half), *self._chinese(chance, half)]
        labels = chance.integers(0, len(_LABELS), len(rows))
        made = [(text, _LABELS[label]) for text, label in zip(rows, labels, strict=True)]
        for place in chance.integers(0, len(rows), copies).tolist():
            text, label = made[place]
            made.append((self._edited(text, chance), label))
        return [made[i] for i in chance.permutation(len(made))]

    def _draw(self, chance: np.random.Generator, which: int, counts: np.ndarray) -> list[list[str]]:
        """So many units for each text: seven of ten from all, the others from its topic."""
        pool, total = (self.words, self.characters)[which], int(counts.sum())
        common = np.minimum(np.searchsorted(self.common[which], chance.random(total)), len(pool) - 1)
        topic = np.repeat(chance.integers(0, len(pool), len(counts)), counts) + chance.integers(0, 60, total)
        chosen = np.where(chance.random(total) < 0.7, common, topic % len(pool)).tolist()
        ends = np.cumsum(counts).tolist()
        return [[pool[i] for i in chosen[start:end]] for start, end in zip([0, *ends], ends, strict=False)]

    def _english(self, chance: np.random.Generator, count: int) -> list[str]:
        """Of about 130 characters."""
        lengths = np.clip(chance.lognormal(3.02, 0.45, count), 4, 120).astype(np.int64)
        marks = chance.integers(0, 4, count).tolist()
        return [" ".join(words).capitalize() + (".", "!", "", "?")[m] for words, m in
                zip(self._draw(chance, 0, lengths), marks, strict=True)]  # fmt: skip

    def _chinese(self, chance: np.random.Generator, count: int) -> list[str]:
        """Of about 45 characters."""
        made = []
        for text in self._draw(chance, 1, np.clip(chance.lognormal(3.7, 0.5, count), 6, 200).astype(np.int64)):
            text[8::11] = "，" * len(text[8::11])
            made.append("".join(text) + "。")
        return made

    def _edited(self, text: str, chance: np.random.Generator) -> str:
        """One to three small edits: a unit replaced, left out or added, case, punctuation."""
        spaced = " " in text
        units = text.split(" ") if spaced else list(text)
        for _ in range(int(chance.integers(1, 4))):
            at, kind = int(chance.integers(0, len(units))), int(chance.integers(0, 5))
            if kind == 0:
                units[at] = self._draw(chance, int(not spaced), np.ones(1, np.int64))[0][0]
            elif kind == 1 and len(units) > 4:
                del units[at]
            elif kind == 2:
                units.insert(at, self._draw(chance, int(not spaced), np.ones(1, np.int64))[0][0])
            elif kind == 3:
                units[at] = units[at].upper()
            else:
                units[-1] += "!" if spaced else "！"
        return (" " if spaced else "").join(units)


def texts(count: int, size: int = BLOCK) -> list[str]:
    """The texts of so many rows; copies lie within `size` rows of what they copy."""
    writer = Writer()
    blocks = (writer.block(number, size) for number in range(-(-count // size)))
    return [text for block in blocks for text, _ in block][:count]


def rows(count: int) -> Iterator[tuple[str, str]]:
    """The first rows."""
    writer, left = Writer(), count
    number = 0
    while left > 0:
        block = writer.block(number)[:left]
        yield from block
        left, number = left - len(block), number + 1


def write_csv(path: Path, count: int) -> None:
    """The rows as a CSV file with a header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("text", "label"))
        table.writerows(rows(count))
