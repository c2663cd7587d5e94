"""English endings: from a form that stands in a text to its word, and from another word to the same form.

Regular endings alone, with doubled consonants, silent e and y. A form that could be read two ways gives several
words and the caller takes the one that it knows; an irregular form gives none, and stays as it is.
"""

from __future__ import annotations

import re
from typing import Literal

from tunewright.data.augmentation.words import bag

Form = Literal["", "s", "ed", "ing", "er", "est"]
_VOWELS = "aeiou"
_DOUBLED = re.compile(r"^[^aeiou]*[aeiou][bdgmnprt]$")
_IRREGULAR = bag(
    "be have do go say get make know think take see come find give tell feel leave put mean keep let begin show hear "
    "run hold bring write sit stand lose pay meet set learn lead understand speak read spend grow win teach buy send "
    "build fall cut sell catch draw choose eat drive break wear throw forget sleep fly sing swim ring sink drink shut "
    "hit hurt cost quit rise wake ride hide bite blow shake steal beat bend lend fight seek stick strike swear tear "
    "weep bid cast man woman child person foot tooth mouse goose life wife knife leaf wolf half good bad well far "
    "little much many"
)


def stems(form: str) -> list[tuple[str, Form]]:
    """What words a form may be of, with the ending it then bears; the form itself first."""
    found: list[tuple[str, Form]] = [(form, "")]
    for ending in ("ing", "est", "ed", "er", "s"):
        if not form.endswith(ending) or len(form) - len(ending) < 2:
            continue
        rest, kind = form[: -len(ending)], ending
        found += [(stem, kind) for stem in _stems(rest, ending)]  # type: ignore[misc]
    return [(stem, kind) for stem, kind in found if not kind or inflected(stem, kind) == form]


def _stems(rest: str, ending: str) -> list[str]:
    if ending == "s":
        return [rest] + ([rest[:-1]] if rest.endswith("e") else []) + ([rest[:-2] + "y"] if rest.endswith("ie") else [])
    found = [rest, rest + "e"]
    if rest.endswith("i"):
        found.append(rest[:-1] + "y")
    if len(rest) > 2 and rest[-1] == rest[-2]:
        found.append(rest[:-1])
    if ending == "ing" and rest.endswith("y"):
        found.append(rest[:-1] + "ie")
    return found


def inflected(word: str, form: Form) -> str | None:
    """A word with an ending; None where it is irregular."""
    if not form:
        return word
    if word in _IRREGULAR and form not in ("ing", "s"):
        return None
    if form == "s":
        if word in ("be", "have", "man", "woman", "child", "person", "foot", "tooth", "mouse", "goose"):
            return None
        if re.search(r"(s|x|z|ch|sh|[^aeiou]o)$", word):
            return word + "es"
        return word[:-1] + "ies" if re.search(r"[^aeiou]y$", word) else word + "s"
    if form == "ing":
        if word.endswith("ie"):
            return word[:-2] + "ying"
        return (word[:-1] if re.search(r"[^aeoy]e$", word) else _doubled(word)) + "ing"
    if word.endswith("e"):
        return word + form[1:]
    return (word[:-1] + "i" if re.search(r"[^aeiou]y$", word) else _doubled(word)) + form


def _doubled(word: str) -> str:
    return word + word[-1] if len(word) > 2 and word[-2] in _VOWELS and _DOUBLED.match(word) else word


def cased(word: str, like: str) -> str:
    """A word in the case of another: lower, Capitalised or UPPER."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word


def article(before: str, word: str) -> str:
    """`a` or `an` as it stands before a word, in the case in which it stood; anything else as it is."""
    if before.casefold() not in ("a", "an"):
        return before
    right = (
        "an" if word[:1].casefold() in _VOWELS and not word.casefold().startswith(("uni", "use", "eu", "one")) else "a"
    )
    if before.isupper() and len(before) > 1:
        return right.upper()
    return right.capitalize() if before[0].isupper() else right
