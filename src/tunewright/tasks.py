"""The tasks: what a label is for the model, what its scores say, and by what they are judged.

A `Task` holds what is fixed; `Bound` is a task with what the training data says of it (labels, mean and spread of
numbers, thresholds), which is saved with the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tunewright.core.outcomes import Judged, LabelSets, Values
from tunewright.core.records import Predictions, Record
from tunewright.core.tensors import Facts, Fits
from tunewright.encoding import Example, Target
from tunewright.metrics import tasks as measured
from tunewright.metrics.thresholds import DEFAULT, applied, tune
from tunewright.models.loading import Problems
from tunewright.models.scoring import Activation

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """What a task is, whatever the data.

    `problem` is transformers' word for it (None where the model decides); `fits` the kind of objective; of its metrics
    (`metrics.tasks` says which there are) `stop` ends training and `shown` (by the name that is shown) are watched.
    `columns` must be named in a recipe; `baselines` can be asked for, and are where nothing is said. `writes`: its
    answers are texts that are generated. `grouped`: its examples have classes that a sampler can balance.
    """

    name: str
    problem: Problems | None
    fits: Fits
    activation: Activation
    objective: str
    stop: str
    shown: Mapping[str, str]
    columns: tuple[str, ...] = ("text", "label")
    baselines: tuple[str, ...] = ("majority", "tfidf", "linear")
    writes: bool = False
    grouped: bool = False

    @property
    def learns(self) -> tuple[Fits, ...]:
        """The kinds of objectives that fit: of preferences, those of pairs and those of thumbs."""
        return ("pairs", "thumbs") if self.fits == "pairs" else (self.fits,)

    @property
    def family(self) -> str:
        """The registry's family of its metrics."""
        return measured.TASKS[self.name].family

    @property
    def metric(self) -> str:
        """The metric that decides, unless the recipe says otherwise."""
        return measured.TASKS[self.name].primary


TASKS = {
    task.name: task
    for task in (
        Task(
            "classification", "single_label_classification", "classes", "softmax", "cross_entropy",
            "f1_macro", {"loss": "log_loss", "accuracy": "accuracy", "f1_macro": "f1_macro"}, grouped=True,
        ),
        Task(
            "multilabel", "multi_label_classification", "labels", "sigmoid", "binary_cross_entropy",
            "f1_micro", {"loss": "log_loss", "f1_micro": "f1_micro", "f1_macro": "f1_macro"}, grouped=True,
        ),
        Task(
            "regression", "regression", "numbers", "none", "mse",
            "mse", {"loss": "mse", "pearson": "pearson", "mae": "mae"},
        ),
        Task(
            "token_classification", "token_classification", "classes", "softmax", "cross_entropy",
            "f1", {"f1": "f1", "precision": "precision", "recall": "recall"}, columns=(),
            baselines=("lexicon", "tfidf", "linear"),
        ),
        Task(
            "language_modeling", None, "tokens", "none", "cross_entropy",
            "bits_per_byte", {"loss": "loss", "bits_per_byte": "bits_per_byte"}, columns=(),
            baselines=("unigram", "untuned"),
        ),
        Task(
            "chat", "causal_lm", "tokens", "none", "cross_entropy", "loss", {"loss": "loss"}, columns=(),
            baselines=("majority", "copy", "untuned"), writes=True,
        ),
        Task(
            "seq2seq", None, "tokens", "none", "cross_entropy", "loss", {"loss": "loss"},
            baselines=("majority", "copy", "untuned"), writes=True,
        ),
        Task(
            "preference", "causal_lm", "pairs", "none", "dpo", "accuracy", {"accuracy": "accuracy", "margin": "margin"},
            columns=(), baselines=("length", "tfidf", "untuned"),
        ),
        Task(
            "reward", "reward", "rewards", "none", "bradley_terry", "accuracy",
            {"accuracy": "accuracy", "margin": "margin"}, columns=(), baselines=("length", "tfidf"),
        ),
    )
}  # fmt: skip


def labels_of(task: str, columns: Sequence[str], train: Sequence[str]) -> list[str]:
    """The classes, labels or targets in the order of a new head.

    Args:
        columns: the label columns of the data, whose names are the targets'.
        train: the training rows' labels, each in its canonical form.
    """
    if TASKS[task].fits == "numbers":
        return list(columns)
    if TASKS[task].fits == "labels":
        return sorted({name for text in train for name in json.loads(text)})
    return sorted(set(train))


