"""Folders that hold a data set: what datasets' save_to_disk writes, or files named after their splits."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
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
TEXT_ENDINGS = (".txt", ".text", ".md", ".markdown")
_FEW_FILES = 10
"""A folder of fewer texts is read as books that are cut, not as one document a file."""


@dataclass(frozen=True)
class Member:
    """One file of a data set, the split its name gives it (None: none), and the class names of its columns.

    `beside` is the file whose lines answer those of `path`, of parallel files; `whole` a file that is one document.
    """

    path: Path
    split: str | None = None
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    beside: Path | None = None
    whole: bool = False

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.path,) if self.beside is None else (self.path, self.beside)


def split_named(name: str) -> str | None:
    """The split that a name such as `valid` or `test-00000-of-00002` means."""
    word = name.lower().replace("_", "-").replace(".", "-").split("-")[0]
    return _SPLITS.get(word)


def members(path: Path, texts: bool = False) -> list[Member]:
    """The files to read for a path: itself, or those of the data set folder that it is.

    Args:
        path: a file or a folder.
        texts: plain texts are data too: those named after their splits, else every one in the folder and below it.

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
    return _named(path, texts)


def _from_here(path: Path) -> str:
    """The path as somebody would type it who stands in the working directory."""
    try:
        return min(str(path), os.path.relpath(path), key=len)
    except (ValueError, OSError):  # another drive, or a working directory that is gone
        return str(path)


def _is_data(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(_ENDINGS)


def is_text(path: Path) -> bool:
    """Whether a file's name says that it is plain text."""
    return path.name.lower().removesuffix(".gz").endswith(TEXT_ENDINGS)


def parallel(path: Path, endings: Sequence[str]) -> Member | None:
    """`train5k` with the endings en and de as the files train5k.en and train5k.de; None where they are not both there."""
    if len(endings) != 2 or os.path.exists(path):  # noqa: PTH110  (Path.exists raises on a name that is too long)
        return None
    one, two = (path.parent / f"{path.name}.{ending}" for ending in endings)
    there = os.path.isfile(one) and os.path.isfile(two)  # noqa: PTH113
    return Member(one, beside=two) if there else None


def content(path: Path, found: Sequence[Member] | None = None) -> str:
    """SHA-256 of what reading a path depends on: bytes, endings (they tell the format), and a folder's inner names.

    Args:
        path: as in the recipe.
        found: the files that are read for it, where they are others than `members` finds.

    Raises:
        DataError: as `members`, or a file cannot be read.
    """
    parts = []
    for member in members(path) if found is None else found:
        names = {column: list(names) for column, names in member.class_names.items()}
        for file in member.paths:
            inner = file.relative_to(path).as_posix() if file.is_relative_to(path) and file != path else ""
            ending = Path(file.name.lower().removesuffix(".gz")).suffix
            try:
                parts.append([inner, ending, sha256(file), names])
            except OSError as error:
                raise DataError(
                    Problem(where=str(file), found=f"it cannot be read: {error.strerror}", to_do="mend its rights")
                ) from error
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _saved(folder: Path, split: str | None) -> list[Member]:
    files = _json(folder / "state.json").get("_data_files", [])
    info = folder / "dataset_info.json"
    names = features(_json(info).get("features")) if info.is_file() else {}
    return [Member(folder / str(file["filename"]), split, names) for file in files]


def _named(folder: Path, texts: bool) -> list[Member]:
    """Files by split, in the folder or in its `data` folder; of texts else all that are there."""
    found = []
    for place in (folder, folder / "data"):
        for file in sorted(place.glob("*")) if place.is_dir() else ():
            split = split_named(file.name)
            if file.is_file() and (_is_data(file) or (texts and is_text(file))) and split:
                found.append(Member(file, split))
        if found:
            return found
    if texts and (documents := _texts(folder)):
        return [Member(file, whole=len(documents) >= _FEW_FILES) for file in documents]
    files = [p.name for p in sorted(folder.iterdir()) if p.is_file()]
    raise DataError(
        Problem(where=str(folder), found=f"not a data set folder; it holds {listed(files) or 'no files'}",
                allowed="a folder written by datasets' save_to_disk, or train, validation and test files "
                        "(csv, tsv, jsonl, json, parquet)" + (", or plain texts (.txt, .md)" if texts else ""),
                to_do="name the file itself")
    )  # fmt: skip


def _texts(folder: Path) -> list[Path]:
    """Every plain text in a folder and below it, without hidden ones, in the order of their names."""
    found = []
    for place, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        found += [Path(place) / name for name in names if not name.startswith(".") and is_text(Path(name))]
    return sorted(found)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(Problem(where=str(path), found=f"cannot be read as JSON: {error}")) from None
    if not isinstance(value, dict):
        raise DataError(Problem(where=str(path), found="not a JSON object"))
    return value
