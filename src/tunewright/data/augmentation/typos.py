"""Typing noise: English by the keyboard, Chinese by sound and by shape.

| kind | what happens to a word | of |
|---|---|---|
| neighbour | a letter becomes one beside it on a QWERTY keyboard | English |
| transposition | two letters inside it change places | English |
| omission | a letter is left out | English |
| doubling | a letter comes twice | English |
| homophone | a character becomes one that sounds alike, as an input method offers it | Chinese |
| shape | a character becomes one that looks alike | Chinese |

Belinkov and Bisk 2018, "Synthetic and Natural Noise Both Break Neural Machine Translation", for the keyboard. The tables of
Chinese characters are small and this project's own; `pinyin` takes all homophones among the common characters (GB 2312) by
pypinyin instead. Protected tokens, words below three letters and first letters stay. Cost: about 20 microseconds a text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt, Le

from tunewright.core.errors import Problem, RecipeError
from tunewright.core.registry import register
from tunewright.data.augmentation import tables
from tunewright.data.augmentation.protocol import Draw, Edits, Kit, times
from tunewright.data.augmentation.words import Token, content, joined

Typo = Literal["neighbour", "transposition", "omission", "doubling", "homophone", "shape"]
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_LATIN: tuple[Typo, ...] = ("neighbour", "transposition", "omission", "doubling")
_CHINESE: tuple[Typo, ...] = ("homophone", "shape")


@register("operator", "typos")
@dataclass(frozen=True)
class Typos(Edits):
    """`share` of the words get one typo each, of the `kinds`; `pinyin`: homophones by pypinyin in place of the table."""

    share: Annotated[float, Gt(0), Le(1)] = 0.1
    kinds: tuple[Typo, ...] = (*_LATIN, *_CHINESE)
    pinyin: bool = False

    shorthand: ClassVar[str] = "share"

    def __post_init__(self) -> None:
        if not self.kinds:
            raise ValueError("kinds: name at least one")

    def edit(self, text: str, draw: Draw, kit: Kit, label: str) -> str | None:
        tokens = kit.guard.tokens(text)
        words = content(tokens)
        pieces, done = [token.text for token in tokens], 0
        for i in (words[n] for n in draw.ranked(len(words), "word")):
            if done == times(self.share, len(words)):
                break
            new = self._typed(tokens[i], draw, i)
            if new is not None:
                pieces[i], done = new, done + 1
        return joined(pieces) if done else None

    def _typed(self, token: Token, draw: Draw, i: int) -> str | None:
        """A word with one typo; None where no kind can make one of it."""
        kinds = [kind for kind in self.kinds if kind in (_CHINESE if token.kind == "han" else _LATIN)]
        for n in draw.ranked(len(kinds), "kind", i):
            others = self._choices(token.text, kinds[n])
            if others:
                return others[draw.below(len(others), "typo", i)]
        return None

    def _choices(self, word: str, kind: Typo) -> list[str]:
        """Every form that one typo of a kind makes of a word."""
        if kind in _CHINESE:
            table = tables.groups("shapes_zh.txt") if kind == "shape" else self._sounds()
            return [word[:k] + other + word[k + 1 :] for k, ch in enumerate(word) for other in table.get(ch, ())]
        if len(word) < 3:
            return []
        inner = range(1, len(word))
        if kind == "neighbour":
            made = [word[:k] + other + word[k + 1 :] for k in inner for other in _neighbours(word[k])]
        elif kind == "transposition":
            made = [word[:k] + word[k + 1] + word[k] + word[k + 2 :] for k in range(1, len(word) - 1)]
        elif kind == "omission":
            made = [word[:k] + word[k + 1 :] for k in inner]
        else:
            made = [word[: k + 1] + word[k] + word[k + 1 :] for k in inner if word[k].isalpha()]
        return [other for other in made if other != word]

    def _sounds(self) -> dict[str, tuple[str, ...]]:
        return _by_pinyin() if self.pinyin else tables.groups("homophones_zh.txt")


def _neighbours(letter: str) -> list[str]:
    """The letters beside one on the keyboard, in its case; each row is half a key to the right of the one above."""
    for r, row in enumerate(_ROWS):
        at = row.find(letter.lower())
        if at >= 0:
            near = [(r, at - 1), (r, at + 1), (r - 1, at), (r - 1, at + 1), (r + 1, at - 1), (r + 1, at)]
            found = [_ROWS[y][x] for y, x in near if 0 <= y < len(_ROWS) and 0 <= x < len(_ROWS[y])]
            return [ch.upper() if letter.isupper() else ch for ch in found]
    return []


@cache
def _by_pinyin() -> dict[str, tuple[str, ...]]:
    """Each common character with the others of its commonest sound, without tones, as most people type."""
    try:
        from pypinyin import lazy_pinyin
    except ImportError as error:
        raise RecipeError(
            Problem(where="typos.pinyin", found="pypinyin is not installed",
                    to_do="pip install 'tunewright[data]', or leave pinyin out: a small table is used")
        ) from error  # fmt: skip
    first_level = [bytes((high, low)) for high in range(0xB0, 0xD8) for low in range(0xA1, 0xFF)]
    sounds: dict[str, list[str]] = {}
    for ch in (code.decode("gb2312", "ignore") for code in first_level):
        if ch:
            sounds.setdefault(lazy_pinyin(ch)[0], []).append(ch)
    return {ch: tuple(o for o in group if o != ch) for group in sounds.values() for ch in group if len(group) > 1}