@dataclass(frozen=True)
class Bound:
    """A task with the labels, classes or targets of the data, in the order of the model's scores.

    `mean` and `spread` (each K) are those of numbers in training; `thresholds` (C,) say from which probability on an
    item has a label.
    """

    task: Task
    labels: tuple[str, ...]
    mean: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    thresholds: tuple[float, ...] = ()

    @classmethod
    def of(cls, name: str, labels: Sequence[str], train: Sequence[str]) -> Self:
        """The task `name` for training rows with these labels, each in its canonical form."""
        task = TASKS[name]
        if task.fits == "numbers":
            values = np.array([json.loads(text) for text in train], np.float64).reshape(-1, len(labels))
            spread = values.std(axis=0)
            mean = tuple(float(x) for x in values.mean(axis=0))
            return cls(task, tuple(labels), mean, tuple(float(x) if x > 0 else 1.0 for x in spread))
        if task.fits == "labels":
            return cls(task, tuple(labels), thresholds=tuple(DEFAULT for _ in labels))
        return cls(task, tuple(labels))

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Self:
        """As `card` wrote it beside a model."""
        numbers = {name: tuple(card.get(name) or ()) for name in ("mean", "spread", "thresholds")}
        return cls(TASKS[card.get("task", "classification")], tuple(card["labels"]), **numbers)

    def card(self) -> dict[str, Any]:
        """What is saved beside a model, besides its labels."""
        return {"task": self.task.name, "mean": list(self.mean), "spread": list(self.spread),
                "thresholds": list(self.thresholds)}  # fmt: skip

    @property
    def scale(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and spread for a forward that scores numbers."""
        return (self.mean, self.spread) if self.task.fits == "numbers" else None

    def target(self, label: str) -> Target | None:
        """What a record's label is for the model; None for a class that it does not know."""
        if self.task.fits == "classes":
            return self.labels.index(label) if label in self.labels else None
        found = json.loads(label)
        if self.task.fits == "numbers":
            return np.array(found, np.float64)
        return np.array([name in found for name in self.labels], np.float32)

    def soft(self, record: Record) -> NDArray[np.float32] | None:
        """(C,) how likely each class is to be a record's, where it is not sure; among the classes that are known."""
        if self.task.fits != "classes" or not record.soft:
            return None
        given = dict(record.soft)
        found = np.array([given.get(name, 0.0) for name in self.labels], np.float64)
        return (found / found.sum()).astype(np.float32) if found.sum() > 0 else None

    def facts(self, targets: Sequence[Target]) -> Facts:
        """What an objective may know of the training set."""
        if self.task.fits == "numbers":
            return Facts(self.labels, tuple(len(targets) for _ in self.labels), self.mean, self.spread)
        if self.task.fits == "labels":
            counts = np.sum(np.stack(targets), axis=0) if targets else np.zeros(len(self.labels))
        else:
            counts = np.bincount(np.array(targets, np.int64), minlength=len(self.labels))
        return Facts(self.labels, tuple(int(n) for n in counts))

    def biases(self, targets: Sequence[Target]) -> tuple[float, ...] | None:
        """What a new head's biases start from: each label's log-odds in training; None for zeros.

        From zero, every label is as likely as not, and a small model spends its first steps on making all of them rare;
        it may end there. As Lin et al. 2017, "Focal Loss for Dense Object Detection", section 4.1.
        """
        if self.task.fits != "labels" or not targets:
            return None
        share = (np.array(self.facts(targets).counts) + 0.5) / (len(targets) + 1.0)
        return tuple(float(x) for x in np.log(share / (1 - share)))

    def groups(self, targets: Sequence[Target]) -> list[str | None] | None:
        """What a balancing sampler knows each example by: its class, or the rarest of its labels; None for numbers."""
        if self.task.fits == "numbers":
            return None
        if self.task.fits == "classes":
            return [self.labels[target] for target in targets]
        counts = np.array(self.facts(targets).counts)
        rarest = [np.flatnonzero(target) for target in targets]
        return [self.labels[has[counts[has].argmin()]] if len(has) else "" for has in rarest]

    def settled(self, examples: Sequence[Example], answers: Floats) -> Self:
        """With thresholds tuned on these examples, where the task has any."""
        known = [i for i, e in enumerate(examples) if e.target is not None]
        if self.task.fits != "labels" or not known:
            return self
        gold = np.stack([np.asarray(examples[i].target) for i in known]) > 0.5
        return replace(self, thresholds=tuple(float(x) for x in tune(gold, answers[known])))

    def has(self, answers: Floats) -> NDArray[np.bool_]:
        """Which labels an item has, for probabilities (C,) or (N, C)."""
        return applied(answers, np.array(self.thresholds))

    def judged(
        self, contender: str, split: str, examples: Sequence[Example], answers: Floats, seconds: Floats | None
    ) -> Judged:
        """The predictions that `answers` (N, C) or (N, K) are."""
        ids, n = tuple(e.id for e in examples), len(examples)
        if self.task.fits == "classes":
            gold = np.array([-1 if e.target is None else e.target for e in examples], np.int64)
            output = answers.argmax(1).astype(np.int64) if n else np.zeros(0, np.int64)
            return Predictions(contender, split, self.labels, ids, gold, output, answers, seconds)
        empty = np.full(len(self.labels), np.nan)
        targets = np.array([empty if e.target is None else e.target for e in examples], np.float64)
        targets = targets.reshape(n, len(self.labels))
        if self.task.fits == "numbers":
            return Values(contender, split, self.labels, ids, targets, answers, seconds)
        known = np.array([e.target is not None for e in examples], np.bool_)
        output = self.has(answers)
        return LabelSets(contender, split, self.labels, ids, targets > 0.5, output, answers, known, seconds)
