"""Rows cleaned by steps of texts and written, with a ledger beside them; a batch at a time, in bounded memory.

The ledger is two files: `OUT.ledger.json` with the sums of every stage, `OUT.ledger.jsonl` with a line for every row that
something happened to. Steps of other phases (duplicates, splits, labels) see all rows and belong to `data check` and to runs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from tunewright.core import registry
from tunewright.core.conversations import messages, reply, tools
from tunewright.core.errors import DataError, Problem, RecipeError
from tunewright.core.files import beside, write_json
from tunewright.core.records import Annotation, Event, Stage
from tunewright.curating import Opened
from tunewright.data import Rows, Target
from tunewright.data.batches import BATCH
from tunewright.data.clean import drop_empty
from tunewright.data.journal import Draft, Example, Journal
from tunewright.data.prepare import steps_of
from tunewright.data.reading import read_batches
from tunewright.data.remote import placed
from tunewright.data.row_files import check_ending, writing
from tunewright.data.steps import TextStep
from tunewright.data.steps.texts import apply
from tunewright.data.targets import target_of

_NESTED = ("chat", "preference", "reward", "token_classification")
_BESIDE = ("pair", "group", "time", "by", "item")
_EXAMPLES = 3
_WHOLE = 2**60
_encode = json.JSONEncoder(ensure_ascii=False).encode


@dataclass
class Cleaned:
    """What came of it: the steps, the sums of each stage, the first rows of each reason, and the files."""

    steps: list[Any]
    out: str
    ledger: str
    rows: int = 0
    stages: dict[str, dict[str, int]] = field(default_factory=dict)
    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def sums(self) -> list[dict[str, Any]]:
        """The stages as the ledger says them."""
        return [
            {"name": name, **sums, "reasons": dict(self.reasons[name]),
             "balances": sums["in"] + sums["added"] == sums["out"] + sums["dropped"] + sums["quarantined"]}
            for name, sums in self.stages.items()
        ]  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"out": self.out, "ledger": self.ledger, "rows": self.rows, "steps": self.steps, "stages": self.sums(),
                "steps_left_out": self.left_out,
                "examples": {code: [one.as_json() for one in rows] for code, rows in self.examples.items()}}  # fmt: skip

    def enter(self, stages: Sequence[Stage], examples: dict[str, list[Example]]) -> None:
        """Add what a batch's journal says."""
        for s in stages:
            found = {
                "in": s.entered,
                "added": s.added,
                "out": s.left,
                "dropped": s.dropped,
                "quarantined": s.quarantined,
            }
            sums = self.stages.setdefault(s.name, dict.fromkeys([*found, "changed"], 0))
            for name, n in {**found, "changed": s.changed}.items():
                sums[name] += n
            self.reasons.setdefault(s.name, Counter()).update(s.reasons)
        for code, rows in examples.items():
            known = self.examples.setdefault(code, [])
            known += rows[: _EXAMPLES - len(known)]


def asked(specs: Sequence[str]) -> tuple[Any, ...]:
    """Steps as the command line writes them: `html`, `urls: remove`, `{length: {least_words: 3}}`.

    Raises:
        RecipeError: with all that is wrong.
    """
    built, problems = list[Any](), list[Problem]()
    for i, spec in enumerate(specs):
        try:
            step = registry.build("step", yaml.safe_load(spec), f"--step[{i}]")
            if step.phase != "texts":
                allowed = sorted(name for name, cls in registry.members("step").items() if cls.phase == "texts")  # type: ignore[attr-defined]
                problems.append(
                    Problem(where=f"--step[{i}]", found=f"{spec!r} works on all rows together", allowed=", ".join(allowed),
                            to_do="put it into a recipe's data.steps, and use `data check`")
                )  # fmt: skip
            built.append(step)
        except RecipeError as error:
            problems.extend(error.problems)
        except yaml.YAMLError:
            problems.append(
                Problem(where=f"--step[{i}]", found=repr(spec), allowed="a name, or `name: value`, as in a recipe")
            )
    if problems:
        raise RecipeError(*problems)
    return tuple(built)


