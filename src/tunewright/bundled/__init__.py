"""What ships with the package: the demonstration messages and a toy data set. Knows nothing of the rest."""

from __future__ import annotations

from pathlib import Path

MESSAGES = Path(__file__).with_name("messages.csv")
DEFECTS = Path(__file__).with_name("messages.defects.json")

_WORDS = {
    "warm": ["sun", "beach", "july", "sand", "noon", "desert", "stove", "lamp"],
    "cold": ["snow", "frost", "ice", "january", "sled", "glacier", "north", "wind"],
    "wet": ["rain", "river", "puddle", "cloud", "flood", "tide", "fog", "pond"],
}
_FILLER = ["the", "a", "old", "by", "under", "near", "house", "road", "man", "dog", "saw", "and", "then", "quiet"]


def toy_vocabulary() -> list[str]:
    """Every word of the toy data set."""
    return _FILLER + [word for words in _WORDS.values() for word in words]


def toy_rows(n: int = 150, seed: int = 0) -> list[tuple[str, str]]:
    """`n` texts of 3 to 12 words with one of three labels; two telling words in each. The same on every machine."""
    import random

    rng = random.Random(seed)
    rows = []
    for i in range(n):
        label = sorted(_WORDS)[i % 3]
        words = rng.choices(_FILLER, k=rng.randint(1, 10)) + rng.choices(_WORDS[label], k=2)
        rng.shuffle(words)
        rows.append((" ".join(words), label))
    return rows
