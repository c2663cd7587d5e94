"""What each operator is worth: the probe with and without its children on rows that neither has seen.

K folds, `REPEATS` times over: the probe learns from K - 1 folds, alone and with the children of their rows, and both tell
of the fold left out. The differences of accuracy and macro F1 get percentile intervals from a paired bootstrap over rows
(each row's answers of all repeats together). An operator pays where the interval of macro F1 lies above zero.

Rows and children together weigh what the rows weighed: else every operator would seem to gain by weaker regularisation, as a
plain repetition of all rows does. With m operators the intervals are of level 1 - 0.05 / m, so that all of them hold together in
95 of 100 cases (Bonferroni): else one of many operators would soon pay by chance. The gate of the probe is asked anew in every
fold, of a probe that has seen neither the fold left out nor the one of the child's parent; without that, what the gate lets
through would know the answers. A child whose text stands in the fold left out is not learnt from there.

What it does not say: that a fine-tuned model gains or loses likewise. On pre-trained models such operators mostly gain nothing
(Longpre et al. 2020, "How Effective is Task-Agnostic Data Augmentation for Pretrained Transformers?"). Cost: about
K x REPEATS x (1 + m) + K (K - 1) / 2 x REPEATS fits of the probe; of more than `MOST` rows so many are drawn by key, and more than
`MANY` classes are tried once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import counted as said
from tunewright.core.seeds import key
from tunewright.data.augmentation.bag import MANY, STRENGTH, Probe, counter
from tunewright.data.augmentation.gates import whole
from tunewright.data.augmentation.judging import FOLDS, folds, told
from tunewright.data.augmentation.protocol import Child
from tunewright.data.journal import Draft

REPEATS = 3
MOST = 4000
DRAWS = 4000
FEWEST, A_CLASS = 50, FOLDS


@dataclass(frozen=True)
class Interval:
    """A difference with and without, and what it lies between."""

    mean: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        """As plain values."""
        return {"mean": self.mean, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Worth:
    """What an operator's children, `children` of them on average a fold, change."""

    children: float
    accuracy: Interval
    macro_f1: Interval

    @property
    def pays(self) -> bool:
        """Whether the gain in macro F1 is above chance."""
        return self.macro_f1.low > 0

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"children": self.children, "accuracy": self.accuracy.as_json(), "macro_f1": self.macro_f1.as_json(),
                "pays": self.pays}  # fmt: skip


@dataclass(frozen=True)
class Ablation:
    """What all operators are worth, on how many rows, and what the probe reaches without any; or why nothing can be said."""

    rows: int
    level: float = 0.95
    accuracy: float = 0.0
    macro_f1: float = 0.0
    worth: Mapping[str, Worth] = field(default_factory=dict)
    refused: str = ""
    repeats: int = REPEATS

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        if self.refused:
            return {"rows": self.rows, "refused": self.refused}
        return {
            "rows": self.rows, "folds": FOLDS, "repeats": self.repeats, "level": self.level,
            "without": {"accuracy": self.accuracy, "macro_f1": self.macro_f1},
            "operators": {name: worth.as_json() for name, worth in self.worth.items()},
        }  # fmt: skip


def refusal(rows: Sequence[Draft]) -> str:
    """Why nothing can be said on these rows; "" where something can."""
    counts = Counter(row.label or "" for row in rows)
    few = sorted(label for label, n in counts.items() if n < A_CLASS)
    if len(counts) < 2:
        return "one class alone"
    if len(rows) < FEWEST:
        return f"{said(len(rows), 'row')} of train, and {FEWEST} are needed"
    return f"fewer than {A_CLASS} rows of {few[0]!r}" if few else ""


def drawn(rows: Sequence[Draft], seed: int) -> list[Draft]:
    """The rows that an ablation is made on: all, or `MOST` of them by key."""
    order = sorted(rows, key=lambda row: (key(seed, "ablation rows", row.id), row.id))[:MOST]
    return sorted(order, key=lambda row: row.id)


def ablate(
    rows: Sequence[Draft], children: Mapping[str, Sequence[Child]], seed: int, confidence: float | None
) -> Ablation:
    """The worth of each operator on `rows`, which `drawn` has chosen.

    Args:
        rows: of train.
        children: of each operator, past all gates but the probe's.
        seed: of the run.
        confidence: of the probe's gate; None where it is not among the gates.
    """
    if why := refusal(rows):
        return Ablation(len(rows), refused=why)
    trial = _Trial(rows, children, confidence)
    repeats = REPEATS if len(trial.classes) <= MANY else 1
    answers = [trial.repeat(folds(rows, seed, f"ablation {n}")) for n in range(repeats)]
    level = 1 - 0.05 / max(len(children), 1)
    truth, classes = trial.truth, len(trial.classes)
    base = np.stack([found[""] for found in answers])
    worth = {}
    for name in children:
        own = np.stack([found[name] for found in answers])
        accuracy, f1 = _paired(truth, base, own, classes, level, key(seed, "ablation", name))
        worth[name] = Worth(trial.learnt[name] / (FOLDS * repeats), accuracy, f1)
    ones = np.ones((1, len(rows)))
    without = float(np.mean([_macro_f1(ones, truth, one, classes)[0] for one in base]))
    return Ablation(len(rows), level, float((base == truth).mean()), without, worth, repeats=repeats)


def shared(rows: int, children: int) -> float:
    """The probe's strength where rows share their weight with children: the sum of all weights is that of the rows."""
    return STRENGTH * rows / (rows + children)