def clean(opened: Opened, out: Path, steps: Sequence[Any] | None = None, size: int = BATCH) -> Cleaned:
    """Write the rows of a source, cleaned, to `out`, and the ledger beside it.

    Args:
        opened: the recipe or file.
        out: .jsonl, .csv, .tsv or .parquet; conversations and spans .jsonl.
        steps: of the phase "texts"; None for those of the recipe, of a file the usual ones.
        size: how many rows at a time.

    Raises:
        DataError: a file cannot be read, or no row is left. RecipeError: `out` is one of the files that are read, or no file of
            a known kind. StorageError: it cannot be written; nothing half-written stays.
    """
    options = opened.options
    target = target_of(options)
    check_ending(out, options.task in _NESTED)
    chosen = list(steps_of(options) if steps is None else steps)
    texts: list[TextStep] = [step for step in chosen if step.phase == "texts"]
    paths = [str(placed(path, opened.base)) for path in (*options.train, *options.validation, *options.test)]
    if any(Path(path).exists() and out.exists() and Path(path).samefile(out) for path in paths):
        raise RecipeError(
            Problem(where="--out", found=f"{out} is read", allowed="another file", to_do="choose another name")
        )
    ledger = out.with_name(f"{out.name}.ledger.jsonl")
    done = Cleaned(
        registry.dump(texts),
        str(out),
        str(ledger),
        left_out=[registry.name_of(s) for s in chosen if s.phase != "texts"],
    )
    whole = options.task == "token_classification"
    batches = chain.from_iterable(
        read_batches(path, options.columns, options.form, _WHOLE if whole else size, target=target) for path in paths
    )
    columns = _columns(opened, texts)
    with (
        beside(ledger) as told,
        told.open("w", encoding="utf-8", newline="\n") as events,
        writing(out, list(columns.values())) as put,
    ):
        for drafts, journal in _cleaned(batches, texts, target, whole):
            put([_row(draft, columns, options.task) for draft in drafts])
            events.writelines(_encode(_event(event)) + "\n" for event in journal.ledger.events)
            done.enter(journal.ledger.stages, journal.examples)
            done.rows += len(drafts)
        if not done.rows:
            raise DataError(
                Problem(
                    where="data clean",
                    found="no row is left",
                    to_do="loosen the steps, or look at the columns that are read",
                )
            )
    write_json(out.with_name(f"{out.name}.ledger.json"), {"steps": done.steps, "stages": done.sums()})
    return done


def _cleaned(
    batches: Iterator[Rows], steps: Sequence[TextStep], target: Target, whole: bool
) -> Iterator[tuple[list[Draft], Journal]]:
    """Each batch's rows after the steps, with a journal of its own."""
    for rows in batches:
        own = target.read_as(rows.forms)
        journal = Journal(open=[*rows.events, *rows.changes], shown=own.shown)
        journal.close("read", rows.entered, len(rows.rows))
        drafts = [
            Draft(r.text, r.label, r.pair, r.source, r.split, group=r.group, time=r.time, item=r.item,
                  annotations=() if r.by is None else (Annotation(r.by, r.label or "", r.time),))
            for r in rows.rows
        ]  # fmt: skip
        drafts = drop_empty(apply(steps, drafts, own, journal), journal)
        yield (own.settle(drafts, journal).drafts if whole else drafts), journal


def _columns(opened: Opened, steps: Sequence[TextStep]) -> dict[str, str]:
    """Which of a row's fields are written, and what their columns are called: as in the file where that has names."""
    columns = opened.options.columns
    label = columns.labels[0] if len(columns.labels) == 1 else None
    given = {"text": columns.text, "label": label, **{name: getattr(columns, name) for name in _BESIDE}}
    named = {
        own: own if name is None or name.isdecimal() else name  # a file without a header names its columns by position
        for own, name in given.items()
        if name is not None or own in ("text", "label")
    }
    if any(getattr(step, "policy", "") == "flag" for step in steps):
        named["flags"] = "flags"
    if opened.options.task == "language_modeling":
        del named["label"]
    return named


def _row(draft: Draft, columns: dict[str, str], task: str) -> dict[str, Any]:
    """A row as it is written: nested ones as they are read again."""
    if task in _NESTED:
        flags = {"flags": list(draft.flags)} if draft.flags else {}
        return {**_nested(draft, task), **flags}
    by = draft.annotations[0].by if draft.annotations else None
    values = {"text": draft.text, "label": draft.label, "pair": draft.pair, "group": draft.group, "time": draft.time,
              "by": by, "item": draft.item, "flags": " ".join(draft.flags) or None}  # fmt: skip
    return {name: values[field_name] for field_name, name in columns.items()}


def _nested(draft: Draft, task: str) -> dict[str, Any]:
    if task == "token_classification":
        return {"text": draft.text, "spans": json.loads(draft.label or "[]")}
    said, declared = messages(draft.text), tools(draft.text)
    more = {"tools": declared} if declared else {}
    if task == "chat":
        return {"messages": said if draft.label is None else [*said, reply(draft.label)], **more}
    return {"prompt": said, **json.loads(draft.label or "{}"), **more}


def _event(event: Event) -> dict[str, Any]:
    place = event.source
    return {"stage": event.stage, "outcome": event.outcome, "reason": event.reason, "record": event.record,
            "file": place.file, "line": place.line, "offset": place.offset, "detail": event.detail}  # fmt: skip
