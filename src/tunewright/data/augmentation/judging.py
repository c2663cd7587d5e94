"""What probes say of children that none of them has seen the parent of: rows of train in folds, a probe without each.

Folds are keyed by (seed, purpose, content, cluster or group) within a label, so that order changes nothing. Cost: a fit a fold.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.seeds import key
from tunewright.data.augmentation.bag import Probe, counter
from tunewright.data.augmentation.gates import Judge, whole
from tunewright.data.augmentation.protocol import Child
from tunewright.data.journal import Draft

FOLDS = 5


def folds(rows: Sequence[Draft], seed: int, purpose: str, count: int = FOLDS) -> NDArray[np.int64]:
    """(N,) a fold for each row, each label spread evenly over all; what is near or of one group stays together."""
    together: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        together[row.cluster or row.group or row.key].append(i)
    by_label: dict[str, list[str]] = defaultdict(list)
    for name, places in together.items():
        by_label[min(rows[i].label or "" for i in places)].append(name)
    found = np.zeros(len(rows), np.int64)
    shift = 0
    for _, names in sorted(by_label.items()):
        for n, name in enumerate(sorted(names, key=lambda name: (key(seed, purpose, name), name))):
            found[together[name]] = (n + shift) % count
        shift += len(names)
    return found


def judge_of(rows: Sequence[Draft], seed: int) -> tuple[Judge, tuple[str, ...]]:
    """A judge over children of these rows, and the labels in the order of its probabilities."""
    rows = sorted(rows, key=lambda row: row.id)
    labels = np.array([row.label or "" for row in rows])
    classes = tuple(sorted(set(labels.tolist())))
    fold = folds(rows, seed, "judge")
    count = counter([whole(row) for row in rows], len(classes))
    counts = count([whole(row) for row in rows])
    probes = [Probe(counts[fold != f], labels[fold != f]) for f in range(FOLDS)]
    place = {row.id: f for row, f in zip(rows, fold.tolist(), strict=True)}

    def judge(children: Sequence[Child]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        of = np.array([place.get(child.ask.row.id, 0) if child.ask.row is not None else 0 for child in children])
        mine = count([whole(child) for child in children])
        theirs = count([whole(child.ask.row) if child.ask.row is not None else "" for child in children])
        own, parents = np.zeros((len(children), len(classes))), np.zeros((len(children), len(classes)))
        for f in np.unique(of):
            chosen = np.flatnonzero(of == f)
            own[chosen] = told(probes[f], mine[chosen], classes)
            parents[chosen] = told(probes[f], theirs[chosen], classes)
        return own, parents

    return judge, classes


def told(probe: Probe, counts: Any, classes: Sequence[str]) -> NDArray[np.float64]:
    """(N, C) a probe's probabilities of all classes; 0 for one that it has not seen."""
    found = np.zeros((counts.shape[0], len(classes)))
    found[:, [list(classes).index(label) for label in probe.classes.tolist()]] = probe.probabilities(counts)
    return found
