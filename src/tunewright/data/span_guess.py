"""Whether the rows of a file hold spans or tags of tokens, and in which columns."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tunewright.core.errors import counted, listed
from tunewright.data import span_rows
from tunewright.data.rows import Columns, Table, UnfitError
from tunewright.data.tag_schemes import scheme_of, spans_of

_LOOKED_AT = 2000
_MOST = 0.9


def found_spans(
    table: Table, rows: Sequence[Any], text: str | None, label: str | None
) -> tuple[str, str, tuple[str, ...]] | None:
    """The columns of the text and of the spans, with the evidence in words; None where the rows hold no spans.

    Args:
        table: the file; of a column file the columns are `tokens` and `tags`.
        rows: its first rows.
        text: the column with the text, where somebody named it.
        label: the column with the spans, likewise.
    """
    columns = Columns("tokens", "tags") if table.format == "conll" else Columns(text or "text", label)
    keys, types, schemes, good = Counter[tuple[str, str]](), Counter[str](), list[list[str]](), 0
    rows = rows[:_LOOKED_AT]
    for row in rows:
        values = row if isinstance(row, dict) else dict(zip(table.columns or (), row, strict=False))
        try:
            where = span_rows.chosen(values, columns)
            told = span_rows.row_of(values, columns, table.class_names, table.joined)[1]
            kinds = [] if told is None else _types(json.loads(told), schemes)
        except UnfitError:
            continue
        good += 1
        types.update(kinds)
        if where[1] is not None and kinds:
            keys[where[0], where[1]] += 1
    if not keys or good < _MOST * len(rows):
        return None
    (text_key, label_key), _ = keys.most_common(1)[0]
    scheme = f"tags in the scheme {scheme_of(schemes)}" if schemes else "spans by their offsets"
    names = listed([f"{name} {n}" for name, n in types.most_common(12)])
    evidence: tuple[str, ...] = (f"{scheme}: {counted(len(types), 'type')}, {names}",)
    if table.format != "conll":
        evidence = (f"text {text_key!r}, spans {label_key!r}", *evidence)
    return text_key, label_key, evidence


def _types(said: Any, schemes: list[list[str]]) -> list[str]:
    if "spans" in said:
        return [kind for _, _, kind in said["spans"]]
    schemes.append(said["tags"])
    return [kind for _, _, kind in spans_of(said["tags"]).spans]
