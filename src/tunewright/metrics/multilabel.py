"""How well sets of labels are found: F1, precision and recall, exact sets, single wrong labels, probabilities.

The definitions are scikit-learn's with `zero_division=0`: a label that is nobody's gold and nobody's output has an F1
of 0 in the macro mean, and so has an item without any label and without any output in F1 over samples.

Axes: N items, C labels, `...` resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from tunewright.core.outcomes import LabelSets
from tunewright.core.registry import register
from tunewright.metrics.f1 import f1, precision, recall
from tunewright.metrics.protocol import Averaged, Better, Floats
from tunewright.metrics.tally import Tally, ratio

_TINY = float(np.finfo(np.float64).eps)
_OF_LABEL = {"precision": precision, "recall": recall, "f1": f1}
COUNTS = "label counts"
"""The columns that precision, recall and F1 share."""


def label_counts(p: LabelSets) -> Floats:
    """(N, 3 C) of the labelled items: 1 where gold and output both have a label, where gold has, where output has."""
    p = p.supervised()
    return np.concatenate([p.gold & p.output, p.gold, p.output], axis=1).astype(np.float64)


def label_tally(means: Floats) -> Tally:
    """(..., 3 C) sums or means of `label_counts` as a tally of (..., C)."""
    return Tally(*np.split(means, 3, axis=-1))


class _OfLabels(Averaged):
    """Precision, recall or F1 from counts a label: pooled (micro) or the plain mean over all labels (macro)."""

    percent: ClassVar[bool] = True
    shared: ClassVar[str] = COUNTS
    base: ClassVar[Literal["precision", "recall", "f1"]]
    pooled: ClassVar[bool]

    def columns(self, p: LabelSets) -> Floats:
        """(N, 3 C)."""
        return label_counts(p)

    def of_means(self, means: Floats) -> Floats:
        """(...) from (..., 3 C)."""
        counts = label_tally(means)
        if self.pooled:
            counts = Tally(*(part.sum(axis=-1, keepdims=True) for part in (counts.right, counts.gold, counts.output)))
        return np.asarray(_OF_LABEL[self.base](counts).mean(axis=-1))


@register("multilabel_metric", "f1_micro")
@dataclass(frozen=True)
class SetF1Micro(_OfLabels):
    """2 right / (gold + output), pooled over labels."""

    name: ClassVar[str] = "f1_micro"
    title: ClassVar[str] = "micro F1"
    base: ClassVar[Literal["precision", "recall", "f1"]] = "f1"
    pooled: ClassVar[bool] = True


@register("multilabel_metric", "f1_macro")
@dataclass(frozen=True)
class SetF1Macro(_OfLabels):
    """F1 of each label, mean over labels: rare labels count as much as frequent ones."""

    name: ClassVar[str] = "f1_macro"
    title: ClassVar[str] = "macro F1"
    base: ClassVar[Literal["precision", "recall", "f1"]] = "f1"
    pooled: ClassVar[bool] = False


@register("multilabel_metric", "precision_micro")
@dataclass(frozen=True)
class SetPrecisionMicro(_OfLabels):
    """Right / output, pooled over labels."""

    name: ClassVar[str] = "precision_micro"
    title: ClassVar[str] = "micro precision"
    base: ClassVar[Literal["precision", "recall", "f1"]] = "precision"
    pooled: ClassVar[bool] = True


@register("multilabel_metric", "recall_micro")
@dataclass(frozen=True)
class SetRecallMicro(_OfLabels):
    """Right / gold, pooled over labels."""

    name: ClassVar[str] = "recall_micro"
    title: ClassVar[str] = "micro recall"
    base: ClassVar[Literal["precision", "recall", "f1"]] = "recall"
    pooled: ClassVar[bool] = True


@register("multilabel_metric", "precision_macro")
@dataclass(frozen=True)
class SetPrecisionMacro(_OfLabels):
    """Precision of each label, mean over labels."""

    name: ClassVar[str] = "precision_macro"
    title: ClassVar[str] = "macro precision"
    base: ClassVar[Literal["precision", "recall", "f1"]] = "precision"
    pooled: ClassVar[bool] = False


@register("multilabel_metric", "recall_macro")
@dataclass(frozen=True)
class SetRecallMacro(_OfLabels):
    """Recall of each label, mean over labels."""

    name: ClassVar[str] = "recall_macro"
    title: ClassVar[str] = "macro recall"
    base: ClassVar[Literal["precision", "recall", "f1"]] = "recall"
    pooled: ClassVar[bool] = False


class _OfItems(Averaged):
    """A plain mean over items."""

    percent: ClassVar[bool] = True

    def items(self, p: LabelSets) -> Floats | None:
        """(N,) scores."""
        return self.columns(p)[:, 0]


@register("multilabel_metric", "f1_samples")
@dataclass(frozen=True)
class F1Samples(_OfItems):
    """F1 of each item's set of labels, mean over items."""

    name: ClassVar[str] = "f1_samples"
    title: ClassVar[str] = "F1 per item"

    def columns(self, p: LabelSets) -> Floats:
        """(N, 1)."""
        p = p.supervised()
        both = 2.0 * (p.gold & p.output).sum(axis=1, keepdims=True)
        return ratio(both, np.asarray(p.gold.sum(axis=1, keepdims=True) + p.output.sum(axis=1, keepdims=True), float))


@register("multilabel_metric", "subset_accuracy")
@dataclass(frozen=True)
class SubsetAccuracy(_OfItems):
    """The share of items whose whole set of labels is right."""

    name: ClassVar[str] = "subset_accuracy"
    title: ClassVar[str] = "exact-set accuracy"
    binary: ClassVar[bool] = True

    def columns(self, p: LabelSets) -> Floats:
        """(N, 1): 1 where right."""
        p = p.supervised()
        return np.asarray((p.gold == p.output).all(axis=1, keepdims=True), np.float64)


@register("multilabel_metric", "hamming_loss")
@dataclass(frozen=True)
class HammingLoss(_OfItems):
    """The share of all (item, label) answers that are wrong."""

    name: ClassVar[str] = "hamming_loss"
    title: ClassVar[str] = "Hamming loss"
    better: ClassVar[Better] = "lower"
    percent: ClassVar[bool] = False

    def columns(self, p: LabelSets) -> Floats:
        """(N, 1): wrong labels / labels."""
        p = p.supervised()
        return np.asarray((p.gold != p.output).mean(axis=1, keepdims=True))


@register("multilabel_metric", "log_loss")
@dataclass(frozen=True)
class SetLogLoss(_OfItems):
    """-log of the probability given to the truth of each label, in nats, mean over labels; at most 36 (float64)."""

    name: ClassVar[str] = "log_loss"
    title: ClassVar[str] = "log-loss"
    better: ClassVar[Better] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, float(-np.log(_TINY)))
    percent: ClassVar[bool] = False

    def columns(self, p: LabelSets) -> Floats:
        """(N, 1) nats."""
        p = p.supervised()
        given = np.where(p.gold, p.scores, 1.0 - p.scores)
        return np.asarray(-np.log(np.clip(given, _TINY, 1.0)).mean(axis=1, keepdims=True))
