"""Changes of a sentence's structure, of which one is made a time.

| kind | what happens | of |
|---|---|---|
| sentences | two neighbouring sentences change places | both |
| clauses | two neighbouring clauses, parted by a comma or semicolon, change places | Chinese |
| coordination | "A and B" becomes "B and A" (words; 和, 与, 或者 in Chinese) | both |
| contraction | "don't" becomes "do not", or the other way | English |

Of rules, not of a parser: what cannot be told without one is not done. A clause that begins with a word that ties it to
the one before (但是, 所以, 而且, ...) stays where it is, likewise a sentence (but, so, and, ...). Protected tokens move with their
sentence and stay whole; two that stand beside "and" are not swapped. Cost: about 30 microseconds a text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from tunewright.core.registry import register
from tunewright.data.augmentation import contractions
from tunewright.data.augmentation.protocol import Draw, Edits, Kit
from tunewright.data.augmentation.words import FUNCTION, Token, bag, joined

Change = Literal["sentences", "clauses", "coordination", "contraction"]
_ENDS, _CLAUSES = frozenset(".!?。！？…"), frozenset("，；,;")
_TIED = bag(
    "but so and or because then which who although though however also therefore "
    "但 但是 可是 不过 然而 所以 因此 而且 并且 还 也 就 才 却 "
    "而 又 再 于是 然后 因为 由于 虽然 如果 只是 都"
)
_AND = bag("and or 和 与 或 或者 以及 跟")


@register("operator", "structure")
@dataclass(frozen=True)
class Structure(Edits):
    """`kinds`: which changes may be made."""

    kinds: tuple[Change, ...] = ("sentences", "clauses", "coordination", "contraction")

    shorthand: ClassVar[str] = "kinds"

    def __post_init__(self) -> None:
        if not self.kinds:
            raise ValueError("kinds: name at least one")

    def edit(self, text: str, draw: Draw, kit: Kit, label: str) -> str | None:
        tokens = kit.guard.tokens(text)
        made: dict[Change, Callable[[list[Token]], list[str]]] = {
            "sentences": _sentences, "clauses": _clauses, "coordination": _coordination, "contraction": _contraction,
        }  # fmt: skip
        for n in draw.ranked(len(self.kinds), "kind"):
            others = [other for other in made[self.kinds[n]](tokens) if other != text]
            if others:
                return others[draw.below(len(others), "which")]
        return None


def _parts(tokens: list[Token], marks: frozenset[str]) -> list[list[Token]]:
    """The pieces between marks, each with the marks behind it."""
    parts: list[list[Token]] = [[]]
    for i, token in enumerate(tokens):
        ended = parts[-1] and parts[-1][-1].kind == "mark" and parts[-1][-1].text in marks
        if ended and token.text not in marks and (token.kind in ("space", "han") or tokens[i - 1].text > "~"):
            parts.append([])
        parts[-1].append(token)
    return [part for part in parts if part]


def _swapped(parts: list[list[Token]], i: int) -> str:
    """The parts with i and i + 1 swapped; each place keeps its space in front."""
    order = [*parts[:i], parts[i + 1], parts[i], *parts[i + 2 :]]
    texts = ["".join(t.text for t in part).strip() for part in order]
    gaps = [part[0].text if part[0].kind == "space" else "" for part in parts]
    return joined(gap + text for gap, text in zip(gaps, texts, strict=True))


def _tied(part: list[Token]) -> bool:
    words = [token.text.casefold() for token in part if token.kind in ("word", "han")]
    return not words or words[0] in _TIED


def _closed(part: list[Token], marks: frozenset[str]) -> bool:
    return part[-1].text in marks


def _sentences(tokens: list[Token]) -> list[str]:
    parts = _parts(tokens, _ENDS)
    return [
        _swapped(parts, i)
        for i in range(len(parts) - 1)
        if _closed(parts[i + 1], _ENDS) and not _tied(parts[i]) and not _tied(parts[i + 1])
    ]


def _clauses(tokens: list[Token]) -> list[str]:
    """Of Chinese alone: an English comma parts too many other things."""
    found = []
    sentences = _parts(tokens, _ENDS)
    for s, sentence in enumerate(sentences):
        last = sentence[-1:] if _closed(sentence, _ENDS) else []
        parts = _parts(sentence[: len(sentence) - len(last)], _CLAUSES)
        for i in range(len(parts) - 1):
            pair = (parts[i], parts[i + 1])
            if any(_tied(part) or not any(t.kind == "han" for t in part) for part in pair):
                continue
            # the marks stay where they were, so that the last clause does not end in a comma
            bare = [[t for t in part if t.text not in _CLAUSES] for part in pair]
            marks = [[t for t in part if t.text in _CLAUSES] for part in pair]
            order = [*parts[:i], bare[1] + marks[0], bare[0] + marks[1], *parts[i + 2 :]]
            whole = [*sentences[:s], *order, last, *sentences[s + 1 :]]
            found.append(joined(t.text for part in whole for t in part))
    return found


def _coordination(tokens: list[Token]) -> list[str]:
    found = []
    dense = [i for i, token in enumerate(tokens) if token.kind != "space"]
    for n in range(1, len(dense) - 1):
        a, middle, b = dense[n - 1], dense[n], dense[n + 1]
        sides = tokens[a], tokens[b]
        outer = [tokens[dense[k]] if 0 <= k < len(dense) else None for k in (n - 2, n + 2)]
        if tokens[middle].text.casefold() in _AND and _even(*sides) and all(map(_edge, outer)):
            pieces = [token.text for token in tokens]
            pieces[a], pieces[b] = pieces[b], pieces[a]
            found.append(joined(pieces))
    return found


def _even(a: Token, b: Token) -> bool:
    """Whether two words look like ones that may change places; Chinese ones of equal length, as jieba knows no phrases."""
    alike = a.kind == b.kind and a.kind in ("word", "han") and a.free and b.free
    return alike and (a.kind == "word" or len(a.text) == len(b.text) > 1)


def _edge(token: Token | None) -> bool:
    """Whether a phrase ends beside a word: "a horrible film and boring story" is not two words and an `and`."""
    return token is None or token.kind != "word" or token.text.casefold() in FUNCTION


def _contraction(tokens: list[Token]) -> list[str]:
    """One contraction expanded, or one made; nothing inside a name."""
    found, runs, at = [], [""], [0]
    text = "".join(token.text for token in tokens)
    start = 0
    for token in tokens:
        if token.kind == "name":
            runs.append("")
            at.append(start + len(token.text))
        else:
            runs[-1] += token.text
        start += len(token.text)
    for run, offset in zip(runs, at, strict=True):
        for first, end, other in contractions.places(run):
            found.append(text[: offset + first] + other + text[offset + end :])
    return found
