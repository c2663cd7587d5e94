"""Several names in one cell: a list in brackets, or names with a separator between them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection

SEPARATORS = ("|", ";", ",", "/", "\t")
_IN_NAMES = {",", "/"}
_ITEM = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s'",\[\]]+)"""
_LIST = re.compile(rf"\[\s*(?:{_ITEM}(?:\s*,\s*{_ITEM})*\s*,?\s*)?\]")
_PARTS = re.compile(_ITEM)
_ESCAPED = re.compile(r"\\(.)")


def split(text: str, separator: str | None) -> list[str]:
    """The names between separators, without white space around them and without empty ones."""
    pieces = [text] if separator is None else text.split(separator)
    return [name for name in (piece.strip() for piece in pieces) if name]


def separator_of(texts: Collection[str]) -> str | None:
    """The separator that makes the fewest distinct names of these distinct texts; of two the one earlier in `SEPARATORS`.

    None where no text has one. Commas and slashes stand in names too ("n/a"): where nothing else is there, None is also
    the answer where the whole texts are fewer than what they would be cut into. Cost: five passes over the texts.
    """
    present = [separator for separator in SEPARATORS if any(separator in text for text in texts)]
    made = {separator: len({name for text in texts for name in split(text, separator)}) for separator in present}
    best = min(present, key=lambda separator: made[separator], default=None)
    doubtful = best is not None and not set(present) - _IN_NAMES
    return None if doubtful and len({text.strip() for text in texts}) < made[best or ""] else best


def bracketed(text: str) -> bool:
    """Whether a cell looks like a list."""
    text = text.strip()
    return text.startswith("[") and text.endswith("]")


def listed(text: str) -> list[str] | None:
    """The names in a JSON list or in a list as Python prints it; None where the text is no list of names."""
    text = text.strip()
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return _python(text)
    if not isinstance(values, list) or not all(isinstance(v, (str, int)) and not isinstance(v, bool) for v in values):
        return None
    return [name for name in (str(value).strip() for value in values) if name]


def _python(text: str) -> list[str] | None:
    if not _LIST.fullmatch(text):
        return None
    items = [item[0] for item in _PARTS.finditer(text[1:-1])]
    bare = [_ESCAPED.sub(r"\1", item[1:-1]) if item[0] in "'\"" else item for item in items]
    return [name for name in (item.strip() for item in bare) if name]
