"""Tags of tokens to spans: IOB1, IOB2, BIOES, BILOU, BMES (BMEO). Which one it is is found out and said.

All of them are read by one rule, that of the longest tradition (CoNLL's evaluation, seqeval): a span begins at a B, S
or U, and at any other tag of a type that follows none of that type; it ends at an E, S, L or U, and before whatever
begins another or is O. The scheme only says which sequences are broken.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tunewright.data.rows import UnfitError

TAG = re.compile(r"O|([BIMESLU])(?:[-_](\S.*))?")
UNNAMED = "SPAN"
"""The type where tags name none: B, I, O alone."""


@dataclass(frozen=True)
class Tagging:
    """The (first token, one past the last, type) of each span; `starts` and `stops` are the token places where an
    inside began one, and where one that an end should close was left open."""

    spans: list[tuple[int, int, str]]
    starts: list[int]
    stops: list[int]


@dataclass
class Marks:
    """What is counted to find the scheme: prefixes, Bs that do not touch a span of their type before, odd beginnings."""

    prefixes: Counter[str] = field(default_factory=Counter)
    free: int = 0
    starts: int = 0

    def scheme(self) -> str:
        """Its name; "" where there is no tag but O."""
        seen = {mark for mark, times in self.prefixes.items() if times} - {"O"}
        if not seen:
            return ""
        if "M" in seen:
            return "BMES" if "S" in seen else "BMEO"
        if seen & {"L", "U"}:
            return "BILOU"
        if seen & {"E", "S"}:
            return "BIOES"
        return "IOB1" if self.starts and not self.free else "IOB2"

    def add(self, tags: Sequence[str]) -> None:
        """Count the tags of one sentence.

        Raises:
            UnfitError: one of them is no tag.
        """
        found = spans_of(tags)
        self.starts += len(found.starts)
        ends = {(stop, kind) for _, stop, kind in found.spans}
        for i, tag in enumerate(tags):
            self.prefixes[tag[:1]] += 1
            if tag[0] == "B" and (i, split(tag)[1]) not in ends:
                self.free += 1


def split(tag: str) -> tuple[str, str]:
    """The mark and the type of a tag.

    Raises:
        UnfitError: it is none.
    """
    found = TAG.fullmatch(tag)
    if found is None:
        raise UnfitError("bad_tag", f"{tag[:60]!r} is no tag such as O, B-NAME or I-NAME")
    return (found[1], found[2] or UNNAMED) if found[1] else ("O", "")


def spans_of(tags: Sequence[str]) -> Tagging:
    """The spans of one sentence's tags, by the rule above.

    Raises:
        UnfitError: one of them is no tag.
    """
    found = Tagging([], [], [])
    begun: tuple[int, str] | None = None
    for i, (mark, kind) in enumerate([*map(split, tags), ("O", "")]):
        if begun is not None and (mark in "OBSU" or kind != begun[1]):
            found.spans.append((begun[0], i, begun[1]))
            found.stops.append(i - 1)
            begun = None
        if mark == "O":
            continue
        if begun is None:
            begun = (i, kind)
            if mark not in "BSU":
                found.starts.append(i)
        if mark in "ESLU":
            found.spans.append((begun[0], i + 1, kind))
            begun = None
    return found


def broken(tags: Sequence[str], found: Tagging, scheme: str) -> list[str]:
    """What of one sentence's tags the scheme does not allow, in words."""
    said = []
    if scheme != "IOB1":
        said += [f"{tags[i]} at token {i + 1} follows nothing of its type: taken as a beginning" for i in found.starts]
    if scheme in ("BMES", "BMEO", "BIOES", "BILOU"):
        said += [f"{tags[i]} at token {i + 1} is not closed: taken as an end" for i in found.stops]
    return said


def scheme_of(sentences: Iterable[Sequence[str]]) -> str:
    """The scheme of these sentences' tags; sentences with other things than tags are left out."""
    marks = Marks()
    for tags in sentences:
        try:
            marks.add(tags)
        except UnfitError:
            continue
    return marks.scheme()
