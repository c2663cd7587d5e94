"""Small tables that operators read: words and characters that stand for each other.

`wordnet.tsv` is made of WordNet 3.0 by `scripts/wordnet_table.py` and bears its notice; the others are this project's own.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def groups(name: str) -> dict[str, tuple[str, ...]]:
    """Of a table with a group a line: each member with the others of all its groups, in their order."""
    found: dict[str, dict[str, None]] = {}
    for line in lines(name):
        words = line.split()
        for word in words:
            found.setdefault(word, {}).update(dict.fromkeys(other for other in words if other != word))
    return {word: tuple(others) for word, others in found.items()}


@cache
def lines(name: str) -> tuple[str, ...]:
    """The lines of a table, without notes and empty ones."""
    text = (files(__package__) / name).read_text("utf-8")
    return tuple(line for line in text.splitlines() if line.strip() and not line.startswith("#"))
