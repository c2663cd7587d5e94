"""Scripts and languages of texts: fast enough for every row of a card, careful with short ones.

The script is counted from Unicode's blocks: `Latin`, `Han`, `Kana`, `Hangul`, `Cyrillic`, ...; a character that is no letter counts as
`digit`, `space`, `punctuation`, `symbol` (emoji among them) or `other`. A Chinese character is about a word and a Latin letter about
a fifth of one, so shares are of units: a letter of a script that is written in words counts a fifth.

The language follows from the script where one language alone writes it: Chinese from Han without kana, Japanese with
(`の` alone makes no text Japanese, Chinese brands use it), Korean, Greek, Thai, ... Of Latin, Cyrillic, Arabic and Devanagari
texts the commonest words of English are looked for; what that leaves open is asked of py3langid where it is installed
(extra `data`; Lui and Baldwin 2012, "langid.py"). `und` is said where nothing can be.

Cost: 2 microseconds a text of 60 characters for scripts and for what follows from them, 100 and more where py3langid is asked.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

_RANGES: dict[str, str] = {
    "Latin": "41-5a 61-7a aa ba c0-d6 d8-f6 f8-24f 250-2af 1d00-1dbf 1e00-1eff 2c60-2c7f a722-a7ff fb00-fb06 ff21-ff3a ff41-ff5a",
    "Greek": "370-373 376-37d 37f-383 386 388-3ff 1f00-1fff",
    "Cyrillic": "400-52f 1c80-1c8f 2de0-2dff a640-a69f",
    "Armenian": "531-556 561-587",
    "Hebrew": "5d0-5ef fb1d-fb4f",
    "Arabic": "620-64a 66e-6d3 6d5-6ef 6fa-6ff 750-77f 8a0-8ff fb50-fdcf fdf0-fdfb fe70-fefc",
    "Devanagari": "900-963 970-97f a8e0-a8ff",
    "Bengali": "980-9e5 9f0-9fe",
    "Gurmukhi": "a01-a65 a70-a75",
    "Gujarati": "a81-ae5 af9-aff",
    "Tamil": "b82-be5",
    "Telugu": "c00-c65",
    "Kannada": "c80-ce5",
    "Malayalam": "d00-d65 d7a-d7f",
    "Sinhala": "d81-ddf",
    "Thai": "e01-e3a e40-e4e",
    "Lao": "e81-ecd edc-edf",
    "Tibetan": "f00 f40-f6c f90-fbc",
    "Myanmar": "1000-103f 1050-109f",
    "Georgian": "10a0-10ff 1c90-1cbf 2d00-2d2f",
    "Hangul": "1100-11ff 3131-318e a960-a97f ac00-d7ff",
    "Ethiopic": "1200-139f",
    "Khmer": "1780-17d3",
    "Mongolian": "1820-18aa",
    "Kana": "3041-3096 309d-309f 30a1-30fa 30fd-30ff 31f0-31ff ff66-ff9d",
    "Bopomofo": "3105-312f",
    "Han": "3005 3007 3021-3029 3400-4dbf 4e00-9fff f900-faff 20000-323af",
}
SCRIPTS: tuple[str, ...] = (*_RANGES, "digit", "space", "punctuation", "symbol", "other")
LETTERS = len(_RANGES)
"""The first of SCRIPTS are of letters."""
_PLACE = {name: place for place, name in enumerate(SCRIPTS)}
_WHOLE = ("Han", "Kana", "Hangul", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan", "Bopomofo")
"""Scripts of which a character is more than a fifth of a word."""
_WEIGHTS = np.array([1.0 if name in _WHOLE else 0.2 for name in SCRIPTS[:LETTERS]])
_NO = 0x306E
_LIMIT = 0x32400
_BLOCK = 2000
_SOLE = {
    "Greek": "el", "Armenian": "hy", "Hebrew": "he", "Bengali": "bn", "Gurmukhi": "pa", "Gujarati": "gu", "Tamil": "ta",
    "Telugu": "te", "Kannada": "kn", "Malayalam": "ml", "Sinhala": "si", "Thai": "th", "Lao": "lo", "Tibetan": "bo",
    "Myanmar": "my", "Georgian": "ka", "Hangul": "ko", "Ethiopic": "am", "Khmer": "km", "Mongolian": "mn", "Bopomofo": "zh",
}  # fmt: skip
_OWN = (
    "the and but to for with from by are were be been i i'm it's don't you she it they my your his her our their this that these "
    "those not does did have has had would can could what when where who why how if about just get got going them there here all "
    "more some very too out now then than because good like know think people time see make really still much well back after into"
)
_SHARED = "a an in on of or at is am was me he we him as do no so up will want one over"
_ENGLISH, _NEIGHBOURS = frozenset(_OWN.split()), frozenset(_SHARED.split())
"""The commonest words of English; those that German, Dutch or the Romance languages have too."""
_SURE = 0.9
"""How probable py3langid must find its first guess before it is said."""

_SINGLE = "\u3041-\u30fa\u3105-\u312f\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3"
_WORD = re.compile(rf"[{_SINGLE}]|[^\W{_SINGLE}]+")

Guess = Callable[[str], tuple[str, float]]


class Language(NamedTuple):
    """A text's language (ISO 639-1, `und` where none can be said), its leading script, and how sure that is from 0 to 1."""

    code: str
    script: str
    sure: float


