"""Which column is the text, which the label, and what the task is: a guess, with its evidence in words."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, Problem, closest
from tunewright.data.compressed import parted
from tunewright.data.facts import Facts, cell, facts_of
from tunewright.data.folders import Member, is_text, members, parallel
from tunewright.data.plain import open_parallel, open_text
from tunewright.data.recognition import (
    Recognised,
    beside,
    conversation_in,
    documents,
    refuse_unknown,
    several_texts,
    table_like,
)
from tunewright.data.remote import is_remote
from tunewright.data.rows import AS_FOUND, Columns, Fault, Form, Table
from tunewright.data.span_guess import found_spans
from tunewright.data.tables import open_member, open_table
from tunewright.data.targets import FINDS_COLUMNS

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
_QUANTITY = ("score", "rating", "similarity", "price", "value", "amount", "grade", "points", "得分", "评分", "价格")
_LEAST_FLAGS = 3
SPANS = "token_classification"


@dataclass(frozen=True)
class Guess:
    """What a file seems to hold. `text` or `label` is None where no column will do; `task` is then None too.

    `task` is classification, multilabel, regression, token_classification, chat, preference, seq2seq or
    language_modeling; `label` is several columns where each says 0 or 1 of a label of its own; `separator` stands between
    several labels in a cell; `header` is None where the format names its columns itself; `conversation` is the form of
    rows that was recognised, and columns that need not be named are None. `path` is set where parallel files shall be
    named by their stem.
    """

    format: str
    delimiter: str | None
    header: bool | None
    encoding: str
    columns: tuple[str, ...]
    text: str | None
    label: str | tuple[str, ...] | None
    pair: str | None
    task: str | None
    rows: int
    evidence: tuple[str, ...]
    separator: str | None = None
    conversation: str | None = None
    path: str | None = None

    def wanted(self) -> Columns:
        """The guess as columns to read.

        Raises:
            DataError: no text column was found.
        """
        if self.text is None and self.task not in FINDS_COLUMNS:
            raise DataError(
                Problem(where="text column", found="no column looks like a text",
                        allowed=", ".join(self.columns), to_do="set `text:` and `label:` yourself")
            )  # fmt: skip
        return Columns(self.text, self.label, self.pair)


def guess(
    path: str | Path,
    form: Form = AS_FOUND,
    *,
    text: str | None = None,
    label: str | Sequence[str] | None = None,
    task: str | None = None,
) -> Guess:
    """Look at the first 20,000 rows of a file (of a folder's training file) and say what they seem to be.

    `text`, `label` (one column or several) and `task` are known where they are given: the rest is guessed around them.

    Raises:
        DataError: the file cannot be read as any format, or has no such column.
    """
    wanted = () if label is None else (label,) if isinstance(label, str) else tuple(label)
    known = Columns(text, wanted[0] if len(wanted) == 1 else wanted or None)
    plain = None if is_remote(path) else _plain(Path(path), form, known, task)
    if plain is not None:
        return plain
    found = members(path)
    member = next((m for m in found if m.split == "train"), found[0])
    table = open_member(member, form, known.names or None)
    items = list(islice(table.items, _SAMPLE))
    rows = [item[0] for item in items if not isinstance(item, Fault)]
    spans = found_spans(table, rows, text, wanted[0] if wanted else None) if task in (None, SPANS) else None
    if spans is not None:
        return _of_spans(table, rows, *spans)
    facts = None
    if task in WHOLE or (task is None and not known.names):
        whole, facts = _whole(table, rows, known, task)
        if whole is not None:
            return _made(table, rows, whole, known)
        if task in WHOLE:
            refuse_unknown(_sample(table, rows), task, str(member.path))
    guessed = _by_column(path, table, rows, facts or _facts(_names(table, rows), rows), text, wanted, task)
    if task is None and is_text(Path(path)) and not (guessed.task and table_like(len(items) - len(rows), len(rows))):
        return _documents([member], form)
    return guessed


WHOLE = frozenset({"chat", "preference", "reward", "seq2seq", "language_modeling"})
"""Tasks that are recognised by whole rows."""


def _plain(path: Path, form: Form, known: Columns, task: str | None) -> Guess | None:
    """Plain texts where that is what they must be: parallel files, a folder of texts, a text that is no table."""
    if task in (None, "seq2seq"):
        if known.text is not None and len(known.labels) == 1 and parallel(path, (known.text, known.labels[0])):
            return _lines_of(path, Recognised("seq2seq", ("seq2seq: parallel files, as asked",), *known.names), form)
        pair = None if known.names else beside(path)
        if pair is not None:
            return _lines_of(*pair, form)
    if task not in (None, "language_modeling") or not (path.is_dir() or is_text(path)):
        return None
    texts = members(path, texts=True)
    if not all(is_text(m.path) for m in texts):
        return None
    if path.is_dir() or task is not None:
        return _documents(texts, form)
    try:
        open_table(path, form, known.names or None)
    except DataError:
        if known.names or not os.path.getsize(parted(path)[0]):  # noqa: PTH202
            raise
        return _documents(texts, form)
    return None


def _lines_of(stem: Path, found: Recognised, form: Form) -> Guess:
    """The guess for two parallel files."""
    names = (found.text or "", found.label or "")
    member = parallel(stem, names)
    assert member is not None and member.beside is not None
    table = open_parallel(member.path, member.beside, names, form)
    made = _made(table, list(islice(table.items, _SAMPLE)), found, Columns(*names))
    return replace(made, path=str(stem))


def _documents(texts: Sequence[Member], form: Form) -> Guess:
    """The guess for plain texts."""
    if texts[0].whole:
        table = Table((), iter(()), "text")
        return _made(table, texts, documents(texts), Columns())
    first = next((m for m in texts if m.split == "train"), texts[0])
    table = open_text(first.path, form)
    return replace(_made(table, list(islice(table.items, _SAMPLE)), documents(texts), Columns()), columns=())


def _whole(
    table: Table, rows: Sequence[Any], known: Columns, task: str | None
) -> tuple[Recognised | None, list[Facts] | None]:
    """What rows are that are read as a whole, None where their columns must tell; and the columns' facts, if needed."""
    names, sample = _names(table, rows), _sample(table, rows)
    if known.names:
        asked = known.labels[0] if known.labels else None
        return Recognised(task or "", (f"{task}: as asked",), known.text, asked), None
    found = conversation_in(sample, task)
    if found is not None:
        return found, None
    facts = _facts(names, rows)
    texts = [f.name for f in facts if _is_text(f) and not (task is None and _named(f.name, _LABEL) == 2)]
    if task is None and _labels([f for f in facts if f.name not in texts], []):
        return None, facts
    return several_texts(sample, texts, task), facts


def _sample(table: Table, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """The first rows by column."""
    names = _names(table, rows)
    return [row if isinstance(row, dict) else dict(zip(names, row, strict=False)) for row in rows[:200]]


def _made(table: Table, rows: Sequence[Any], found: Recognised, known: Columns) -> Guess:
    """The guess that something recognised is."""
    return Guess(
        format=table.format, delimiter=table.delimiter, header=table.header, encoding=table.encoding,
        columns=_names(table, rows), text=found.text, label=known.label or found.label, pair=None, task=found.task,
        rows=len(rows), evidence=(*table.notes, *found.why), conversation=found.conversation,
    )  # fmt: skip


def _facts(names: Sequence[str], rows: Sequence[Any]) -> list[Facts]:
    return [facts_of(name, i, [cell(row, name, i) for row in rows]) for i, name in enumerate(names)]


def _by_column(
    path: str | Path, table: Table, rows: Sequence[Any], facts: Sequence[Facts], text: str | None, wanted: Sequence[str],
    task: str | None,
) -> Guess:  # fmt: skip
    """The guess for a table in which one column is the text and others are the labels."""
    names = _names(table, rows)
    evidence = list(table.notes)
    known, labels = _given(facts, text, wanted, path, evidence)
    free = [f for f in facts if f not in labels]
    texts = known or _text(free, evidence)
    pair = _pair(free, texts, rows, table.header is False and len(facts) == 3, evidence)
    if known is None and texts is not None and pair is not None and pair.place < texts.place:
        texts, pair = pair, texts
    labels = labels or _labels([f for f in facts if f not in (texts, pair)], evidence)
    if task is not None:
        evidence.append(f"{task}: as asked")
    elif texts is not None:
        task = _task(labels, evidence)
    chosen = tuple(f.name for f in labels)
    return Guess(
        format=table.format,
        delimiter=table.delimiter,
        header=table.header,
        encoding=table.encoding,
        columns=names,
        text=texts.name if texts else None,
        label=None if not chosen else chosen[0] if len(chosen) == 1 else chosen,
        pair=pair.name if pair else None,
        task=task,
        rows=len(rows),
        evidence=tuple(evidence),
        separator=labels[0].separator if len(labels) == 1 and task == "multilabel" else None,
    )


def _of_spans(table: Table, rows: Sequence[Any], text: str, label: str, evidence: tuple[str, ...]) -> Guess:
    return Guess(
        format=table.format,
        delimiter=table.delimiter,
        header=None if table.format == "conll" else table.header,
        encoding=table.encoding,
        columns=_names(table, rows),
        text=text,
        label=label,
        pair=None,
        task=SPANS,
        rows=len(rows),
        evidence=(*table.notes, *evidence),
    )


def _given(
    facts: Sequence[Facts], text: str | None, label: Sequence[str], path: str | Path, evidence: list[str]
) -> tuple[Facts | None, list[Facts]]:
    """The columns that somebody named: the text's and the labels'."""
    by_name = {f.name: f for f in facts}
    wanted = [*([("text", text)] if text is not None else ()), *(("label", name) for name in label)]
    problems = [
        Problem(where=f"{path}, {what} column", found=f"there is no column {name!r}",
                allowed=", ".join(by_name), to_do=closest(name, by_name) or "choose one of these")
        for what, name in wanted if name not in by_name
    ]  # fmt: skip
    if problems:
        raise DataError(*problems)
    evidence += [f"{what} {name!r}: as asked" for what, name in wanted]
    return None if text is None else by_name[text], [by_name[name] for name in label]


def _names(table: Table, rows: Sequence[Any]) -> tuple[str, ...]:
    if table.columns is not None:
        return table.columns
    return tuple(dict.fromkeys(str(name) for row in rows[:1000] for name in row))


def _named(name: str, known: Sequence[str]) -> int:
    """2 for a known name, 1 for one that has it as a part, else 0."""
    word = name.strip().lower()
    if word in known:
        return 2
    return int(any(part in known for part in re.split(r"[\W_\d]+", word)))


def _few(facts: Facts) -> bool:
    """Few enough different values, or different names in the cells, to be labels."""
    return 2 <= facts.names <= max(2, min(200, 0.2 * facts.filled))


def _is_text(facts: Facts) -> bool:
    return (
        facts.filled > 0.5 * facts.rows
        and facts.numbers < 0.5
        and not facts.lists
        and (facts.distinct > 0.3 * facts.filled or (_named(facts.name, _TEXT) == 2 and facts.length >= 15))
        and (facts.length >= 15 or facts.words >= 2.5 or _named(facts.name, _TEXT) == 2)
    )


def _text(facts: Sequence[Facts], evidence: list[str]) -> Facts | None:
    candidates = [f for f in facts if _is_text(f) and _named(f.name, _LABEL) < 2]
    if not candidates:
        evidence.append("no column holds texts")
        return None

    def rank(f: Facts) -> tuple[int, int, float]:
        known = _named(f.name, _TEXT)
        exact = _TEXT.index(f.name.strip().lower()) if known == 2 else len(_TEXT)
        return known, -exact, f.length

    best = max(candidates, key=rank)
    why = "its name says so" if _named(best.name, _TEXT) == 2 else "its values are the longest texts"
    evidence.append(f"text {best.name!r}: {why}; {best.length:.0f} characters on average, {best.distinct} distinct")
    return best


def _pair(
    facts: Sequence[Facts], text: Facts | None, rows: Sequence[Any], nameless: bool, evidence: list[str]
) -> Facts | None:
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


def _labels(facts: Sequence[Facts], evidence: list[str]) -> list[Facts]:
    """The label column, or the columns of 0 and 1; empty where none will do."""

    def usable(f: Facts) -> bool:
        rating = f.fractions and f.numbers > 0.99
        named = _named(f.name, _LABEL) == 2 and 2 <= f.distinct <= f.filled / 2
        return f.filled > 0.5 * f.rows and (_few(f) or rating or named)

    def rank(f: Facts) -> tuple[int, bool, int, int]:
        return _named(f.name, _LABEL), f.name.strip().lower() in _LABEL, -f.names, f.place

    candidates = [f for f in facts if usable(f) and (f.length < 100 or f.several)]
    best = max(candidates, key=rank, default=None)
    flags = _flags(facts)
    if len(flags) >= _LEAST_FLAGS and (best is None or best in flags or not _named(best.name, _LABEL)):
        evidence.append(f"labels: {len(flags)} columns say {' or '.join(sorted(flags[0].flags or ()))}")
        return flags
    if best is None:
        evidence.append("no column holds labels: none has few distinct values")
        return []
    why = "its name says so; " if _named(best.name, _LABEL) else ""
    others = [repr(f.name) for f in candidates if f is not best]
    more = f"; others that would do: {', '.join(others)}" if others else ""
    evidence.append(f"label {best.name!r}: {why}{best.distinct} distinct values in {best.filled} rows{more}")
    return [best]


def _flags(facts: Sequence[Facts]) -> list[Facts]:
    """The columns of two values such as 0 and 1, of which there are the most."""
    kinds = Counter(f.flags for f in facts if f.flags is not None and f.filled > 0.5 * f.rows)
    return [f for f in facts if kinds and f.flags == kinds.most_common(1)[0][0]]


def _task(labels: Sequence[Facts], evidence: list[str]) -> str | None:
    if not labels:
        return None
    task, why = _task_of(labels)
    evidence.append(f"{task}: {why}" if task else why)
    return task


def _task_of(labels: Sequence[Facts]) -> tuple[str | None, str]:
    first = labels[0]
    if len(labels) > 1:
        if all(f.flags is not None for f in labels):
            return "multilabel", f"each of the {len(labels)} columns is a label that a row has or has not"
        if all(f.numbers > 0.99 for f in labels):
            return "regression", f"{len(labels)} targets, each a column of numbers"
        return None, "the label columns are neither all of 0 and 1 nor all of numbers"
    if first.several:
        how = "in lists" if first.lists else f"separated by {first.separator!r}"
        return "multilabel", f"{first.names} labels, up to {first.most} a row, {how}"
    if first.numbers > 0.99 and first.fractions and first.distinct > 5:
        return "regression", "the labels are numbers with fractions"
    if first.numbers > 0.99 and first.distinct > 20 and _named(first.name, _QUANTITY):
        return "regression", "the labels are many different numbers, and the column is named like a quantity"
    return "classification", f"{first.distinct} classes"
