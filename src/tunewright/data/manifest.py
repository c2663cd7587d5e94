"""Where rows of an earlier division were, so that they stay there: lines of JSON, `{"key": ..., "split": ...}`.

The key is the hash of a row's folded content, so that a row is known in whatever file and order it comes. A run's folder
will do in place of a file: it keeps its own in `data/manifest.jsonl`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from tunewright.core.errors import DataError, Problem, listed
from tunewright.core.files import write_lines
from tunewright.data.journal import Draft

NAME = "manifest.jsonl"
_SPLITS = ("train", "validation", "test")


def of(splits: Mapping[str, Iterable[Draft]]) -> dict[str, str]:
    """Key to split, of a division."""
    return {draft.key: name for name, part in splits.items() for draft in part}


def write(path: Path, manifest: Mapping[str, str]) -> None:
    """Freeze a division.

    Raises:
        StorageError: the file cannot be written.
    """
    write_lines(path, ({"key": key, "split": split} for key, split in sorted(manifest.items())))


def read(path: Path) -> dict[str, str]:
    """A frozen division.

    Raises:
        DataError: no such file, or lines that say no split; the first few are named.
    """
    place = path / "data" / NAME if path.is_dir() else path
    try:
        lines = place.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(
            Problem(where=f"data.split.manifest {path}", found=error.strerror or str(error),
                    allowed="a file that `tunewright data split --freeze FILE` wrote, or a run's folder")
        ) from None  # fmt: skip
    found: dict[str, str] = {}
    bad: list[int] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            key, split = row["key"], row["split"]
            known = isinstance(key, str) and split in _SPLITS and found.setdefault(key, split) == split
        except (ValueError, KeyError, TypeError):
            known = False
        if not known:
            bad.append(number)
    if bad:
        raise DataError(
            Problem(where=f"data.split.manifest {place}", found=f"no key with one split in line {listed([str(n) for n in bad[:5]])}",
                    allowed='lines such as {"key": "8d0f...", "split": "test"}, a key once',
                    to_do="freeze the division again")
        )  # fmt: skip
    return found
