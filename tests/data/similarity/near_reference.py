"""Shingles, Jaccard and clusters in the plainest way, to hold the fast ones against."""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections.abc import Sequence

from tunewright.data.similarity.alphabet import ALONE, GAP, SPACED, alphabet


def _kind(character: str) -> int:
    code = ord(character)
    if code >= 0x20000:
        return ALONE if code < 0x40000 else GAP
    return int(alphabet().kind[code])


def units(text: str) -> list[tuple[str, bool]]:
    """The units of a text, and whether each stands alone."""
    found: list[tuple[str, bool]] = []
    word = ""
    for character in [*unicodedata.normalize("NFC", text), " "]:
        kind = _kind(character)
        code = ord(character)
        folded = chr(int(alphabet().folded[code])) if code < 0x20000 else character
        if kind == SPACED:
            word += folded
            continue
        if word:
            found.append((word, False))
            word = ""
        if kind == ALONE:
            found.append((folded, True))
    return found


def sets(text: str, threshold: float) -> dict[bool, frozenset[object]]:
    """A text's shingle set by word pairs (True) and by characters (False), where it has them."""
    row = units(text)
    worded = any(not alone for _, alone in row)
    found: dict[bool, frozenset[object]] = {}
    whole = "".join(name if alone else f" {name}" for name, alone in row) or unicodedata.normalize("NFC", text)
    if len(row) >= 20 or not worded:
        found[True] = _or_whole(list(itertools.pairwise(row)), whole)
    if worded and len(row) < math.ceil(20 / threshold):
        stream = [(c, alone) for name, alone in row for c in (name if alone else f" {name}")]
        grams: list[object] = [
            tuple(c for c, _ in stream[i : i + 4]) for i in range(len(stream) - 3) if not stream[i][1]
        ]
        found[False] = _or_whole([*grams, *(pair for pair in itertools.pairwise(row) if pair[0][1])], whole)
    return found


def _or_whole(shingles: Sequence[object], whole: str) -> frozenset[object]:
    return frozenset(shingles) if len(shingles) >= 4 else frozenset([whole])


def near_pairs(texts: Sequence[str], threshold: float) -> set[tuple[int, int]]:
    """All pairs of which the sets of one kind reach the threshold."""
    all_sets = [sets(text, threshold) for text in texts]
    found = set()
    for i, j in itertools.combinations(range(len(texts)), 2):
        for kind, one in all_sets[i].items():
            other = all_sets[j].get(kind)
            if other is not None and len(one & other) / len(one | other) >= threshold - 1e-12:
                found.add((i, j))
    return found


def clusters(texts: Sequence[str], threshold: float) -> list[int]:
    """The smallest place of each text's connected group."""
    root = list(range(len(texts)))
    for i, j in sorted(near_pairs(texts, threshold)):
        low, high = sorted((root[i], root[j]))
        root = [low if r == high else r for r in root]
    return root
