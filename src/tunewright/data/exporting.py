"""Prepared rows for other programs: JSON lines, CSV, Parquet, a data set folder of Hugging Face's, OpenAI's chat files.

Every file is written beside its place and renamed. Nothing is lost on the way: a form that cannot say something of a row
(OpenAI's chat has no place for a soft label) is told in the notes.
"""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunewright.core.conversations import choice, messages, reply, tools
from tunewright.core.errors import DataError, Problem, RecipeError, closest
from tunewright.core.files import beside, storing, write_lines
from tunewright.core.records import Record

Kind = Literal["jsonl", "csv", "parquet", "hf", "openai"]
KINDS: tuple[Kind, ...] = ("jsonl", "csv", "parquet", "hf", "openai")
_HF = {"validation": "validation", "train": "train", "test": "test"}


@dataclass(frozen=True)
class Exported:
    """The files that were written with their rows, and what could not be said in this form."""

    files: Mapping[str, int]
    notes: tuple[str, ...] = ()


def export(
    splits: Mapping[str, Sequence[Record]], out: Path, kind: str, instruction: str = "", task: str = "classification"
) -> Exported:
    """Write the splits into the folder `out`.

    Args:
        kind: one of KINDS.
        instruction: for OpenAI's files, the system message that says what is asked.
        task: the recipe's; of chat the records hold conversations already.

    Raises:
        RecipeError: no such form. DataError: the rows have no answer to be put into a reply. StorageError: it cannot be written.
    """
    writers: dict[str, Callable[[], Exported]] = {
        "jsonl": lambda: _each(splits, out, "jsonl", lambda part, path: write_lines(path, map(_flat, part))),
        "csv": lambda: _each(splits, out, "csv", _csv),
        "parquet": lambda: _each(splits, out, "parquet", _parquet),
        "hf": lambda: _hugging_face(splits, out),
        "openai": lambda: _openai(splits, out, instruction, task),
    }
    if kind not in writers:
        raise RecipeError(
            Problem(
                where="--to",
                found=repr(kind),
                allowed=", ".join(KINDS),
                to_do=closest(kind, KINDS) or "choose one of these",
            )
        )
    out.mkdir(parents=True, exist_ok=True)
    return writers[kind]()


def _flat(record: Record) -> dict[str, Any]:
    row = record.as_json()
    source = row.pop("source")
    return {**row, "file": source["file"], "line": source["line"]}


def _each(
    splits: Mapping[str, Sequence[Record]], out: Path, ending: str, put: Callable[[Sequence[Record], Path], None]
) -> Exported:
    files = {}
    for name, part in splits.items():
        if part:
            put(part, out / f"{name}.{ending}")
            files[str(out / f"{name}.{ending}")] = len(part)
    return Exported(files)


_COLUMNS = ("id", "text", "pair", "label", "split", "weight", "group", "time", "cluster", "soft", "flags", "parents",
            "difficulty", "annotations", "file", "line")  # fmt: skip


def _table(part: Sequence[Record]) -> dict[str, list[Any]]:
    """Columns of those fields that any row has; what is nested as JSON."""
    rows = [_flat(record) for record in part]
    used = [name for name in _COLUMNS if any(row.get(name) is not None for row in rows)]

    def cell(value: Any) -> Any:
        return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value

    return {name: [cell(row.get(name)) for row in rows] for name in used}


def _csv(part: Sequence[Record], path: Path) -> None:
    columns = _table(part)
    with beside(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _parquet(part: Sequence[Record], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with beside(path) as temporary:
        pq.write_table(pa.table(_table(part)), temporary)


def _hugging_face(splits: Mapping[str, Sequence[Record]], out: Path) -> Exported:
    """As `datasets.DatasetDict.save_to_disk` lays it out: a folder a split with Arrow, and dataset_dict.json."""
    try:
        import datasets
    except ImportError:
        raise DataError(
            Problem(
                where="--to hf", found="the package datasets is not installed", to_do="pip install 'tunewright[data]'"
            )
        ) from None
    filled = {_HF.get(name, name): part for name, part in splits.items() if part}
    tables = {name: datasets.Dataset.from_dict(_table(part)) for name, part in filled.items()}
    place = out / "dataset"
    with storing(place):
        temporary = Path(tempfile.mkdtemp(prefix=".dataset.", dir=out))
        try:
            with silent(datasets):
                datasets.DatasetDict(tables).save_to_disk(str(temporary / "new"))
            if place.exists():
                place.rename(temporary / "old")
            (temporary / "new").rename(place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return Exported({str(out / "dataset" / name): len(part) for name, part in filled.items()})


@contextmanager
def silent(datasets: Any) -> Iterator[None]:
    """The library's own progress bars are switched off; what was set comes back."""
    was = datasets.utils.is_progress_bar_enabled() if hasattr(datasets.utils, "is_progress_bar_enabled") else True
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if was:
            datasets.enable_progress_bars()


def _openai(splits: Mapping[str, Sequence[Record]], out: Path, instruction: str, task: str) -> Exported:
    """`{"messages": [...]}` a line: the text asks, the answer replies; conversations as they are."""
    notes = []
    if any(record.soft for part in splits.values() for record in part):
        notes.append("soft labels are left out: the likeliest label is the reply")
    missing = [record for part in splits.values() for record in part if record.label is None]
    if missing:
        raise DataError(
            Problem(where="--to openai", found=f"a row without an answer (line {missing[0].source.line})",
                    allowed="rows with an answer: it becomes the reply")
        )  # fmt: skip
    if task in ("preference", "reward"):
        splits = {name: [r for r in part if '"good"' not in (r.label or "")[-20:]] for name, part in splits.items()}
        notes.append("rows with a thumb have no place in this form and are left out")
    made = _each(splits, out, "openai.jsonl", lambda part, path: write_lines(path, _chats(part, instruction, task)))
    return Exported(made.files, tuple(notes))


def _chats(part: Sequence[Record], instruction: str, task: str) -> Iterator[dict[str, Any]]:
    for record in part:
        label = record.label or ""
        if task == "chat":
            declared = tools(record.text)
            yield {"messages": [*messages(record.text), reply(label)], **({"tools": declared} if declared else {})}
            continue
        if task in ("preference", "reward"):
            said = choice(label)
            if said.chosen is not None and said.rejected is not None:
                yield {"input": {"messages": messages(record.text)}, "preferred_output": said.chosen,
                       "non_preferred_output": said.rejected}  # fmt: skip
            continue
        asked = record.text if record.pair is None else f"{record.text}\n\n{record.pair}"
        system = [{"role": "system", "content": instruction}] if instruction else []
        yield {
            "messages": [*system, {"role": "user", "content": asked}, {"role": "assistant", "content": record.label}]
        }
