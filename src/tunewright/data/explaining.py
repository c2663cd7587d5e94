"""One row's way through the data side: from its place in the file, through every edit, to where it ended, with its scores."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, Problem, listed
from tunewright.data.splits import NAMES

_PLACES = (*NAMES, "unlabelled", "quarantine")
_SHOWN = 2000


@dataclass(frozen=True)
class Explained:
    """A row: the lines of the file it came from, what happened to it, and what it is now.

    `ended` is a split, "unlabelled", "quarantine", or "left out"; `events` are the ledger's lines about it in order;
    `raw` are the bytes of the file as text, where the file still holds them; `kin` are ids that share its cluster, or are
    its children.
    """

    file: str
    line: int
    offset: int
    length: int
    ended: str
    row: Mapping[str, Any] | None
    events: Sequence[Mapping[str, Any]]
    raw: str | None
    kin: Mapping[str, list[str]]

    def as_json(self) -> dict[str, Any]:
        """The story as plain values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def data_folder(path: Path) -> Path:
    """Where a run, or what `data check --out` wrote, keeps its rows.

    Raises:
        DataError: there are none.
    """
    for place in (path, path / "data"):
        if (place / "ledger.jsonl").is_file():
            return place
    raise DataError(
        Problem(where=str(path), found="no ledger.jsonl is here", allowed="a run's folder, or one that `tunewright data check "
                "SOURCE --out FOLDER` wrote")
    )  # fmt: skip


def explain(path: Path, wanted: str, most: int = 5) -> list[Explained]:
    """The rows that `wanted` means: an id or its beginning, `FILE:LINE`, a line's number, or part of a text.

    Args:
        path: a run's folder, or a data folder.
        most: how many rows at most.

    Raises:
        DataError: no such folder, or no such row.
    """
    folder = data_folder(path)
    rows = {name: list(_lines(folder / f"{name}.jsonl")) for name in _PLACES}
    ledger = list(_lines(folder / "ledger.jsonl"))
    found = _meant(rows, ledger, wanted)
    if not found:
        raise DataError(
            Problem(where=str(folder), found=f"no row is meant by {wanted!r}",
                    allowed="an id, FILE:LINE, the number of a line, or part of a text",
                    to_do=f"ids begin like {listed([str(row['id']) for part in rows.values() for row in part[:1]], 3)}")
        )  # fmt: skip
    return [_story(rows, ledger, *place) for place in found[:most]]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            for line in file:
                yield json.loads(line)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise DataError(Problem(where=str(path), found=f"cannot be read back: {error}")) from None


Place = tuple[str, int]


def _meant(rows: Mapping[str, list[dict[str, Any]]], ledger: list[dict[str, Any]], wanted: str) -> list[Place]:
    """File and line of the rows that are meant; of all kinds of names the first that means any."""
    every = [row for part in rows.values() for row in part]
    places = {(row["source"]["file"], row["source"]["line"]): None for row in every}
    places |= {(event["file"], event["line"]): None for event in ledger}
    by_id = [
        row
        for row in every
        if row["id"] and (row["id"] == wanted or (len(wanted) > 5 and row["id"].startswith(wanted)))
    ]
    if by_id:
        return list(dict.fromkeys((row["source"]["file"], row["source"]["line"]) for row in by_id))
    numbered = re.fullmatch(r"(?:(.+):)?(\d+)", wanted)
    if numbered:
        name, line = numbered.group(1), int(numbered.group(2))
        at = [p for p in places if p[1] == line and (name is None or p[0] == name or Path(p[0]).name == name)]
        if at:
            return at
    return list(
        dict.fromkeys(
            (r["source"]["file"], r["source"]["line"]) for r in every if wanted and wanted in (r["text"] or "")
        )
    )


def _story(rows: Mapping[str, list[dict[str, Any]]], ledger: list[dict[str, Any]], file: str, line: int) -> Explained:
    ended, row = "left out", None
    for name, part in rows.items():
        for one in part:
            if (one["source"]["file"], one["source"]["line"]) == (file, line) and not one.get("parents"):
                ended, row = name, one
    events = [event for event in ledger if (event["file"], event["line"]) == (file, line)]
    source = (row or {}).get("source") or (events[0] if events else {})
    offset, length = int(source.get("offset", 0)), int(source.get("length", 0))
    kin: dict[str, list[str]] = {}
    if row is not None:
        others = [one for part in rows.values() for one in part if one["id"] != row["id"]]
        near = [one["id"] for one in others if row.get("cluster") and one.get("cluster") == row["cluster"]]
        children = [one["id"] for one in others if row["id"] in one.get("parents", ())]
        kin = {name: ids for name, ids in (("near copies", near), ("children", children)) if ids}
    return Explained(file, line, offset, length, ended, row, events, _raw(file, offset, length), kin)


def _raw(file: str, offset: int, length: int) -> str | None:
    """The bytes of the row where they can be seen: of a plain file that is still there."""
    if length <= 0:
        return None
    try:
        with Path(file).open("rb") as opened:
            opened.seek(offset)
            return opened.read(min(length, _SHOWN)).decode("utf-8", "backslashreplace").rstrip("\r\n")
    except OSError:
        return None