class _Trial:
    """Rows and children, counted once, and the probes of one repeat after another."""

    def __init__(
        self, rows: Sequence[Draft], children: Mapping[str, Sequence[Child]], confidence: float | None
    ) -> None:
        self.children = [child for name in children for child in children[name]]
        self.names = list(children)
        self.operator = np.array([child.operator for child in self.children])
        texts = [whole(row) for row in rows] + [whole(child) for child in self.children]
        self.n, self.confidence = len(rows), confidence
        self.labels = np.array([row.label or "" for row in rows] + [child.ask.label for child in self.children])
        self.classes = tuple(sorted(set(self.labels.tolist())))
        self.counts = counter(texts, len(self.classes))(texts)
        self.truth = np.array([self.classes.index(label) for label in self.labels[: self.n].tolist()])
        place = {row.id: i for i, row in enumerate(rows)}
        self.parents = [[place[p] for p in child.parents if p in place] for child in self.children]
        self.keys, self.own = [row.key for row in rows], [child.key for child in self.children]
        self.learnt: Counter[str] = Counter()

    def repeat(self, fold: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """The class that each row is taken for, by operator; "" is without any."""
        fit = self._judged(fold)
        found = {name: np.zeros(self.n, np.int64) for name in ("", *self.names)}
        for f in range(FOLDS):
            tested, learnt = np.flatnonzero(fold == f), np.flatnonzero(fold != f)
            held = {self.keys[i] for i in tested.tolist()}
            allowed = [
                c for c, parents in enumerate(self.parents)
                if fit[c, f] and self.own[c] not in held and all(fold[p] != f for p in parents)
            ]  # fmt: skip
            for name in ("", *self.names):
                extra = [c for c in allowed if self.operator[c] == name]
                self.learnt[name] += len(extra)
                rows = np.concatenate([learnt, self.n + np.array(extra, np.int64)])
                probe = Probe(self.counts[rows], self.labels[rows], shared(len(learnt), len(extra)))
                found[name][tested] = told(probe, self.counts[tested], self.classes).argmax(1)
        return found

    def _judged(self, fold: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(children, folds) whether each may be learnt from where a fold is left out, as the probe's gate says."""
        fit = np.ones((len(self.children), FOLDS), np.bool_)
        if self.confidence is None or not self.children:
            return fit
        of = np.array([fold[parents[0]] if parents else -1 for parents in self.parents])
        parent = np.array([parents[0] if parents else 0 for parents in self.parents])
        label = np.array([self.classes.index(child.ask.label) for child in self.children])
        new = np.array([child.kind == "new" for child in self.children])
        for f, g in combinations(range(FOLDS), 2):
            learnt = np.flatnonzero((fold != f) & (fold != g))
            probe = Probe(self.counts[learnt], self.labels[learnt])
            chosen = np.flatnonzero((of == f) | (of == g) | (of == -1))
            own = told(probe, self.counts[self.n + chosen], self.classes)
            theirs = told(probe, self.counts[parent[chosen]], self.classes)
            moved = (own.argmax(1) != label[chosen]) & (own.max(1) >= self.confidence)
            moved &= new[chosen] | (theirs.argmax(1) == label[chosen])
            for out, inside in ((f, g), (g, f)):
                mine = (of[chosen] == inside) | (of[chosen] == -1)
                fit[chosen[mine], out] &= ~moved[mine]
        return fit


def _paired(
    truth: NDArray[np.int64], base: NDArray[np.int64], own: NDArray[np.int64], classes: int, level: float, seed: int
) -> tuple[Interval, Interval]:
    """Intervals of the differences of accuracy and macro F1 (repeats, rows), over rows."""
    n, rng = len(truth), np.random.default_rng(seed)
    right = ((own == truth).astype(np.float64) - (base == truth)).mean(0)
    accuracy, f1 = [], []
    for start in range(0, DRAWS, 500):
        weights = rng.multinomial(n, np.full(n, 1 / n), size=min(500, DRAWS - start)).astype(np.float64)
        accuracy.append(weights @ right / n)
        f1.append(_gain(weights, truth, base, own, classes))
    ones = np.ones((1, n))
    means = float(right.mean()), float(_gain(ones, truth, base, own, classes)[0])
    tails = [(1 - level) / 2, (1 + level) / 2]
    found = []
    for mean, draws in zip(means, (np.concatenate(accuracy), np.concatenate(f1)), strict=True):
        low, high = np.quantile(draws, tails)
        found.append(Interval(mean, float(low), float(high)))
    return found[0], found[1]


def _gain(
    weights: NDArray[Any], truth: NDArray[Any], base: NDArray[Any], own: NDArray[Any], classes: int
) -> NDArray[Any]:
    """(draws,) of macro F1, the mean over repeats."""
    gains = [
        _macro_f1(weights, truth, mine, classes) - _macro_f1(weights, truth, theirs, classes)
        for mine, theirs in zip(own, base, strict=True)
    ]  # fmt: skip
    return np.asarray(np.mean(gains, 0))


def _macro_f1(weights: NDArray[Any], truth: NDArray[Any], told_: NDArray[Any], classes: int) -> NDArray[Any]:
    """(draws,) the mean over classes of 2 tp / (2 tp + fp + fn), rows weighted (draws, rows)."""
    one = np.eye(classes)
    is_, said_ = one[truth], one[told_]
    both = weights @ (is_ * said_)
    return np.asarray((2 * both / np.maximum(weights @ (is_ + said_), 1e-12)).mean(1))
