"""Which column is the text, which the label, and what the task is: a guess, with its evidence in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, Problem, closest
from tunewright.data.folders import members
from tunewright.data.rows import AS_FOUND, Columns, Fault, Form, Table, UnfitError, as_text
from tunewright.data.tables import open_table

_SAMPLE = 20_000
_TEXT = ("text", "sentence", "review", "tweet", "message", "comment", "content", "utterance", "body", "document",
         "question", "query", "prompt", "instruction", "input", "description", "premise", "title",
         "文本", "评论", "内容", "句子", "正文", "评价", "问题")  # fmt: skip
_LABEL = ("label", "labels", "sentiment", "category", "class", "intent", "target", "emotion", "topic", "gold", "tag",
          "rating", "stars", "score", "truth", "polarity", "标签", "类别", "情感", "分类")  # fmt: skip
_PAIRS = (("sentence1", "sentence2"), ("text1", "text2"), ("question1", "question2"), ("premise", "hypothesis"),
          ("text_a", "text_b"), ("sentence_a", "sentence_b"), ("question", "passage"), ("query", "passage"),
          ("query", "document"), ("question", "sentence"), ("sentence", "sentence2"), ("text", "text_pair"),
          ("text", "pair"))  # fmt: skip
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_SEVERAL = re.compile(r"\d+(,\d+)+")


@dataclass(frozen=True)
class Guess:
    """What a file seems to hold. `text` or `label` is None where no column will do; `task` is then None too.

    `task` is classification or regression; `header` is None where the format names its columns itself.
    """

    format: str
    delimiter: str | None
    header: bool | None
    encoding: str
    columns: tuple[str, ...]
    text: str | None
    label: str | None
    pair: str | None
    task: str | None
    rows: int
    evidence: tuple[str, ...]

    def wanted(self) -> Columns:
        """The guess as columns to read.

        Raises:
            DataError: no text column was found.
        """
        if self.text is None:
            raise DataError(
                Problem(where="text column", found="no column looks like a text",
                        allowed=", ".join(self.columns), to_do="set `text:` and `label:` yourself")
            )  # fmt: skip
        return Columns(self.text, self.label, self.pair)


@dataclass(frozen=True)
class _Facts:
    """What a column's values look like; `filled` is their number without the empty ones."""

    name: str
    place: int
    rows: int
    filled: int
    distinct: int
    length: float
    words: float
    numbers: float
    fractions: bool
    several: bool


def guess(path: str | Path, form: Form = AS_FOUND, *, text: str | None = None, label: str | None = None) -> Guess:
    """Look at the first 20,000 rows of a file (of a folder's training file) and say what they seem to be.

    `text` and `label` are columns that are known: the rest is guessed around them.

    Raises:
        DataError: the file cannot be read as any format, or has no such column.
    """
    found = members(Path(path))
    member = next((m for m in found if m.split == "train"), found[0])
    given = tuple(name for name in (text, label) if name is not None)
    table = open_table(member.path, form, given or None)
    rows = [item[0] for item in islice(table.items, _SAMPLE) if not isinstance(item, Fault)]
    names = _names(table, rows)
    facts = [_facts(name, i, [_cell(row, name, i) for row in rows]) for i, name in enumerate(names)]
    evidence = list(table.notes)
    known = _given(facts, {"text": text, "label": label}, path, evidence)
    free = [f for f in facts if f is not known["label"]]
    texts = known["text"] or _text(free, evidence)
    pair = _pair(free, texts, rows, table.header is False and len(facts) == 3, evidence)
    if known["text"] is None and texts is not None and pair is not None and pair.place < texts.place:
        texts, pair = pair, texts
    labels = known["label"] or _label([f for f in facts if f not in (texts, pair)], evidence)
    task = _task(labels, evidence) if texts is not None else None
    return Guess(
        format=table.format,
        delimiter=table.delimiter,
        header=table.header,
        encoding=table.encoding,
        columns=names,
        text=texts.name if texts else None,
        label=labels.name if labels else None,
        pair=pair.name if pair else None,
        task=task,
        rows=len(rows),
        evidence=tuple(evidence),
    )


def _given(
    facts: Sequence[_Facts], wanted: Mapping[str, str | None], path: str | Path, evidence: list[str]
) -> dict[str, _Facts | None]:
    """The columns that somebody named."""
    by_name = {f.name: f for f in facts}
    problems = [
        Problem(where=f"{path}, {what} column", found=f"there is no column {name!r}",
                allowed=", ".join(by_name), to_do=closest(name, by_name) or "choose one of these")
        for what, name in wanted.items()
        if name is not None and name not in by_name
    ]  # fmt: skip
    if problems:
        raise DataError(*problems)
    evidence += [f"{what} {name!r}: as asked" for what, name in wanted.items() if name is not None]
    return {what: None if name is None else by_name[name] for what, name in wanted.items()}


def _names(table: Table, rows: Sequence[Any]) -> tuple[str, ...]:
    if table.columns is not None:
        return table.columns
    return tuple(dict.fromkeys(str(name) for row in rows[:1000] for name in row))


