"""Labels: mapped where the recipe says so, never merged by guess; rows without one are kept aside."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from tunewright.core.errors import Problem, closest, counted, listed
from tunewright.data.journal import Draft, Journal, folded

FEW = 5
LEAST_ROWS = 10


def map_labels(
    drafts: list[Draft], label_map: Mapping[str, str], journal: Journal
) -> tuple[list[Draft], list[Problem], list[Problem]]:
    """Apply the map, strip lone variants, set labels of given splits that train lacks aside.

    Returns:
        The rows that go on, the problems that must stop the run, and those worth a warning.
    """
    counts = Counter(draft.label for draft in drafts if draft.label is not None and draft.label.strip())
    errors = _near(counts, label_map)
    unused = [name for name in label_map if name not in counts]
    warnings = [
        Problem(where="data.label_map", found=f"no row has the label {name!r}", allowed=listed(sorted(counts)),
                to_do=closest(name, counts) or "remove it")
        for name in unused
    ]  # fmt: skip
    for draft in drafts:
        if draft.label is None or not draft.label.strip():
            draft.label = None
            continue
        mapped = label_map.get(draft.label)
        label = draft.label.strip() if mapped is None else mapped
        if label != draft.label:
            reason = "label_space" if mapped is None else "label_map"
            journal.note("label", "changed", reason, draft, f"{draft.label!r} became {label!r}")
            draft.label = label
    left = _known_in_train(drafts, journal)
    journal.close("label", len(drafts), len(left))
    return left, errors, warnings + _unknown(journal)


def set_aside_unlabelled(drafts: list[Draft], journal: Journal) -> tuple[list[Draft], list[Draft]]:
    """Part the rows that have a label from those that have none."""
    labelled = [draft for draft in drafts if draft.label is not None]
    unlabelled = [draft for draft in drafts if draft.label is None]
    for draft in unlabelled:
        journal.note("unlabelled", "dropped", "missing_label", draft, "kept aside as unlabelled")
    journal.close("unlabelled", len(drafts), len(labelled))
    return labelled, unlabelled


def refuse(drafts: Sequence[Draft], column: str) -> tuple[list[Problem], list[Problem]]:
    """What makes training on these labels impossible, and what makes it doubtful."""
    counts = Counter(draft.label or "" for draft in drafts)
    where = f"data, label column {column!r}"
    errors = []
    if len(drafts) < LEAST_ROWS:
        errors.append(
            Problem(where="data", found=counted(len(drafts), "usable row"), allowed=f"at least {LEAST_ROWS}",
                    to_do="see the ledger for what became of the others, or bring more rows")
        )  # fmt: skip
    if len(counts) == 1:
        errors.append(
            Problem(where=where, found=f"every row has the label {next(iter(counts))!r}",
                    allowed="at least two classes", to_do="check that this is the label column")
        )  # fmt: skip
    lonely = sorted(label for label, count in counts.items() if count < 2)
    if lonely and len(counts) > 1:
        errors.append(
            Problem(where=where, found=f"classes of a single row: {listed([repr(name) for name in lonely])}",
                    allowed=f"at least 2 rows a class, better {FEW} and more",
                    to_do="bring more rows of them, or merge them by `label_map`")
        )  # fmt: skip
    return errors, []


def few_in_train(splits: Mapping[str, Sequence[Draft]], column: str) -> list[Problem]:
    """A warning for each class that has fewer than five rows to learn from, or none to be measured on."""
    counts = {name: Counter(draft.label or "" for draft in rows) for name, rows in splits.items()}
    labels = sorted(set().union(*counts.values())) if counts else []
    where = f"data, label column {column!r}"
    warnings = [
        Problem(where=where, found=f"class {label!r} has {counted(counts['train'][label], 'row')} in train",
                allowed=f"at least {FEW}", to_do="bring more rows of it; its figures will say little")
        for label in labels
        if counts["train"][label] < FEW
    ]  # fmt: skip
    for name in ("validation", "test"):
        without = [repr(label) for label in labels if splits[name] and not counts[name][label]]
        if without:
            warnings.append(
                Problem(where=where, found=f"no row of {listed(without)} in {name}",
                        to_do="nothing is moved, so that the split stays stable; these classes go unmeasured there")
            )  # fmt: skip
    return warnings


def _near(counts: Counter[str], label_map: Mapping[str, str]) -> list[Problem]:
    """Labels that differ by case or white space alone and that the map does not settle."""
    groups: dict[str, list[str]] = defaultdict(list)
    for label in sorted(counts):
        groups[folded(label_map.get(label, label))].append(label)
    problems = []
    for group in groups.values():
        open_ones = [label for label in group if label not in label_map]
        ends = {label_map.get(label, label) for label in group}
        if len(ends) < 2 or not open_ones:
            continue
        best = max(group, key=lambda label: (label == label.strip(), counts[label]))
        target = label_map.get(best, best).strip()
        wanted = ", ".join(
            f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(target, ensure_ascii=False)}"
            for name in group
            if name != target
        )
        shown = ", ".join(f"{name!r} ({counted(counts[name], 'row')})" for name in group)
        problems.append(
            Problem(where="data, labels", found=f"near_label: {shown} differ by case or white space alone",
                    allowed="labels that are clearly different, or a map that merges them",
                    to_do=f"write `label_map: {{{wanted}}}`")
        )  # fmt: skip
    return problems


def _known_in_train(drafts: list[Draft], journal: Journal) -> list[Draft]:
    known = {draft.label for draft in drafts if draft.split in (None, "train")} - {None}
    left = []
    for draft in drafts:
        if draft.split in (None, "train") or draft.label is None or draft.label in known:
            left.append(draft)
            continue
        hint = closest(draft.label, [name for name in known if name is not None])
        journal.note("label", "quarantined", "unknown_label", draft, f"{draft.label!r} is not in train. {hint}".strip())
    return left


def _unknown(journal: Journal) -> list[Problem]:
    details = Counter(q.detail for q in journal.quarantined if q.reason == "unknown_label")
    return [
        Problem(where="data, labels", found=f"unknown_label: {detail} ({counted(count, 'row')} set aside)",
                to_do="map it by `label_map`, or bring rows of it to train")
        for detail, count in details.items()
    ]  # fmt: skip
