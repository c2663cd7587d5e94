"""A text cut into words that join to the text again, and which of them may not be touched.

Protected: negations, numbers, label words, entities that the user names, URLs, e-mail addresses, mentions and hashtags,
masks such as <email> or [NAME], words with a star in them, and letters of scripts without spaces but Chinese ones.
Chinese is cut by jieba where a text has Chinese characters at all. Refuses Chinese without jieba, in words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal, NamedTuple

from tunewright.core.errors import Problem, RecipeError
from tunewright.core.scripts import IDEOGRAPH, KANA, UNSPACED

Kind = Literal["word", "han", "number", "name", "mark", "space"]

APOSTROPHE = "'’`´"
_LETTER = rf"[^\W\d_{IDEOGRAPH}{KANA}{UNSPACED}]"
_PARTS = rf"""
  (?P<name> (?:https?://|www\.)[^\s{IDEOGRAPH}，。；！？、]+ | [\w.+-]+@[\w-]+\.[\w.-]+ | <[\w][\w .:/-]{{0,40}}> | \[[A-Z][A-Z _-]*\]
    | \{{\w+\}} | [@\#]\w+ | [\w]*\*+[\w*]* | [{KANA}{UNSPACED}]+ )
| (?P<number> [+-]?\d(?:[0-9A-Za-z.,:/%-]*[0-9A-Za-z%])? )
| (?P<han> [{IDEOGRAPH}]+ )
| (?P<word> {_LETTER}+(?:[{APOSTROPHE}-]{_LETTER}+)* )
| (?P<space> \s+ )
| (?P<mark> . )
"""
_HAN = re.compile(f"[{IDEOGRAPH}]")


def bag(text: str) -> frozenset[str]:
    """Words written with spaces between them, as a set."""
    return frozenset(text.split())


NEGATIONS = bag(
    "no not never none nobody nothing nowhere neither nor cannot without hardly scarcely barely seldom rarely non "
    "ain't unless except lack lacks lacking fail fails failed refuse refuses refused"
)
_BARE = bag(
    "dont doesnt didnt cant couldnt wont wouldnt isnt arent wasnt werent hasnt havent hadnt shouldnt aint mustnt neednt"
)
FUNCTION = bag(
    "a about above after again along around as at away back be before being below but by do down for from go have "
    "home how in inside into it just let like near of off on only one or out over own past please so someone somebody "
    "that the then there this through to too under up upon very want well what when where while who will with"
)
_NOT = re.compile(rf"(?:n[{APOSTROPHE}]t|cannot|^not)$")
CHINESE_NEGATIONS = frozenset("不没沒别別无無未非勿莫否毋弗甭")
_DENY_NOTHING = re.compile(
    "非常|特别|特別|别人|別人|区别|区別|分别|差别|级别|性别|个别|告别|别墅|不过|不但|不仅|不管|不论|无论|未来|非洲|莫非"
)
_NUMBERS = bag(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion first "
    "second third once twice half"
)
_CHINESE_NUMBER = re.compile("[零〇一二三四五六七八九十百千万亿两半]+")


class Token(NamedTuple):
    """A piece of a text; `free` says whether it may be changed, moved or left out."""

    text: str
    kind: Kind
    free: bool


@dataclass(frozen=True)
class Guard:
    """What is protected beside what always is: `labels` with the words in them, `entities` as they are written."""

    labels: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()

    @cached_property
    def _given(self) -> re.Pattern[str] | None:
        """What the user and the labels name, longest first; Latin words as whole words."""
        words = [word for label in self.labels for word in (label, *re.split(r"[\s_/-]+", label))]
        named = {*(e for e in self.entities if e.strip()), *(w for w in words if len(w) > 2 or _HAN.search(w))}
        if not named:
            return None
        edges = [
            (r"(?<!\w)" if one[0].isascii() and one[0].isalnum() else "")
            + re.escape(one)
            + (r"(?!\w)" if one[-1].isascii() and one[-1].isalnum() else "")
            for one in sorted(named, key=lambda one: (-len(one), one))
        ]
        return re.compile("|".join(edges), re.IGNORECASE)

    def tokens(self, text: str) -> list[Token]:
        """The text in pieces, which join to it."""
        if self._given is None:
            return list(_cut(text))
        found: list[Token] = []
        at = 0
        for match in self._given.finditer(text):
            found += _cut(text[at : match.start()])
            found.append(Token(match.group(), "name", False))
            at = match.end()
        return [*found, *_cut(text[at:])]

    def signature(self, text: str) -> Counter[str]:
        """The protected tokens of a text, each in one form: "don't", "do not" and "cannot" all hold one `not`.

        Chinese negations count by the character, so that it needs no words.
        """
        found: Counter[str] = Counter(denying(text))
        spared = _HAN.sub(" ", text)
        for token in [] if self._given is None else self._given.findall(text):
            found[token.casefold()] += 1
        for token in _cut(spared):
            if token.free or token.kind in ("space", "mark"):
                continue
            bare = token.text.casefold()
            found["not" if denies(token.text) and bare not in NEGATIONS - {"not", "cannot", "ain't"} else bare] += 1
        return found

    def named(self, text: str) -> Counter[str]:
        """What of the signature is a name, link, mask, mention or number in digits: what survives other words."""
        given = [] if self._given is None else [one.casefold() for one in self._given.findall(text)]
        return Counter(given + [t.text.casefold() for t in _cut(_HAN.sub(" ", text)) if t.kind in ("name", "number")])

    def denied(self, text: str) -> bool:
        """Whether a text holds a negation."""
        return bool(denying(text)) or any(denies(t.text) for t in _cut(_HAN.sub(" ", text)) if t.kind == "word")


def denies(word: str) -> bool:
    """Whether a word of a spaced script is a negation."""
    bare = word.casefold()
    return bare in NEGATIONS or bare in _BARE or bool(_NOT.search(bare))


def denying(text: str) -> list[str]:
    """The Chinese negations in a text; those in words that deny nothing (非常, 特别) left out."""
    return [ch for ch in _DENY_NOTHING.sub("", text) if ch in CHINESE_NEGATIONS]


@cache
def _pattern() -> re.Pattern[str]:
    return re.compile(_PARTS, re.VERBOSE | re.DOTALL)


def _cut(text: str) -> Iterable[Token]:
    for match in _pattern().finditer(text):
        piece, kind = match.group(), match.lastgroup
        if kind == "han":
            for word in segmented(piece):
                free = not denying(word) and not _CHINESE_NUMBER.fullmatch(word)
                yield Token(word, "han", free)
        elif kind == "word":
            yield Token(piece, "word", not denies(piece) and piece.casefold() not in _NUMBERS)
        elif kind == "number":
            yield Token(piece, "number", False)
        elif kind == "name":
            yield Token(piece, "name", False)
        elif kind == "space":
            yield Token(piece, "space", False)
        else:
            yield Token(piece, "mark", False)


def segmented(run: str) -> list[str]:
    """Chinese characters in words.

    Raises:
        RecipeError: jieba is not installed.
    """
    if len(run) == 1:
        return [run]
    return list(_segmenter()(run))


@cache
def _segmenter() -> Callable[[str], list[str]]:
    try:
        import jieba
    except ImportError as error:
        raise RecipeError(
            Problem(where="augmentation of Chinese texts", found="jieba is not installed, which cuts them into words",
                    to_do="pip install 'tunewright[data]'")
        ) from error  # fmt: skip
    jieba.setLogLevel(60)
    found: Callable[[str], list[str]] = (
        jieba.Tokenizer().lcut
    )  # its own, so that words a program adds to jieba change nothing
    return found


def joined(tokens: Iterable[str]) -> str:
    """Pieces as a text, without the double spaces that a change may have left."""
    text = "".join(tokens)
    return re.sub(r"[ \t]{2,}", " ", text).strip()


def content(tokens: list[Token]) -> list[int]:
    """Places of the words that may be changed."""
    return [i for i, token in enumerate(tokens) if token.kind in ("word", "han") and token.free]


def pieces(text: str) -> list[str]:
    """The words of a text, Chinese by the character: what two texts are compared by, without jieba."""
    return _PIECES.findall(text)


_PIECES = re.compile(rf"[{IDEOGRAPH}{KANA}{UNSPACED}]|(?:(?![{IDEOGRAPH}{KANA}{UNSPACED}])\w)+(?:[{APOSTROPHE}]\w+)?")