def _cell(row: Any, name: str, place: int) -> str | None:
    value = row.get(name) if isinstance(row, dict) else row[place]
    try:
        return as_text(value, name)
    except UnfitError:
        return None


def _facts(name: str, place: int, values: Sequence[str | None]) -> _Facts:
    filled = [value for value in values if value and value.strip()]
    n = max(len(filled), 1)
    numbers = [value for value in filled if _NUMBER.fullmatch(value.strip())]
    return _Facts(
        name=name,
        place=place,
        rows=len(values),
        filled=len(filled),
        distinct=len(set(filled)),
        length=sum(map(len, filled)) / n,
        words=sum(len(value.split()) for value in filled) / n,
        numbers=len(numbers) / n,
        fractions=any("." in value and float(value) % 1 for value in numbers),
        several=sum(_SEVERAL.fullmatch(value) is not None for value in filled) > 0.01 * n,
    )


def _named(name: str, known: Sequence[str]) -> int:
    """2 for a known name, 1 for one that has it as a part, else 0."""
    word = name.strip().lower()
    if word in known:
        return 2
    return int(any(part in known for part in re.split(r"[\W_\d]+", word)))


def _few(facts: _Facts) -> bool:
    return 2 <= facts.distinct <= max(2, min(200, 0.2 * facts.filled))


def _is_text(facts: _Facts) -> bool:
    return (
        facts.filled > 0.5 * facts.rows
        and facts.numbers < 0.5
        and (facts.distinct > 0.3 * facts.filled or (_named(facts.name, _TEXT) == 2 and facts.length >= 15))
        and (facts.length >= 15 or facts.words >= 2.5 or _named(facts.name, _TEXT) == 2)
    )


def _text(facts: Sequence[_Facts], evidence: list[str]) -> _Facts | None:
    candidates = [f for f in facts if _is_text(f) and _named(f.name, _LABEL) < 2]
    if not candidates:
        evidence.append("no column holds texts")
        return None

    def rank(f: _Facts) -> tuple[int, int, float]:
        known = _named(f.name, _TEXT)
        exact = _TEXT.index(f.name.strip().lower()) if known == 2 else len(_TEXT)
        return known, -exact, f.length

    best = max(candidates, key=rank)
    why = "its name says so" if _named(best.name, _TEXT) == 2 else "its values are the longest texts"
    evidence.append(f"text {best.name!r}: {why}; {best.length:.0f} characters on average, {best.distinct} distinct")
    return best


def _pair(
    facts: Sequence[_Facts], text: _Facts | None, rows: Sequence[Any], nameless: bool, evidence: list[str]
) -> _Facts | None:
    if text is None:
        return None
    by_name = {f.name.strip().lower(): f for f in facts}
    for first, second in _PAIRS:
        one, two = by_name.get(first), by_name.get(second)
        if one and two and text in (one, two) and _is_text(one) and _is_text(two):
            evidence.append(f"pair: {one.name!r} and {two.name!r} are the usual names of a pair of texts")
            return two if one is text else one
    others = [f for f in facts if f is not text and _is_text(f) and f.words >= 2.5]
    if nameless and len(others) == 1:
        other = others[0]
        inside = sum(_inside(row[other.place], row[text.place]) for row in rows)
        if inside < 0.2 * len(rows):
            evidence.append(f"pair {other.name!r}: the only other column of texts, and not a part of {text.name!r}")
            return other
    return None


def _inside(one: str, two: str) -> bool:
    return one.strip() in two or two.strip() in one


def _label(facts: Sequence[_Facts], evidence: list[str]) -> _Facts | None:
    def usable(f: _Facts) -> bool:
        rating = f.fractions and f.numbers > 0.99
        named = _named(f.name, _LABEL) == 2 and 2 <= f.distinct <= f.filled / 2
        return f.filled > 0.5 * f.rows and (_few(f) or rating or named or (f.several and f.distinct < f.filled / 2))

    def rank(f: _Facts) -> tuple[int, bool, int, int]:
        return _named(f.name, _LABEL), f.name.strip().lower() in _LABEL, -f.distinct, f.place

    candidates = [f for f in facts if usable(f) and f.length < 100]
    if not candidates:
        evidence.append("no column holds labels: none has few distinct values")
        return None
    best = max(candidates, key=rank)
    why = "its name says so; " if _named(best.name, _LABEL) else ""
    others = [repr(f.name) for f in candidates if f is not best]
    more = f"; others that would do: {', '.join(others)}" if others else ""
    evidence.append(f"label {best.name!r}: {why}{best.distinct} distinct values in {best.filled} rows{more}")
    return best


def _task(label: _Facts | None, evidence: list[str]) -> str | None:
    if label is None:
        return None
    if label.numbers > 0.99 and label.fractions and label.distinct > 5:
        evidence.append("regression: the labels are numbers with fractions")
        return "regression"
    if label.several:
        evidence.append(
            "some labels are lists of numbers (several labels a row): each list counts as a class of its own"
        )
    evidence.append(f"classification: {label.distinct} classes")
    return "classification"
