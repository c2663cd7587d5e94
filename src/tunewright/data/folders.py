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
from tunewright.data.compressed import PART, member_of, parted, stem, zip_members
from tunewright.data.globs import is_pattern, matching
from tunewright.data.remote import Remote, remotes
from tunewright.data.workbooks import BOOK

_SPLITS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation", "eval": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".arrow",
            ".xlsx", ".conll", ".bio", ".iob", ".iob2", ".bioes", ".bmes", ".bmeo")  # fmt: skip
TEXT_ENDINGS = (".txt", ".text", ".md", ".markdown")
_FEW_FILES = 10
"""A folder of fewer texts is read as books that are cut, not as one document a file."""


@dataclass(frozen=True)
class Member:
    """One file of a data set, the split its name gives it (None: none), and the class names of its columns.

    `beside` is the file whose lines answer those of `path`, of parallel files; `whole` a file that is one document.
    `path` may name a part of a file (`a.zip#b.csv`, `book.xlsx#Sheet2`). `remote` is set where the rows lie in no file: in a
    data base or on the Hub; `path` then is its name.
    """

    path: Path
    split: str | None = None
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    beside: Path | None = None
    whole: bool = False
    remote: Remote | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.path,) if self.beside is None else (self.path, self.beside)

    @property
    def shown(self) -> str:
        """What it is called in messages and in the source of its rows; nothing that is secret."""
        return str(self.path) if self.remote is None else self.remote.shown


def split_named(name: str) -> str | None:
    """The split that a name such as `valid` or `test-00000-of-00002` means."""
    word = name.lower().replace("_", "-").replace(".", "-").split("-")[0]
    return _SPLITS.get(word)


def members(path: str | Path, texts: bool = False) -> list[Member]:
    """What is to be read for an entry of a recipe.

    Args:
        path: a file, a part of one (`a.zip#b.csv`), a pattern (`data/*.csv`), a data set folder, a query or a Hub data set.
        texts: plain texts are data too: those named after their splits, else every one in the folder and below it.

    Raises:
        DataError: nothing there, or nothing there that is a data set.
    """
    far = remotes(path)
    if far:
        return [Member(Path(one.shown), split_named(one.split), one.class_names, remote=one) for one in far]
    path = Path(path)
    if is_pattern(path):
        return _matched(matching(path))
    file, part = parted(path)
    if not os.path.exists(file):  # noqa: PTH110  (Path.exists raises on a name that is too long)
        near = sorted(p for p in path.parent.glob("*") if p.is_file() and _is_data(p)) if path.parent.is_dir() else []
        raise DataError(
            Problem(where=_from_here(path), found="there is no such file or folder",
                    allowed=listed([_from_here(p) for p in near]),
                    to_do=closest(path.name, [p.name for p in near]) or "check the path")
        )  # fmt: skip
    if not path.is_dir():
        return [Member(_one(file, part))]
    if (path / "dataset_dict.json").is_file():
        splits = _json(path / "dataset_dict.json").get("splits", [])
        return [member for name in splits for member in _saved(path / str(name), split_named(str(name)))]
    if (path / "state.json").is_file():
        return _saved(path, None)
    return _named(path, texts)


def _one(file: Path, part: str) -> Path:
    """The path of what is to be read of a file: of a zip archive its member, of others themselves or their part."""
    inside = zip_members(file)
    if not inside or BOOK in inside:
        return Path(f"{file}{PART}{part}") if part else file
    return Path(f"{file}{PART}{member_of(file, part)}")


def _matched(files: Sequence[Path]) -> list[Member]:
    """The files of a pattern; where their names are those of several splits, each is of its own, as in a folder."""
    splits = [split_named(stem(file.name)) for file in files]
    by_name = None not in splits and len(set(splits)) > 1
    return [Member(_one(file, ""), split if by_name else None) for file, split in zip(files, splits, strict=True)]


def _from_here(path: Path) -> str:
    """The path as somebody would type it who stands in the working directory."""
    try:
        return min(str(path), os.path.relpath(path), key=len)
    except (ValueError, OSError):  # another drive, or a working directory that is gone
        return str(path)


def _is_data(path: Path) -> bool:
    return stem(path.name).endswith(_ENDINGS)


def is_text(path: Path) -> bool:
    """Whether a file's name says that it is plain text."""
    return stem(path.name).endswith(TEXT_ENDINGS)


def parallel(path: Path, endings: Sequence[str]) -> Member | None:
    """`train5k` with the endings en and de as the files train5k.en and train5k.de; None where they are not both there."""
    if len(endings) != 2 or os.path.exists(path):  # noqa: PTH110  (Path.exists raises on a name that is too long)
        return None
    one, two = (path.parent / f"{path.name}.{ending}" for ending in endings)
    there = os.path.isfile(one) and os.path.isfile(two)  # noqa: PTH113
    return Member(one, beside=two) if there else None


def content(path: str | Path, found: Sequence[Member] | None = None) -> str:
    """SHA-256 of what reading a path depends on: bytes, endings (they tell the format), and a folder's inner names.

    Args:
        path: as in the recipe.
        found: the files that are read for it, where they are others than `members` finds.

    Raises:
        DataError: as `members`, or a file cannot be read.
    """
    parts, top = [], Path(path)
    for member in members(path) if found is None else found:
        names = {column: list(names) for column, names in member.class_names.items()}
        if member.remote is not None:
            parts.append(["", "", member.remote.content(), names])
            continue
        for file in member.paths:
            inner = file.relative_to(top).as_posix() if file.is_relative_to(top) and file != top else ""
            real, part = parted(file)
            try:
                parts.append([inner or part or member.split or "", Path(stem(file.name)).suffix, sha256(real), names])
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
