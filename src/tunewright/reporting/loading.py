"""Reads a run folder into plain values. Only `evidence.json` is indispensable; any other gap is named.

Nothing here trusts the shape of a file: the report shows a gap where a file has one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunewright.core.errors import Problem, RunDamaged
from tunewright.reporting.formatting import clean
from tunewright.reporting.tasks import parts_of
from tunewright.reporting.values import mapping, rows, string

VERSION = 1
"""The version of evidence.json that this report can read."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")
_FOLDER = re.compile(r"\w[\w .-]*")


@dataclass(frozen=True)
class Item:
    """The text of one row, where it stood in the user's file, its second text where it is a pair, and its answer.

    `raw` is the text as it is, where offsets in it would not be those in `text`.
    """

    text: str
    place: str
    pair: str | None = None
    label: str | None = None
    raw: str = ""


@dataclass(frozen=True)
class RunFiles:
    """What a run folder holds, as read. `missing` names each file that is absent or damaged, with the reason.

    `parts` are the tasks of a run of several, by name: each with evidence, items, card and ledger of its own.
    """

    name: str
    evidence: Mapping[str, Any]
    run: Mapping[str, Any] = field(default_factory=dict)
    ledger: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    evaluations: Sequence[Mapping[str, Any]] = ()
    items: Mapping[str, Item] = field(default_factory=dict)
    recipe: str = ""
    missing: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, RunFiles] = field(default_factory=dict)


def load(folder: Path) -> RunFiles:
    """Read a run folder.

    Raises:
        RunDamaged: the folder is not there, or its evidence.json is absent, unreadable or of another version.
    """
    evidence = _evidence(folder)
    missing: dict[str, str] = {}
    split = string(evidence.get("split"), "test")
    parts = {name: _part(folder, name, part) for name, part in parts_of(evidence).items()}
    own = not parts or (folder / "data/card.json").exists()
    return RunFiles(
        name=clean(folder.resolve().name),
        evidence=evidence,
        run=_object(folder, "run.json", missing),
        ledger=_object(folder, "data/ledger.json", missing) if own else {},
        card=_object(folder, "data/card.json", missing) if own else {},
        history=_lines(folder, "history.jsonl", missing),
        evaluations=_lines(folder, "evaluations.jsonl", missing),
        items={} if parts else _items(folder, "data", split, _wanted(evidence), missing),
        recipe=_text(folder, "recipe.yaml", missing),
        missing=missing,
        parts=parts,
    )


def _part(folder: Path, name: str, evidence: Mapping[str, Any]) -> RunFiles:
    """One task of several: its data lie in a folder of its own, data/NAME, or beside those of the others."""
    missing: dict[str, str] = {}
    own = f"data/{name}" if _FOLDER.fullmatch(name) and (folder / "data" / name).is_dir() else "data"
    split = string(evidence.get("split"), "test")
    return RunFiles(
        name=name,
        evidence=evidence,
        ledger={} if own == "data" else _object(folder, f"{own}/ledger.json", missing),
        card={} if own == "data" else _object(folder, f"{own}/card.json", missing),
        items=_items(folder, own, split, _wanted(evidence), missing),
        missing=missing,
    )


def _evidence(folder: Path) -> Mapping[str, Any]:
    path = folder / "evidence.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = "the file is not there" if folder.is_dir() else "the folder is not there"
        raise RunDamaged(_damage(path, what, f"run `tunewright evaluate {folder}` first")) from None
    except OSError as error:
        raise RunDamaged(_damage(path, f"cannot be read: {error.strerror}", "mend the file's rights")) from error
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise RunDamaged(_damage(path, f"is not JSON in UTF-8: {error}", _again(folder))) from error
    if not isinstance(found, dict):
        raise RunDamaged(_damage(path, f"holds a {type(found).__name__}, not an object", _again(folder)))
    if found.get("version") != VERSION:
        wrong = f"version {found.get('version')!r}"
        raise RunDamaged(_damage(path, wrong, _again(folder), allowed=f"version {VERSION}"))
    if not rows(found.get("contenders")) and not parts_of(found):
        raise RunDamaged(_damage(path, "names no contender", _again(folder), allowed="a list `contenders`"))
    return found


def _again(folder: Path) -> str:
    return f"compute it again from the predictions: tunewright evaluate {folder}"


def _damage(path: Path, found: str, to_do: str, allowed: str = "") -> Problem:
    return Problem(where=str(path), found=found, to_do=to_do, allowed=allowed)


def _text(folder: Path, name: str, missing: dict[str, str]) -> str:
    try:
        return clean((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        missing[name] = "is not in the run folder"
    except (OSError, UnicodeDecodeError) as error:
        missing[name] = f"cannot be read ({type(error).__name__})"
    return ""


def _object(folder: Path, name: str, missing: dict[str, str]) -> Mapping[str, Any]:
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        missing[name] = "is not in the run folder"
        return {}
    except (OSError, ValueError, RecursionError) as error:
        missing[name] = f"cannot be read ({type(error).__name__})"
        return {}
    if not isinstance(found, dict) or not found:
        missing[name] = "is empty" if not found else "does not hold an object"
        return {}
    return found


def _lines(folder: Path, name: str, missing: dict[str, str]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    damaged = 0
    try:
        for line in _raw_lines(folder / name):
            row = _row(line)
            if row is None:
                damaged += 1
            else:
                found.append(row)
    except FileNotFoundError:
        missing[name] = "is not in the run folder"
        return []
    except OSError as error:
        missing[name] = f"cannot be read ({type(error).__name__})"
        return []
    if damaged:
        missing[name] = f"has {damaged} damaged lines, which are left out"
    elif not found:
        missing[name] = "is empty"
    return found


def _raw_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as lines:
        yield from (line for line in lines if line.strip())


def _row(line: bytes) -> Mapping[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _wanted(evidence: Mapping[str, Any]) -> set[str]:
    flips = mapping(evidence.get("flips"))
    groups = (evidence.get("mistakes"), flips.get("gained"), flips.get("lost"), evidence.get("samples"))
    return {string(row.get("id")) for group in groups for row in rows(group)}


def quoted(folder: Path, evidence: Mapping[str, Any]) -> dict[str, Item]:
    """The rows that the evidence of one task quotes, by id; those that are not in the run folder are absent."""
    return _items(folder, "data", string(evidence.get("split"), "test"), _wanted(evidence), {})


def _items(folder: Path, place: str, split: str, wanted: set[str], missing: dict[str, str]) -> dict[str, Item]:
    """Only the rows that the report quotes are kept, so that a large split costs no memory."""
    name = f"{place}/{split}.jsonl"
    if not _PLAIN_NAME.fullmatch(split):
        missing[name] = "has a name that is not a split's"
        return {}
    found: dict[str, Item] = {}
    for row in _lines(folder, name, missing):
        identity = string(row.get("id"))
        if identity in wanted:
            source = mapping(row.get("source"))
            line = f"line {string(source['line'])}" if "line" in source else ""
            place = ", ".join(part for part in (string(source.get("file")), line) if part)
            pair = None if row.get("pair") is None else string(row["pair"])
            label = None if row.get("label") is None else string(row["label"])
            text = row.get("text")
            raw = text if isinstance(text, str) and "\r\n" in text else ""
            found[identity] = Item(string(text), place, pair, label, raw)
    return found
