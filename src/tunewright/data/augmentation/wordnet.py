"""WordNet's files to synonyms of single words: first sense, one part of speech, and only where both words agree on it.

Miller 1995, "WordNet: A Lexical Database for English". Reads the folder of Debian's package wordnet-base
(/usr/share/wordnet), or any with `index.*`, `data.*` and `cntlist.rev` of WordNet 3.0, in about a second.

A word's synonym is a word of its first (most frequent) sense. Plain replacement gives bad -> big and fast -> debauched;
hence more conditions. A word has a part of speech only where at least `SURE` of its uses in the tagged corpus are of it;
its first sense must hold at least half of these; the sense must be the first one of the synonym too, which must occur
in the corpus likewise (hebdomad does not); and a form of another word (watching, years) or a function word has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from tunewright.core.errors import Problem, RecipeError
from tunewright.data.augmentation.inflection import stems
from tunewright.data.augmentation.words import FUNCTION

Part = Literal["noun", "verb", "adj", "adv"]
PARTS: tuple[Part, ...] = ("noun", "verb", "adj", "adv")
SURE = 0.75
_TYPES = {"1": "noun", "2": "verb", "3": "adj", "4": "adv", "5": "adj"}


class Entry(NamedTuple):
    """A word's part of speech and what may stand for it."""

    part: Part
    synonyms: tuple[str, ...]


def read_wordnet(folder: Path) -> dict[str, Entry]:
    """Every single word with its synonyms.

    Raises:
        RecipeError: a file is missing or is none of WordNet's.
    """
    wanted = [folder / f"{kind}.{part}" for kind in ("index", "data") for part in PARTS] + [folder / "cntlist.rev"]
    forms = {line.split()[0] for kind in ("verb", "noun") for line in _lines(folder / f"{kind}.exc")}
    missing = [path.name for path in wanted if not path.is_file()]
    if missing:
        raise RecipeError(
            Problem(where=str(folder), found=f"no {', '.join(missing)}", allowed="the folder of WordNet 3.0",
                    to_do="on Debian or Ubuntu: apt install wordnet-base, then wordnet: /usr/share/wordnet; "
                          "or leave it out: the small table that is shipped is used")
        )  # fmt: skip
    try:
        uses, firsts = _uses(folder / "cntlist.rev")
        senses = {part: _first_senses(folder / f"index.{part}") for part in PARTS}
        words = {part: _synsets(folder / f"data.{part}") for part in PARTS}
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise RecipeError(
            Problem(where=str(folder), found=f"a line that is none of WordNet 3.0: {error}", to_do="install it anew")
        ) from error
    found = {}
    for word in sorted({word for part in PARTS for word in senses[part]}):
        part = _part(word, uses)
        if part is None or word not in senses[part] or 2 * firsts[word, part] < uses[word, part]:
            continue
        if (
            len(word) < 3
            or word in FUNCTION
            or word in forms
            or any(kind and _known(stem, senses) for stem, kind in stems(word))
        ):
            continue
        sense = senses[part][word]
        synonyms = tuple(
            other for other in words[part][sense]
            if other != word and len(other) > 2 and senses[part].get(other) == sense and _part(other, uses) == part
        )  # fmt: skip
        if synonyms:
            found[word] = Entry(part, synonyms)
    return found


def _known(word: str, senses: Mapping[Part, Mapping[str, int]]) -> bool:
    return any(word in senses[part] for part in ("noun", "verb"))


def _part(word: str, uses: Mapping[tuple[str, Part], int]) -> Part | None:
    """The part of speech that a word is nearly always of; None where it is not sure."""
    counts = {part: uses.get((word, part), 0) for part in PARTS}
    total = sum(counts.values())
    best = max(PARTS, key=lambda part: counts[part])
    return best if total and counts[best] >= SURE * total else None


def _lines(path: Path) -> list[str]:
    return path.read_text("ascii").splitlines() if path.is_file() else []


def _uses(path: Path) -> tuple[Counter[tuple[str, Part]], Counter[tuple[str, Part]]]:
    """How often each word was tagged as each part of speech, and how often with its first sense."""
    uses: Counter[tuple[str, Part]] = Counter()
    firsts: Counter[tuple[str, Part]] = Counter()
    for line in _lines(path):
        sense, nth, count = line.split()
        lemma, _, rest = sense.partition("%")
        place = (lemma, _TYPES[rest[0]])
        uses[place] += int(count)  # type: ignore[index]
        firsts[place] += int(count) if nth == "1" else 0  # type: ignore[index]
    return uses, firsts


def _first_senses(path: Path) -> dict[str, int]:
    """Each single word's most frequent sense."""
    found = {}
    for line in _lines(path):
        if line.startswith(" "):  # the licence stands at the head of every file
            continue
        fields = line.split()
        if fields[0].isalpha():
            found[fields[0]] = int(fields[-int(fields[2])])
    return found


def _synsets(path: Path) -> dict[int, tuple[str, ...]]:
    """The single words of each sense, in lower case; those with a capital are names."""
    found = {}
    for line in _lines(path):
        if line.startswith(" "):
            continue
        fields = line.split(" | ")[0].split()
        words = [fields[4 + 2 * i].partition("(")[0] for i in range(int(fields[3], 16))]
        found[int(fields[0])] = tuple(word for word in words if word.isalpha() and word.islower())
    return found
