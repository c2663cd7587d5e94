"""The errors a user can meet, shaped by how a caller recovers.

    TunewrightError            exit code 1
    ├── RecipeError            2   the recipe is wrong: edit it
    ├── DataError              3   the data are wrong: mend the file or map its columns
    ├── ModelError             4   the base model cannot be had or cannot do the task
    ├── OutOfMemory            5   the machine is too small for these settings
    ├── RunDamaged             6   a folder is no run, is damaged or belongs to another recipe
    ├── StorageError           7   a disk is full or a folder cannot be written
    ├── NotFinite              8   training diverged; the examples are named
    └── Interrupted          130   Ctrl-C or SIGTERM; the run can be continued

Every error carries all the problems that were found, each with its place, what is
allowed, what was found and what to do next. A traceback is for bugs alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong: `where` it stands, what was `found`, what is `allowed`, what `to_do`."""

    where: str
    found: str
    allowed: str = ""
    to_do: str = ""

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.found}"]
        if self.allowed:
            lines.append(f"  allowed: {self.allowed}")
        if self.to_do:
            lines.append(f"  to do:   {self.to_do}")
        return "\n".join(lines)


class TunewrightError(Exception):
    """Base of every error that a user can meet; `problems` holds all that was found at once."""

    exit_code = 1
    kind = "error"

    def __init__(self, *problems: Problem) -> None:
        self.problems: tuple[Problem, ...] = problems
        super().__init__("\n".join(str(problem) for problem in problems))

    def as_json(self) -> dict[str, object]:
        """The error as plain values, for `--json`."""
        return {
            "error": self.kind,
            "exit_code": self.exit_code,
            "problems": [
                {"where": p.where, "found": p.found, "allowed": p.allowed, "to_do": p.to_do} for p in self.problems
            ],
        }


class RecipeError(TunewrightError):
    """The recipe is wrong."""

    exit_code = 2
    kind = "recipe"


class DataError(TunewrightError):
    """The data are wrong, or not enough."""

    exit_code = 3
    kind = "data"


class ModelError(TunewrightError):
    """The base model cannot be had, or cannot do what is asked of it."""

    exit_code = 4
    kind = "model"


class OutOfMemory(TunewrightError):
    """The machine's memory does not suffice for these settings."""

    exit_code = 5
    kind = "memory"


class RunDamaged(TunewrightError):
    """A folder is no run, is damaged or incomplete, or was made by another recipe."""

    exit_code = 6
    kind = "run"


class StorageError(TunewrightError):
    """A file or folder cannot be written."""

    exit_code = 7
    kind = "storage"


class NotFinite(TunewrightError):
    """The loss or its gradient is not a finite number."""

    exit_code = 8
    kind = "not_finite"


class Interrupted(TunewrightError):
    """The user asked to stop; what was saved can be continued."""

    exit_code = 130
    kind = "interrupted"


def closest(word: str, known: Iterable[str]) -> str:
    """A hint such as ``did you mean 'label'?``, or an empty string when nothing is near."""
    names = list(known)
    folded = {name.casefold().strip(): name for name in names}
    near = difflib.get_close_matches(word.casefold().strip(), list(folded), n=1, cutoff=0.6)
    return f"did you mean {folded[near[0]]!r}?" if near else ""


def counted(n: int, one: str, many: str = "") -> str:
    """A count with its noun: `1 row`, `1,200 rows`; `many` where the plural is not one with an s."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def listed(names: Sequence[str], limit: int = 12) -> str:
    """Names for a message, cut after `limit` with the number left out."""
    shown = ", ".join(str(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")
