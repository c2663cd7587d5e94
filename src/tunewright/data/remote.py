"""Rows that lie in no file: entries of a recipe that name a data base or a data set on the Hub.

    sqlite:///messages.db#SELECT text, label FROM messages      a query, or the name of a table
    hub:owner/name@revision#config/split                        revision, config and split may be left out

Nothing is fetched unless such an entry is named. A password never stands in an entry (`queries` says how it is given).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tunewright.data.hub import HUB, hub_splits
from tunewright.data.queries import URL, placed_query, query_of
from tunewright.data.rows import Form, Table

_SLASHES_LOST = re.compile(r"([a-zA-Z][a-zA-Z0-9]+(?:\+\w+)?):/(?!/)")


class Remote(Protocol):
    """A table that lies in no file."""

    @property
    def shown(self) -> str:
        """What it is called; nothing that is secret."""
        ...

    @property
    def split(self) -> str:
        """The name of the split that it is given for; "" where none is."""
        ...

    @property
    def class_names(self) -> Mapping[str, tuple[str, ...]]:
        """The names of its ClassLabel columns."""
        ...

    def table(self, form: Form, only: tuple[str, ...] | None) -> Table:
        """Its columns and rows, read as they are asked for.

        Raises:
            DataError: it cannot be reached, or there is no such table.
        """
        ...

    def content(self) -> str:
        """SHA-256 of what is read.

        Raises:
            DataError: as `table`.
        """
        ...


def spelled(entry: str | Path) -> str:
    """An entry as it was written: what passed through a Path has lost slashes after its colon."""
    found = _SLASHES_LOST.match(text := str(entry))
    if found is None:
        return text
    scheme, rest = found[1], text[found.end() :]
    if not scheme.startswith("sqlite"):
        return f"{scheme}://{rest}"
    absolute = os.path.exists(f"/{rest.partition('#')[0]}")  # noqa: PTH110  (Path.exists raises on a name that is too long)
    return f"{scheme}:///{'/' if absolute else ''}{rest}"


def is_remote(entry: str | Path) -> bool:
    """Whether an entry of a recipe names no file."""
    text = spelled(entry)
    return bool(HUB.match(text) or URL.match(text))


def remotes(entry: str | Path) -> Sequence[Remote]:
    """What an entry means that names no file; nothing where it names one.

    Raises:
        DataError: what it names cannot be reached, or is written wrongly.
    """
    if not is_remote(entry):
        return ()
    text = spelled(entry)
    return hub_splits(text) if HUB.match(text) else (query_of(text),)


def placed(entry: str | Path, base: Path) -> str:
    """An entry of a recipe that lies in `base`, by its whole path; what names no file stays as it is."""
    if is_remote(entry):
        return placed_query(spelled(entry), base)
    return os.path.normpath((base / Path(entry).expanduser()).absolute()) if _odd(entry) else _resolved(entry, base)


def _odd(entry: str | Path) -> bool:
    """Whether a path is a pattern or has a part, which no link is to be followed in."""
    return bool(re.search(r"[*?\[#]", str(entry)))


def _resolved(entry: str | Path, base: Path) -> str:
    return str((base / Path(entry).expanduser()).resolve())
