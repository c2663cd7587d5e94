"""Patterns of files: `data/*.csv`, and `**` for folders at any depth; in the order of their names."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from tunewright.core.errors import DataError, Problem, closest, listed

_MAGIC = re.compile(r"[*?\[]")
_NEAR = 200


def is_pattern(path: Path) -> bool:
    """Whether a path is a pattern, and not a file or folder that is there under that very name."""
    return bool(_MAGIC.search(str(path))) and not os.path.exists(path)  # noqa: PTH110  (Path.exists may raise)


def matching(pattern: Path) -> list[Path]:
    """The files that a pattern means, sorted; hidden ones are not meant.

    Raises:
        DataError: none; the problem names files that are near.
    """
    found = sorted(Path(name) for name in glob.glob(str(pattern), recursive=True) if os.path.isfile(name))  # noqa: PTH113, PTH207
    if found:
        return found
    top = pattern
    while _MAGIC.search(str(top)) or not top.is_dir():
        top = top.parent
    near = [str(path.relative_to(top)) for path in _below(top)]
    asked = str(pattern.relative_to(top)) if pattern.is_relative_to(top) else str(pattern)
    plain = _MAGIC.sub("", asked)
    raise DataError(
        Problem(where=str(pattern), found="no file is named like this",
                allowed=listed(near) or f"there are no files in {top}", to_do=closest(plain, near) or "check the pattern")
    )  # fmt: skip


def _below(top: Path) -> list[Path]:
    """The first files in a folder and in those below it, for a message."""
    found = list[Path]()
    for place, inner, names in os.walk(top):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        found += [Path(place) / name for name in sorted(names) if not name.startswith(".")]
        if len(found) >= _NEAR:
            break
    return found[:_NEAR]
