"""Texts and files answered on the command line: by one tuned model, or by several adapters on one base."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from tunewright import data as data_side
from tunewright.core.errors import DataError, Problem, RecipeError, closest, listed
from tunewright.core.files import write_text
from tunewright.data import Row
from tunewright.data.compressed import parted
from tunewright.kinds import Answer
from tunewright.predicting import Adapters, Predictor, load


class _Line(NamedTuple):
    """A line of the output: its place in the file, the text, which adapter answered, the answer or the problem."""

    line: int
    text: str | None
    adapter: str
    answer: Answer | None
    problem: str


@dataclass(frozen=True)
class Answerers:
    """Who answers: `first` is the run that was named, `others` the adapters beside it, by name.

    column: whose cells name the adapter of each row; without one every adapter answers every row. labels: of a run that
    is an adapter which plain peft saved, the names of its scores.

    Raises:
        RecipeError: a column, and no adapter but the run.
    """

    first: Path
    others: Mapping[str, Path]
    task: str = ""
    column: str | None = None
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.column is not None and not self.others:
            raise RecipeError(
                Problem(
                    where="--adapter-column",
                    found="there is one adapter alone",
                    to_do="name others: --adapter NAME=FOLDER",
                )
            )

    @property
    def name(self) -> str:
        """What the run is called among the adapters."""
        return self.first.resolve().name

    def open(self) -> Adapters:
        """All of them on one base.

        Raises:
            RecipeError: two have one name. ModelError: one is no adapter, or on another base.
        """
        adapters = Adapters()
        adapters.add(self.name, self.first, self.task)
        for name, folder in self.others.items():
            adapters.add(name, folder, self.task)
        return adapters


def named(given: Sequence[str]) -> dict[str, Path]:
    """`NAME=FOLDER`, several times, as a mapping; a folder alone is named by its last part.

    Raises:
        RecipeError: one is empty, or two have one name.
    """
    found: dict[str, Path] = {}
    problems = []
    for each in given:
        name, sign, folder = each.partition("=")
        if not sign:
            name, folder = Path(each).resolve().name, each
        if not name or not folder:
            problems.append(Problem(where="--adapter", found=repr(each), allowed="NAME=FOLDER"))
        elif name in found:
            problems.append(Problem(where="--adapter", found=f"two are named {name!r}", to_do="choose another name"))
        else:
            found[name] = Path(folder)
    if problems:
        raise RecipeError(*problems)
    return found


def is_file(source: str) -> bool:
    """Whether `source` names a file or folder that is there; otherwise it is a text.

    Raises:
        DataError: it can only mean a data file, and there is none: nobody wants the name's own label.
    """
    if os.path.exists(source) or parted(Path(source))[1]:  # noqa: PTH110  (Path.exists raises on a text that is too long)
        return True
    if re.fullmatch(r"\S+\.(csv|tsv|jsonl|json|parquet|arrow|xlsx|txt)(\.(gz|bz2|xz|zst|zip))?", source, re.IGNORECASE):
        near = [p.name for p in Path(source).parent.glob("*.*")]
        raise DataError(
            Problem(where=source, found="there is no such file", allowed="a file with texts, or one text",
                    to_do=closest(Path(source).name, near) or "check the path")
        )  # fmt: skip
    return False


def predict_lines(who: Answerers, texts: Sequence[str], pair: str | None = None) -> list[dict[str, Any]]:
    """The prediction of each text, each with the second text `pair` where the model reads two; of several adapters all."""
    if not who.others:
        found = load(who.first, who.task, who.labels).predict(texts, None if pair is None else [pair] * len(texts))
        return [{"text": text, **p.as_json()} for text, p in zip(texts, found, strict=True)]
    adapters = who.open()
    asked = [(text, name) for text in texts for name in adapters.names]
    answers = adapters.predict(
        [text for text, _ in asked], [name for _, name in asked], None if pair is None else [pair] * len(asked)
    )
    return [{"text": text, "adapter": n, **p.as_json()} for (text, n), p in zip(asked, answers, strict=True)]


def predict_file(who: Answerers, source: Path, out: Path | None, text: str | None) -> tuple[Path, int]:
    """Predicts every row of a file, in its order; writes CSV or JSON lines. A row that cannot be read keeps its place.

    Raises:
        DataError: a column is not there. RunDamaged: no tuned model. ModelError: the adapters are not of one base.
    """
    adapters = who.open() if who.others else None
    predictors = (
        [load(who.first, who.task, who.labels)] if adapters is None else [adapters[name] for name in adapters.names]
    )
    column = text or str(predictors[0].saved.card.get("text") or "text")
    pair = next((p.saved.card["pair"] for p in predictors if p.pair), None)
    rows = _read(source, data_side.Columns(column, who.column, pair))
    file = parted(source)[0]
    out = out or file.with_name(f"{file.name.split('.')[0]}.predictions.csv")
    if out.suffix not in (".csv", ".jsonl"):
        raise DataError(Problem(where="--out", found=str(out), allowed="a .csv or .jsonl file"))
    lines = _alone(predictors[0], rows.rows) if adapters is None else _each(adapters, who, rows.rows)
    lines += [_Line(event.source.line, None, "", None, event.reason) for event in rows.events]
    lines.sort(key=lambda line: line.line)
    columns = list(dict.fromkeys(name for p in predictors for name in p.columns))
    write_text(out, _csv(lines, columns, adapters) if out.suffix == ".csv" else _jsonl(lines))
    return out, len(lines)


def _read(source: Path, columns: data_side.Columns) -> data_side.Rows:
    """The rows of a file, with the adapters' names where labels stand."""
    try:
        return data_side.read(source, columns)
    except DataError as error:
        raise DataError(
            *(
                replace(
                    p,
                    where=p.where.replace("label column", "--adapter-column"),
                    to_do=p.to_do.replace("`label:`", "it"),
                )
                for p in error.problems
            )
        ) from None


