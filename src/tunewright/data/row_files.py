"""Rows into one file, some at a time, by the file's ending: JSON lines, CSV, TSV or Parquet.

The file is written beside its place and renamed at the end; memory is bounded by what is given at a time.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunewright.core.errors import Problem, RecipeError
from tunewright.core.files import beside, storing

Rows = Sequence[Mapping[str, Any]]
ENDINGS = (".jsonl", ".csv", ".tsv", ".parquet")
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def check_ending(path: Path, nested: bool, where: str = "--out") -> None:
    """Refuse a file in which such rows cannot be written.

    Raises:
        RecipeError: an unknown ending, or a table for rows whose cells are lists.
    """
    allowed = (".jsonl",) if nested else ENDINGS
    if path.suffix not in allowed:
        raise RecipeError(
            Problem(where=where, found=f"{path.name}", allowed=f"a file that ends in {' or '.join(allowed)}")
        )


@contextmanager
def writing(path: Path, columns: Sequence[str]) -> Iterator[Callable[[Rows], None]]:
    """What takes rows and writes them.

    Args:
        path: one of ENDINGS.
        columns: of a table its columns in their order; a row's other values are left out. JSON lines hold what a row has.

    Raises:
        StorageError: it cannot be written; nothing half-written stays.
    """
    with beside(path) as temporary, storing(path):
        if path.suffix == ".parquet":
            with _parquet(temporary, columns) as put:
                yield put
            return
        with temporary.open("w", encoding="utf-8", newline="" if path.suffix != ".jsonl" else "\n") as file:
            if path.suffix == ".jsonl":
                yield lambda rows: file.writelines(_encode(row) + "\n" for row in rows)
                return
            table = csv.DictWriter(
                file, columns, extrasaction="ignore", delimiter="\t" if path.suffix == ".tsv" else ","
            )
            table.writeheader()
            yield table.writerows


@contextmanager
def _parquet(path: Path, columns: Sequence[str]) -> Iterator[Callable[[Rows], None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.string()) for name in columns])
    with pq.ParquetWriter(path, schema) as file:

        def put(rows: Rows) -> None:
            file.write_table(pa.table({name: [row.get(name) for row in rows] for name in columns}, schema=schema))

        yield put
