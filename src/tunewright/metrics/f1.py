"""Precision, recall and F1, averaged over classes (macro, weighted by support) or over items (micro).

Of class c: precision = right / output, recall = right / gold, F1 = 2 right / (gold + output); 0 where the
denominator is 0. Macro is the plain mean over the classes that are some item's gold or output, weighted the
mean by gold counts; micro pools the classes and equals accuracy where every item has one label and one
output. The same definitions as scikit-learn's with `zero_division=0`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from tunewright.core.records import Predictions
from tunewright.core.registry import register
from tunewright.metrics.protocol import Counted, Floats
from tunewright.metrics.tally import Tally, ratio, right


def precision(counts: Tally) -> Floats:
    """(..., C): of what was called this class, the share that is."""
    return ratio(counts.right, counts.output)


def recall(counts: Tally) -> Floats:
    """(..., C): of what is this class, the share that was found."""
    return ratio(counts.right, counts.gold)


def f1(counts: Tally) -> Floats:
    """(..., C): harmonic mean of precision and recall."""
    return ratio(2 * counts.right, counts.gold + counts.output)


_OF_CLASS = {"precision": precision, "recall": recall, "F1": f1}


class _Averaged(Counted):
    """One of the three, averaged one of three ways."""

    base: ClassVar[Literal["precision", "recall", "F1"]]
    average: ClassVar[Literal["macro", "micro", "weighted"]]

    def of_tally(self, counts: Tally) -> Floats:
        """(...) from (..., C)."""
        if self.average == "micro":
            return ratio(counts.right.sum(axis=-1), counts.gold.sum(axis=-1))
        each = _OF_CLASS[self.base](counts)
        weights = counts.present.astype(np.float64) if self.average == "macro" else counts.gold
        return ratio((each * weights).sum(axis=-1), weights.sum(axis=-1))

    def items(self, p: Predictions) -> Floats | None:
        """(N,) 1 where right, for the micro average; None for the others."""
        return right(p) if self.average == "micro" else None


@register("metric", "precision_macro")
@dataclass(frozen=True)
class PrecisionMacro(_Averaged):
    """Precision, mean over classes."""

    name: ClassVar[str] = "precision_macro"
    title: ClassVar[str] = "macro precision"
    base: ClassVar[Literal["precision", "recall", "F1"]] = "precision"
    average: ClassVar[Literal["macro", "micro", "weighted"]] = "macro"


@register("metric", "precision_micro")
@dataclass(frozen=True)
class PrecisionMicro(_Averaged):
    """Precision, pooled over classes."""

    name: ClassVar[str] = "precision_micro"
    title: ClassVar[str] = "micro precision"
    base: ClassVar[Literal["precision", "recall", "F1"]] = "precision"
    average: ClassVar[Literal["macro", "micro", "weighted"]] = "micro"


@register("metric", "precision_weighted")
@dataclass(frozen=True)
class PrecisionWeighted(_Averaged):
    """Precision, mean over classes by support."""

    name: ClassVar[str] = "precision_weighted"
    title: ClassVar[str] = "weighted precision"
    base: ClassVar[Literal["precision", "recall", "F1"]] = "precision"
    average: ClassVar[Literal["macro", "micro", "weighted"]] = "weighted"


@register("metric", "recall_macro")
@dataclass(frozen=True)
class RecallMacro(_Averaged):
    """Recall, mean over classes."""

    name: ClassVar[str] = "recall_macro"
    title: ClassVar[str] = "macro recall"
    base: ClassVar[Literal["precision", "recall", "F1"]] = "recall"
    average: ClassVar[Literal["macro", "micro", "weighted"]] = "macro"


@register("metric", "recall_micro")
@dataclass(frozen=True)
class RecallMicro(_Averaged):
    """Recall, pooled over classes."""

    name: ClassVar[str] = "recall_micro"
    title: ClassVar[str] = "micro recall"
    base: ClassVar[Literal["precision", "recall", "F1"]] = "recall"
    average: ClassVar[Literal["macro", "micro", "weighted"]] = "micro"


@register("metric", "recall_weighted")
@dataclass(frozen=True)
class RecallWeighted(_Averaged):
    """Recall, mean over classes by support."""

    name: ClassVar[str] = "recall_weighted"
    title: ClassVar[str] = "weighted recall"
    base: ClassVar[Literal["precision", "recall", "F1"]] = "recall"
    average: ClassVar[Literal["macro", "micro", "weighted"]] = "weighted"


@register("metric", "f1_macro")
@dataclass(frozen=True)
class F1Macro(_Averaged):
    """F1, mean over classes."""

    name: ClassVar[str] = "f1_macro"
    title: ClassVar[str] = "macro F1"
    base: ClassVar[Literal["precision", "recall", "F1"]] = "F1"
    average: ClassVar[Literal["macro", "micro", "weighted"]] = "macro"


@register("metric", "f1_micro")
@dataclass(frozen=True)
class F1Micro(_Averaged):
    """F1, pooled over classes."""

    name: ClassVar[str] = "f1_micro"
    title: ClassVar[str] = "micro F1"
    base: ClassVar[Literal["precision", "recall", "F1"]] = "F1"
    average: ClassVar[Literal["macro", "micro", "weighted"]] = "micro"


@register("metric", "f1_weighted")
@dataclass(frozen=True)
class F1Weighted(_Averaged):
    """F1, mean over classes by support."""

    name: ClassVar[str] = "f1_weighted"
    title: ClassVar[str] = "weighted F1"
    base: ClassVar[Literal["precision", "recall", "F1"]] = "F1"
    average: ClassVar[Literal["macro", "micro", "weighted"]] = "weighted"
