"""Names of classes and labels: never merged by guess, only by the recipe's map."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping

from tunewright.core.errors import Problem, closest, counted, listed
from tunewright.data.journal import Journal, folded

FEW = 5


def near_labels(counts: Counter[str], label_map: Mapping[str, str]) -> list[Problem]:
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


def unused(label_map: Mapping[str, str], counts: Counter[str]) -> list[Problem]:
    """Names in the map that no row has."""
    return [
        Problem(where="data.label_map", found=f"no row has the label {name!r}", allowed=listed(sorted(counts)),
                to_do=closest(name, counts) or "remove it")
        for name in label_map if name not in counts
    ]  # fmt: skip


def not_in_train(name: str, known: list[str]) -> str:
    """What is said of a held-out row with a label that train lacks."""
    return f"{name!r} is not in train. {closest(name, known)}".strip()


def unknown(journal: Journal) -> list[Problem]:
    """A warning for each label that held-out rows have and train has not."""
    details = Counter(q.detail for q in journal.quarantined if q.reason == "unknown_label")
    return [
        Problem(where="data, labels", found=f"unknown_label: {detail} ({counted(count, 'row')} set aside)",
                to_do="map it by `label_map`, or bring rows of it to train")
        for detail, count in details.items()
    ]  # fmt: skip
