"""English contractions and what they stand for: "don't" and "do not", "I'm" and "I am".

What could stand for two things ('d: had or would; 's after a noun: is, has or of) is left alone.
"""

from __future__ import annotations

import re

from tunewright.data.augmentation.inflection import cased
from tunewright.data.augmentation.words import APOSTROPHE

_A = f"[{APOSTROPHE}]"
_NOT = {
    "can't": "cannot", "won't": "will not", "don't": "do not", "doesn't": "does not", "didn't": "did not",
    "isn't": "is not", "aren't": "are not", "wasn't": "was not", "weren't": "were not", "haven't": "have not",
    "hasn't": "has not", "hadn't": "had not", "couldn't": "could not", "wouldn't": "would not",
    "shouldn't": "should not", "mustn't": "must not", "needn't": "need not",
}  # fmt: skip
_BE = {
    "i'm": "i am", "you're": "you are", "we're": "we are", "they're": "they are", "it's": "it is", "that's": "that is",
    "there's": "there is", "what's": "what is", "i've": "i have", "you've": "you have", "we've": "we have",
    "they've": "they have", "i'll": "i will", "you'll": "you will", "he'll": "he will", "she'll": "she will",
    "it'll": "it will", "we'll": "we will", "they'll": "they will", "let's": "let us",
}  # fmt: skip
_LONG = {**_NOT, **_BE}
_SHORT = {long: short for short, long in _LONG.items()} | {"can not": "can't"}
_CONTRACTED = re.compile(
    rf"(?<!\w)(?:{'|'.join(re.escape(w).replace(chr(39), _A) for w in _LONG)})(?!\w)(?!\s+(?:been|got)\b)",
    re.IGNORECASE,
)
# "yes it is." has no short form: a word must follow
_FULL = re.compile(rf"(?<!\w)(?:{'|'.join(w.replace(' ', ' +') for w in _SHORT)})(?=\s+\w)", re.IGNORECASE)


def places(text: str) -> list[tuple[int, int, str]]:
    """(start, end, other form) of every contraction that can be expanded, and of every form that can be contracted."""
    found = []
    for match in _CONTRACTED.finditer(text):
        short = re.sub(_A, "'", match.group().casefold())
        found.append((match.start(), match.end(), _as(_LONG[short], match.group())))
    for match in _FULL.finditer(text):
        long = re.sub(" +", " ", match.group().casefold())
        found.append((match.start(), match.end(), _as(_SHORT[long], match.group())))
    return sorted(found)


def _as(form: str, like: str) -> str:
    """A form in the case of the other; the pronoun I keeps its capital."""
    made = cased(form, like)
    return re.sub(r"^i\b", "I", made) if like.startswith("I") else made
