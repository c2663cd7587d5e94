"""From files to rows: each with its place, each fault with a reason, nothing lost on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tunewright.core.errors import DataError, Problem
from tunewright.data import folders
from tunewright.data.batches import BATCH, batches
from tunewright.data.folders import Member
from tunewright.data.options import Options
from tunewright.data.remote import placed
from tunewright.data.rows import AS_FOUND, Columns, Form, Rows
from tunewright.data.targets import CLASSES, Target, target_of

Paths = str | Path | Sequence[str | Path]


def read(
    path: Paths, columns: Columns, form: Form = AS_FOUND, split: str | None = None, target: Target = CLASSES
) -> Rows:
    """The rows of a file, of several, or of a data set folder.

    Args:
        path: CSV, TSV, JSON lines, a JSON array, Parquet, Arrow, a workbook (`book.xlsx#Sheet2`), a column file of tokens
            and tags (text formats also compressed: .gz, .bz2, .xz, .zst, `a.zip#b.csv`), a pattern (`data/*.csv`), a
            folder, a query (`sqlite:///x.db#SELECT ...`) or a data set on the Hub (`hub:owner/name#config/split`).
        columns: which columns hold the text, the label, the second text, and what else is wanted of a row.
        form: how the file is written, where it shall not be found out.
        split: the split that these rows are given for; a folder's own splits are kept where it is None.
        target: the kind of answer in the label column; it says which cells can be one.

    Raises:
        DataError: with the problems of all files at once.
    """
    rows, problems = Rows(), list[Problem]()
    for each in _several(path):
        try:
            for member in target.files(each):
                for batch in batches(member, columns, form, split or member.split, target):
                    rows.extend(batch)
        except DataError as error:
            problems.extend(error.problems)
    if problems:
        raise DataError(*problems)
    return rows


def read_batches(
    path: Paths,
    columns: Columns,
    form: Form = AS_FOUND,
    size: int = BATCH,
    split: str | None = None,
    target: Target = CLASSES,
) -> Iterator[Rows]:
    """The same rows in the same order, at most `size` of them (events counted) at a time, in bounded memory.

    A file's notes come with its first batch, its facts with its last. Every path is looked for before the first batch;
    what a file holds is known as it is read: a damaged one raises after batches of it have been handed out, so whoever
    writes these on must write beside and rename.

    Raises:
        DataError: as `read`; of files that are there, with the problems of the first that cannot be read.
    """
    found, problems = list[Member](), list[Problem]()
    for each in _several(path):
        try:
            found += target.files(each)
        except DataError as error:
            problems.extend(error.problems)
    if problems:
        raise DataError(*problems)
    for member in found:
        yield from batches(member, columns, form, split or member.split, target, size)


def gather(options: Options, base: Path = Path()) -> Rows:
    """The rows of every file that the options name: train, validation and test. Paths are relative to `base`.

    Raises:
        DataError: with the problems of all files at once.
    """
    rows, problems, target = Rows(), list[Problem](), target_of(options)
    given = (
        (None, options.train),
        ("validation", options.validation),
        ("test", options.test),
    )
    for split, paths in given:
        for path in paths:
            try:
                rows.extend(read(placed(path, base), options.columns, options.form, split, target))
            except DataError as error:
                problems.extend(error.problems)
    if problems:
        raise DataError(*problems)
    return rows


def content(path: str | Path, options: Options | None = None) -> str:
    """SHA-256 of what reading a path depends on, for the task of `options` (without them: of rows by column).

    Raises:
        DataError: nothing there, or a file cannot be read.
    """
    return folders.content(path, None if options is None else target_of(options).files(path))


def _several(path: Paths) -> list[str | Path]:
    return [path] if isinstance(path, (str, Path)) else list(path)