def words(text: str) -> list[str]:
    """The words of a text; of Chinese, Japanese and Korean each character is one."""
    return _WORD.findall(text)


@cache
def _table() -> NDArray[np.uint8]:
    """The class of every character up to the end of the third plane."""
    kinds = {"N": "digit", "Z": "space", "P": "punctuation", "S": "symbol"}
    table = np.full(_LIMIT + 1, _PLACE["other"], np.uint8)
    for code in (*range(0x3400), *range(0xA000, 0x10000), *range(0x1F000, 0x1FB00)):
        name = kinds.get(unicodedata.category(chr(code))[0])
        if name:
            table[code] = _PLACE[name]
    for white in "\t\n\v\f\r\x85":
        table[ord(white)] = _PLACE["space"]
    for name, ranges in _RANGES.items():
        for part in ranges.split():
            first, _, last = part.partition("-")
            table[int(first, 16) : int(last or first, 16) + 1] = _PLACE[name]
    return table


def scripts(texts: Sequence[str]) -> NDArray[np.int64]:
    """(N, len(SCRIPTS)) how many characters of each class every text has."""
    counts = np.zeros((len(texts), len(SCRIPTS)), np.int64)
    for start in range(0, len(texts), _BLOCK):
        part = texts[start : start + _BLOCK]
        codes = np.frombuffer("".join(part).encode("utf-32-le", "surrogatepass"), np.uint32)
        kinds = _table()[np.minimum(codes, _LIMIT)].astype(np.int64)
        rows = np.repeat(np.arange(len(part)), [len(text) for text in part])
        found = np.bincount(rows * len(SCRIPTS) + kinds, minlength=len(part) * len(SCRIPTS))
        counts[start : start + len(part)] = found.reshape(len(part), len(SCRIPTS))
    return counts


def units(texts: Sequence[str]) -> NDArray[np.float64]:
    """(N, LETTERS) how much of every text is in each script."""
    return np.asarray(scripts(texts)[:, :LETTERS] * _WEIGHTS)


def languages(texts: Sequence[str], guess: Guess | None = None) -> list[Language]:
    """The language of every text.

    Args:
        texts: whatever they are.
        guess: what is asked where the script leaves it open and no English words say it; nothing by default, `guesser()`
            for py3langid.
    """
    found_units = units(texts)
    totals = found_units.sum(1)
    kana, han = _PLACE["Kana"], _PLACE["Han"]
    found = list[Language]()
    for text, row, total in zip(texts, found_units, totals, strict=True):
        if total == 0:
            found.append(Language("und", "", 0.0))
            continue
        place = int(row.argmax())
        if row[kana] and (row[kana] + row[han]) * 2 >= total:
            japanese = _kana(text) >= max(2, 0.1 * (row[kana] + row[han]))
            both = float((row[kana] + row[han]) / total)
            found.append(Language("ja" if japanese else "zh", "Kana" if japanese else "Han", both))
            continue
        script, share = SCRIPTS[place], float(row[place] / total)
        if script == "Han":
            found.append(Language("zh", script, share))
        elif script in _SOLE:
            found.append(Language(_SOLE[script], script, share))
        else:
            found.append(_of_words(text, script, share, guess))
    return found


def _kana(text: str) -> int:
    """How many kana a text has that are not `の`, and those that are where there are others."""
    own = sum(0x3041 <= ord(c) <= 0x30FA or 0xFF66 <= ord(c) <= 0xFF9D for c in text)
    no = text.count(chr(_NO))
    return own if own > no else 0


def _of_words(text: str, script: str, share: float, guess: Guess | None) -> Language:
    """The language of a text in a script that many languages are written in."""
    words = [word.strip(".,!?;:\"'()*-_~…") for word in text[:2000].lower().replace("’", "'").replace("`", "'").split()]
    own = sum(word in _ENGLISH for word in words)
    known = own + sum(word in _NEIGHBOURS for word in words)
    if script == "Latin" and own >= 2 and known >= 3 and known >= 0.2 * len(words):
        return Language("en", script, share)
    if guess is None:
        return Language("und", script, 0.0)
    code, sure = guess(text)
    return Language(code, script, share * sure) if sure >= _SURE else Language("und", script, 0.0)


@cache
def guesser() -> Guess | None:
    """py3langid as a guess with its probability; None where it is not installed."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        return None
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def guess(text: str) -> tuple[str, float]:
        code, sure = identifier.classify(text)
        return str(code), float(sure)

    return guess


Level = Literal["language", "script"]


def shares(texts: Sequence[str], level: Level = "language", guess: Guess | None = None) -> list[dict[str, Any]]:
    """How many texts are in each language or leading script, the most frequent first; `und` and "" where none can be said."""
    found = Counter(one.code if level == "language" else one.script for one in languages(texts, guess))
    ranked = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{level: name, "rows": n, "share": n / len(texts)} for name, n in ranked]
