"""Rows to splits: clean, check, compare and divide, with a ledger that must balance after every stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tunewright.core.errors import DataError, Problem, counted
from tunewright.core.records import Annotation, Ledger, Record
from tunewright.data import manifest
from tunewright.data.clean import drop_empty, identify
from tunewright.data.duplicates import drop_duplicates, remove_leaked, resolve_conflicts
from tunewright.data.journal import Draft, Example, Journal, Quarantined
from tunewright.data.options import Options
from tunewright.data.rows import FileFacts, Rows, UnfitError
from tunewright.data.splits import assign, limit_rows, method
from tunewright.data.steps import NO_MODELS, Models, Phase, Room, RowStep
from tunewright.data.steps.standard import STANDARD
from tunewright.data.steps.texts import apply
from tunewright.data.targets import Target, target_of


@dataclass(frozen=True)
class Defect:
    """A kind of defect that was met: how often, and the first rows that show it."""

    count: int
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Prepared:
    """What training and evaluation use, and what became of the rest.

    `splits` has train, validation and test, each in reading order; `labels` are the classes or labels, sorted, or
    the targets; `target` is the kind of answer with what was found out about it; `warnings` are doubts that stop
    nothing, `notes` what was found out about the files. `manifest` is the split of each content's key, before steps of
    train; `found` what steps found out, by their names.
    """

    splits: Mapping[str, list[Record]]
    labels: tuple[str, ...]
    unlabelled: list[Record]
    quarantined: list[Quarantined]
    ledger: Ledger
    defects: Mapping[str, Defect]
    method: str
    target: Target
    files: tuple[FileFacts, ...] = ()
    warnings: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    manifest: Mapping[str, str] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Labelled:
    """Rows with clean texts, ids, and answers in canonical form (None where nobody gave one)."""

    drafts: list[Draft]
    journal: Journal
    target: Target
    errors: list[Problem]
    warnings: list[Problem]
    notes: tuple[str, ...]


def labelled(rows: Rows, options: Options) -> Labelled:
    """The first stages: texts cleaned, empty ones left out, ids given, answers read."""
    target = target_of(options).read_as(rows.forms)
    journal = _opened(rows, target)
    drafts = [
        Draft(row.text, row.label, row.pair, row.source, row.split, group=row.group, time=row.time, item=row.item,
              annotations=() if row.by is None else (Annotation(row.by, row.label or "", row.time),))
        for row in rows.rows
    ]  # fmt: skip
    texts = [step for step in steps_of(options) if step.phase == "texts"]
    drafts = drop_empty(apply(texts, drafts, target, journal), journal)
    identify(drafts)
    settled = target.settle(drafts, journal)
    for draft in settled.drafts:  # what was said is in the canonical form too
        if draft.annotations:
            said = () if draft.label is None else (replace(draft.annotations[0], label=draft.label),)
            draft.annotations = said
    return Labelled(settled.drafts, journal, settled.target, settled.errors, settled.warnings, settled.notes)


def prepare(rows: Rows, options: Options, seed: int, models: Models = NO_MODELS) -> Prepared:
    """Clean, check and split the rows.

    Cost: about 25 microseconds a row of 60 characters on one core; with reading, some 800 bytes a row.

    Args:
        models: what the recipe names for steps that need one.

    Raises:
        DataError: labels that differ by a space, one class, a class of a single row, fewer than ten rows, numbers
            that do not vary, labels of which most are no answers of the task's kind; all at once.
    """
    given = {row.split for row in rows.rows if row.split in ("validation", "test")}
    given_names = {name for name in given if name is not None}
    found = labelled(rows, options)
    target, journal, drafts, unlabelled = found.target, found.journal, found.drafts, list[Draft]()
    room, steps = Room(journal, target, seed, options.base, models), steps_of(options)
    drafts = carried_out("labels", steps, drafts, room)
    if target.needs_label:
        drafts, unlabelled = set_aside_unlabelled(drafts, journal)
    drafts = resolve_conflicts(drafts, options.conflicts, target, journal)
    if options.duplicates:
        drafts = drop_duplicates(drafts, journal)
    drafts = carried_out("rows", steps, drafts, room)
    drafts = limit_rows(drafts, options.limit, seed, journal)
    problems = [*found.errors, *target.refuse(drafts)]
    if problems:
        raise DataError(*problems, *_torn(journal), *_lost(journal, target))
    splits = remove_leaked(_divided(drafts, options, seed, given_names, journal), journal)
    if not splits["train"]:
        raise DataError(
            Problem(where="data", found="no row is left for train", to_do="bring more rows, or see the ledger")
        )
    splits, unknown = target.measurable(splits, journal)
    frozen = manifest.of(splits)
    room = replace(room, held=[*splits["validation"], *splits["test"]], unlabelled=unlabelled)
    journal.beside = len(room.held)
    splits["train"] = carried_out("train", steps, splits["train"], room)
    return Prepared(
        splits={name: [draft.record() for draft in part] for name, part in splits.items()},
        labels=target.names(splits),
        unlabelled=[draft.record() for draft in unlabelled],
        quarantined=journal.quarantined,
        ledger=journal.ledger,
        defects={code: Defect(count, tuple(journal.examples[code])) for code, count in journal.counts.items()},
        method=method(seed, options.shares, given_names, options.division),
        target=target,
        files=tuple(rows.files),
        warnings=(*found.warnings, *unknown, *target.doubts(splits)),
        notes=(*rows.notes, *found.notes),
        manifest=frozen,
        found=room.found,
    )


def steps_of(options: Options) -> tuple[Any, ...]:
    """The steps that the options name, or those that are done as a rule."""
    return STANDARD if options.steps is None else options.steps


def carried_out(phase: Phase, steps: Sequence[RowStep], drafts: list[Draft], room: Room) -> list[Draft]:
    """The rows after the steps of one phase, in their order."""
    for step in steps:
        if step.phase == phase:
            drafts = step(drafts, room)
    return drafts


def _divided(
    drafts: list[Draft], options: Options, seed: int, given: Collection[str], journal: Journal
) -> dict[str, list[Draft]]:
    """The rows by split; closes the stage."""
    path = options.division.manifest
    before = manifest.read(Path(path)) if path is not None else {}
    divided = assign(drafts, seed, options.shares, given, options.division, before)
    for draft in divided.bridges:
        journal.note("split", "dropped", "bridges_splits", draft, "near rows of two splits of the manifest")
    journal.close("split", len(drafts), sum(len(part) for part in divided.splits.values()))
    return divided.splits


def answers(rows: Rows, options: Options) -> list[tuple[str | None, str]]:
    """What each row's label says in its canonical form, without any of the stages: for rows to be judged on.

    Returns:
        For each row its answer and "", or None and the reason code: `missing_label`, or why it is no answer.
    """
    target = target_of(options).found_out({row.label for row in rows.rows if row.label and row.label.strip()})
    found: list[tuple[str | None, str]] = []
    for row in rows.rows:
        try:
            answer = target.answer(row.label) if row.label and row.label.strip() else None
            found.append((answer, "" if answer is not None else "missing_label"))
        except UnfitError as unfit:
            found.append((None, unfit.reason))
    return found


def _lost(journal: Journal, target: Target) -> list[Problem]:
    """Of a run that is refused: why most rows were set aside, where it is one reason."""
    why = Counter(row.reason for row in journal.quarantined if row.reason != target.conflict)
    reason, n = why.most_common(1)[0] if why else ("", 0)
    if 2 * n <= journal.ledger.stages[0].entered:
        return []
    first = next(row for row in journal.quarantined if row.reason == reason)
    return [
        Problem(where=f"{first.source.file}, line {first.source.line}", found=first.detail or reason.replace("_", " "),
                to_do=f"so it is with {counted(n, 'row')}: check the columns and the task")
    ]  # fmt: skip


def _torn(journal: Journal) -> list[Problem]:
    """Of a run that is refused: whether it is so because most rows stand under conflicting answers."""
    stage = next(stage for stage in journal.ledger.stages if stage.name == "conflicts")
    if 2 * stage.quarantined <= stage.entered:
        return []
    of = f"{stage.quarantined:,} of {counted(stage.entered, 'row')}"
    return [
        Problem(where="data.conflicts", found=f"{of} set aside: one text with different answers",
                to_do="conflicts: majority takes what most say, keep takes all")
    ]  # fmt: skip


def set_aside_unlabelled(drafts: list[Draft], journal: Journal) -> tuple[list[Draft], list[Draft]]:
    """Part the rows that have a label from those that have none."""
    labelled = [draft for draft in drafts if draft.label is not None]
    unlabelled = [draft for draft in drafts if draft.label is None]
    for draft in unlabelled:
        journal.note("unlabelled", "dropped", "missing_label", draft, "kept aside as unlabelled")
    journal.close("unlabelled", len(drafts), len(labelled))
    return labelled, unlabelled


def _opened(rows: Rows, target: Target) -> Journal:
    """A journal with the stage of reading closed."""
    journal = Journal(open=[*rows.events, *rows.changes], shown=target.shown)
    for change in rows.changes:
        journal.show(change.reason, change.source, "", change.detail)
    for event in rows.events:
        journal.show(event.reason, event.source, "", event.detail)
        if event.outcome == "quarantined":
            journal.quarantined.append(Quarantined(event.source, event.reason, event.detail))
    journal.close("read", rows.entered, len(rows.rows))
    return journal
