"""Parquet files and Arrow streams (as Hugging Face's datasets saves them), batch by batch, by pyarrow.

A row's line is its number from 1; these formats have no byte offset for a row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, Problem
from tunewright.data.rows import Item, Table

_BATCH = 16_384


def open_arrow(path: Path, format: str, only: tuple[str, ...] | None = None) -> Table:
    """A Parquet or Arrow file; of its columns, those in `only` are read where all of them are there.

    Raises:
        DataError: pyarrow is not installed, or the file is not one of these.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise DataError(
            Problem(where=str(path), found="pyarrow, which reads this format, is not installed",
                    to_do="pip install pyarrow, or save the table as CSV or JSON lines")
        ) from None  # fmt: skip
    try:
        if format == "parquet":
            file = pq.ParquetFile(path)
            schema = file.schema_arrow
            batches = file.iter_batches(_BATCH, columns=_present(only, schema.names))
        else:
            schema, batches = _arrow_batches(pa, path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, format, error) from None
    names = _present(only, schema.names) or list(schema.names)
    items = _items(batches, names, path, format)
    return Table(tuple(names), items, format, class_names=class_names(schema.metadata or {}))


def class_names(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """The names of ClassLabel columns that datasets writes into a schema's metadata."""
    try:
        info = json.loads(metadata.get(b"huggingface", b"{}"))
        return features(info.get("info", {}).get("features", {}))
    except (ValueError, AttributeError):
        return {}


def features(described: Any) -> dict[str, tuple[str, ...]]:
    """The names of ClassLabel columns in the features of a dataset_info.json."""
    if not isinstance(described, dict):
        return {}
    found = {column: _class_label(feature) for column, feature in described.items()}
    return {column: tuple(str(name) for name in names) for column, names in found.items() if names is not None}


def _class_label(feature: Any) -> list[Any] | None:
    """The names of a ClassLabel, or of the ClassLabels in a list of them."""
    if isinstance(feature, list) and len(feature) == 1:
        feature = feature[0]
    if isinstance(feature, dict) and isinstance(feature.get("feature"), dict):
        feature = feature["feature"]
    names = feature.get("names") if isinstance(feature, dict) else None
    return names if isinstance(names, list) else None


def _present(only: tuple[str, ...] | None, known: list[str]) -> list[str] | None:
    return list(only) if only is not None and set(only) <= set(known) else None


def _arrow_batches(pa: Any, path: Path) -> tuple[Any, Iterator[Any]]:
    source = pa.memory_map(str(path))
    try:
        stream = pa.ipc.open_stream(source)
        return stream.schema, iter(stream)
    except pa.ArrowInvalid:
        file = pa.ipc.open_file(pa.memory_map(str(path)))
        return file.schema, (file.get_batch(i) for i in range(file.num_record_batches))


def _items(batches: Iterator[Any], names: list[str], path: Path, format: str) -> Iterator[Item]:
    import pyarrow as pa

    line = 0
    try:
        for batch in batches:
            places = [batch.schema.get_field_index(name) for name in names]
            if min(places, default=0) < 0:
                raise ValueError("a column stands there twice")
            for cells in zip(*(_values(pa, batch.column(place)) for place in places), strict=True):
                line += 1
                yield cells, line, 0, 0
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, format, error) from None


def _values(pa: Any, column: Any) -> list[Any]:
    """The cells of a column; texts by way of NumPy, which takes a third of the time."""
    kind = column.type
    try:
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            texts: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
            return texts
        values: list[Any] = column.to_pylist()
    except (UnicodeDecodeError, pa.ArrowException):
        values = column.cast(pa.large_binary()).to_pylist()
    return values


def _damaged(path: Path, format: str, error: Exception) -> DataError:
    return DataError(
        Problem(where=str(path), found=f"this is not a whole {format} file: {str(error).splitlines()[0][:200]}",
                to_do="write or download the file again")
    )  # fmt: skip
