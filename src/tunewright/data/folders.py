"""Folders that hold a data set: what datasets' save_to_disk writes, or files named after their splits."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, Problem, closest, listed
from tunewright.core.files import sha256
from tunewright.data.arrow import features

_SPLITS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation", "eval": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".arrow",
            ".conll", ".bio", ".iob", ".iob2", ".bioes", ".bmes", ".bmeo")  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One file of a data set, the split its name gives it (None: none), and the class names of its columns."""

    path: Path
    split: str | None = None
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def split_named(name: str) -> str | None:
    """The split that a name such as `valid` or `test-00000-of-00002` means."""
    word = name.lower().replace("_", "-").replace(".", "-").split("-")[0]
    return _SPLITS.get(word)


def members(path: Path) -> list[Member]:
    """The files to read for a path: itself, or those of the data set folder that it is.

    Raises:
        DataError: nothing there, or nothing there that is a data set.
    """
    if not os.path.exists(path):  # noqa: PTH110  (Path.exists raises on a name that is too long)
        near = sorted(p for p in path.parent.glob("*") if p.is_file() and _is_data(p)) if path.parent.is_dir() else []
        raise DataError(
            Problem(where=_from_here(path), found="there is no such file or folder",
                    allowed=listed([_from_here(p) for p in near]),
                    to_do=closest(path.name, [p.name for p in near]) or "check the path")
        )  # fmt: skip
    if not path.is_dir():
        return [Member(path)]
    if (path / "dataset_dict.json").is_file():
        splits = _json(path / "dataset_dict.json").get("splits", [])
        return [member for name in splits for member in _saved(path / str(name), split_named(str(name)))]
    if (path / "state.json").is_file():
        return _saved(path, None)
    return _named(path)


def _from_here(path: Path) -> str:
    """The path as somebody would type it who stands in the working directory."""
    try:
        return min(str(path), os.path.relpath(path), key=len)
    except (ValueError, OSError):  # another drive, or a working directory that is gone
        return str(path)


def _is_data(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(_ENDINGS)


def content(path: Path) -> str:
    """SHA-256 of what reading a path depends on: bytes, endings (they tell the format), and a folder's inner names.

    Raises:
        DataError: as `members`, or a file cannot be read.
    """
    parts = []
    for member in members(path):
        inner = member.path.relative_to(path).as_posix() if member.path != path else ""
        ending = Path(member.path.name.lower().removesuffix(".gz")).suffix
        names = {column: list(names) for column, names in member.class_names.items()}
        try:
            parts.append([inner, ending, sha256(member.path), names])
        except OSError as error:
            raise DataError(
                Problem(where=str(member.path), found=f"it cannot be read: {error.strerror}", to_do="mend its rights")
            ) from error
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _saved(folder: Path, split: str | None) -> list[Member]:
    files = _json(folder / "state.json").get("_data_files", [])
    info = folder / "dataset_info.json"
    names = features(_json(info).get("features")) if info.is_file() else {}
    return [Member(folder / str(file["filename"]), split, names) for file in files]


def _named(folder: Path) -> list[Member]:
    """Files by split, in the folder or in its `data` folder."""
    found = []
    for place in (folder, folder / "data"):
        for file in sorted(place.glob("*")) if place.is_dir() else ():
            split = split_named(file.name)
            if file.is_file() and _is_data(file) and split:
                found.append(Member(file, split))
        if found:
            return found
    files = [p.name for p in sorted(folder.iterdir()) if p.is_file()]
    raise DataError(
        Problem(where=str(folder), found=f"not a data set folder; it holds {listed(files) or 'no files'}",
                allowed="a folder written by datasets' save_to_disk, or train, validation and test files "
                        "(csv, tsv, jsonl, json, parquet)",
                to_do="name the file itself")
    )  # fmt: skip


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(Problem(where=str(path), found=f"cannot be read as JSON: {error}")) from None
    if not isinstance(value, dict):
        raise DataError(Problem(where=str(path), found="not a JSON object"))
    return value
