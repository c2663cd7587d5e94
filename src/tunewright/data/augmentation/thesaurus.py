"""Where synonyms come from: the user's own file, WordNet's folder, or the small tables that are shipped.

A user's file is JSON ({"word": ["other", ...]}) or CSV (a word and its synonyms in each line), of any language, and is
the only source where it is named. Otherwise English words are looked up in WordNet (`wordnet.py` says under which
conditions), Chinese ones in a table of about a hundred groups; who needs more of Chinese brings a file, as no thesaurus of it
may be shipped (Cilin and HowNet are bound to their owners' terms).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from tunewright.core.errors import DataError, Problem
from tunewright.data.augmentation import tables
from tunewright.data.augmentation.inflection import cased, inflected, stems
from tunewright.data.augmentation.wordnet import Entry, Part, read_wordnet
from tunewright.data.augmentation.words import Token, denies

_ENDINGS: dict[Part, tuple[str, ...]] = {
    "noun": ("", "s"), "verb": ("", "s", "ed", "ing"), "adj": ("", "er", "est"), "adv": ("",),
}  # fmt: skip


@dataclass(frozen=True)
class Thesaurus:
    """Words to others of the same meaning. `own` is the user's, `english` has parts of speech, `chinese` has none."""

    own: Mapping[str, tuple[str, ...]]
    english: Mapping[str, Entry]
    chinese: Mapping[str, tuple[str, ...]]

    def of(self, token: Token) -> tuple[str, ...]:
        """What may stand for a token, in its inflection and case; empty where nothing is known."""
        if self.own:
            return self._own(token)
        if token.kind == "han":
            return self.chinese.get(token.text, ())
        return self._english(token.text)

    def _own(self, token: Token) -> tuple[str, ...]:
        word = token.text.casefold()
        if word in self.own:
            return tuple(cased(other, token.text) for other in self.own[word])
        for stem, form in stems(word) if token.kind == "word" else ():
            if form and stem in self.own:
                made = [inflected(other, form) for other in self.own[stem]]
                return tuple(cased(other, token.text) for other in made if other)
        return ()

    def _english(self, text: str) -> tuple[str, ...]:
        if not text.isascii() or text.isupper():  # an abbreviation, or shouting
            return ()
        for stem, form in stems(text.casefold()):
            entry = self.english.get(stem)
            if entry is not None and form in _ENDINGS[entry.part]:
                made = [inflected(other, form) for other in entry.synonyms if not denies(other)]
                return tuple(cased(other, text) for other in made if other)
        return ()


def thesaurus(file: Path | None = None, wordnet: Path | None = None) -> Thesaurus:
    """The thesaurus of a user's file, or of WordNet in a folder and the shipped tables.

    Raises:
        DataError: the file cannot be read, or is no thesaurus. RecipeError: the folder is none of WordNet.
    """
    changed = file.stat().st_mtime_ns if file is not None and file.exists() else 0
    return _opened(file, wordnet, changed)


@lru_cache(maxsize=8)
def _opened(file: Path | None, wordnet: Path | None, changed: int) -> Thesaurus:
    if file is not None:
        return Thesaurus(read_file(file), {}, {})
    english = _shipped() if wordnet is None else read_wordnet(wordnet)
    return Thesaurus({}, english, tables.groups("synonyms_zh.txt"))


@cache
def _shipped() -> dict[str, Entry]:
    rows = (line.split("\t") for line in tables.lines("wordnet.tsv"))
    return {word: Entry(part, tuple(others.split())) for word, part, others in rows}  # type: ignore[arg-type]


def read_file(path: Path) -> dict[str, tuple[str, ...]]:
    """A user's thesaurus.

    Raises:
        DataError: there is no such file, or it holds no words with synonyms.
    """
    try:
        text = path.read_text("utf-8-sig")
        rows = _from_json(text) if path.suffix.lower() == ".json" else list(csv.reader(text.splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise _unfit(path, str(getattr(error, "strerror", None) or error)) from error
    found: dict[str, tuple[str, ...]] = {}
    for row in rows:
        words = [word.strip() for word in row if word.strip()]
        if len(words) > 1:
            known = found.get(words[0].casefold(), ())
            found[words[0].casefold()] = tuple(dict.fromkeys((*known, *words[1:])))
    if not found:
        raise _unfit(path, "no word with a synonym")
    return found


def _from_json(text: str) -> list[list[str]]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("no object")
    rows = []
    for word, others in value.items():
        others = [others] if isinstance(others, str) else others
        if not isinstance(others, list) or not all(isinstance(other, str) for other in others):
            raise ValueError(f"{word!r} has no list of words")
        rows.append([word, *others])
    return rows


def _unfit(path: Path, found: str) -> DataError:
    return DataError(
        Problem(where=str(path), found=found, to_do="mend the thesaurus, or name another",
                allowed='JSON {"word": ["other", ...]}, or CSV with a word and its synonyms in each line')
    )  # fmt: skip