def _alone(predictor: Predictor, rows: Sequence[Row]) -> list[_Line]:
    found = predictor.predict([r.text or "" for r in rows], [r.pair or "" for r in rows] if predictor.pair else None)
    return [_Line(row.source.line, row.text, "", p, "") for row, p in zip(rows, found, strict=True)]


def _each(adapters: Adapters, who: Answerers, rows: Sequence[Row]) -> list[_Line]:
    """Each row by the adapter that its cell names (the run's own where it is empty), or by all."""
    asked = [
        (row, name)
        for row in rows
        for name in (adapters.names if who.column is None else [(row.label or "").strip() or who.name])
    ]
    known = [(row, name) for row, name in asked if name in adapters.names]
    found = iter(adapters.predict([r.text or "" for r, _ in known], [n for _, n in known], [r.pair for r, _ in known]))
    told = f"no such adapter; there are {listed(adapters.names)}"
    return [
        _Line(row.source.line, row.text, n, *((next(found), "") if n in adapters.names else (None, told)))
        for row, n in asked
    ]


def _csv(lines: Sequence[_Line], columns: Sequence[str], adapters: Adapters | None) -> str:
    """A table with the columns of all that answer; what an answer has not stays empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["line", "text", *(["adapter"] if adapters else []), *columns, "problem"])
    for one in lines:
        own = adapters[one.adapter].columns if adapters and one.answer else columns
        cells = dict(zip(own, one.answer.cells(), strict=True)) if one.answer else {}
        first = [one.line, one.text or "", *([one.adapter] if adapters else [])]
        writer.writerow([*first, *(cells.get(name, "") for name in columns), one.problem])
    return buffer.getvalue()


def _jsonl(lines: Sequence[_Line]) -> str:
    def plain(one: _Line) -> dict[str, Any]:
        who = {"adapter": one.adapter} if one.adapter else {}
        answer = {} if one.answer is None else one.answer.as_json()
        return {
            "line": one.line,
            "text": one.text,
            **who,
            **answer,
            **({"problem": one.problem} if one.problem else {}),
        }

    return "".join(json.dumps(plain(one), ensure_ascii=False) + "\n" for one in lines)
