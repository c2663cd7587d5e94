"""How well entities are found: an entity is right where start, end and type are.

The definitions are seqeval's with `zero_division=0` for spans as its IOB2 reading gives them: precision, recall and F1
pool all entities (micro); macro F1 is the plain mean over the types that are some item's gold or output.

Axes: N items, C types, `...` resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from tunewright.core.outcomes import Entities
from tunewright.core.registry import register
from tunewright.metrics.f1 import f1, precision, recall
from tunewright.metrics.protocol import Averaged, Floats
from tunewright.metrics.tally import Tally, ratio

_OF_TYPE = {"precision": precision, "recall": recall, "f1": f1}
COUNTS = "entity counts"
"""The columns that all of these metrics share."""

NO_ENTITY = "there is neither an entity nor an output"


def types_of(p: Entities) -> tuple[str, ...]:
    """The types that are counted: the labels, then any other that the spans name."""
    named = {kind for spans in (*p.gold, *p.output) for _, _, kind in spans or ()}
    return (*p.labels, *sorted(named - set(p.labels)))


def entity_counts(p: Entities) -> Floats:
    """(N, 3 C) of the labelled items: how many entities of a type are right, gold, output."""
    p = p.supervised()
    types = types_of(p)
    place = {kind: i for i, kind in enumerate(types)}
    counts = np.zeros((len(p), 3, len(types)))
    for i, (gold, output) in enumerate(zip(p.gold, p.output, strict=True)):
        for row, spans in enumerate((set(gold or ()) & set(output), gold or (), output)):
            for _, _, kind in spans:
                counts[i, row, place[kind]] += 1
    return counts.reshape(len(p), -1)


def entity_tally(counts: Floats) -> Tally:
    """(..., 3 C) sums or means of `entity_counts` as a tally of (..., C)."""
    return Tally(*np.split(counts, 3, axis=-1))


class _OfEntities(Averaged):
    """Precision, recall or F1 from counts a type: pooled (micro) or the mean over types that occur (macro)."""

    percent: ClassVar[bool] = True
    shared: ClassVar[str] = COUNTS
    base: ClassVar[Literal["precision", "recall", "f1"]]
    pooled: ClassVar[bool] = True

    def undefined(self, p: Entities) -> str | None:
        """Why the metric has no value on these items; None where it has one."""
        known = p.supervised()
        none = not any(known.gold) and not any(known.output)
        return super().undefined(p) or (NO_ENTITY if none else None)

    def columns(self, p: Entities) -> Floats:
        """(N, 3 C)."""
        return entity_counts(p)

    def of_means(self, means: Floats) -> Floats:
        """(...) from (..., 3 C)."""
        counts = entity_tally(means)
        if self.pooled:
            counts = Tally(*(part.sum(axis=-1, keepdims=True) for part in (counts.right, counts.gold, counts.output)))
            return np.asarray(_OF_TYPE[self.base](counts)[..., 0])
        present = counts.present.astype(np.float64)
        return ratio((_OF_TYPE[self.base](counts) * present).sum(axis=-1), present.sum(axis=-1))


@register("entity_metric", "f1")
@dataclass(frozen=True)
class EntityF1(_OfEntities):
    """2 right / (gold + output), over all entities."""

    name: ClassVar[str] = "f1"
    title: ClassVar[str] = "entity F1"
    base: ClassVar[Literal["precision", "recall", "f1"]] = "f1"


@register("entity_metric", "precision")
@dataclass(frozen=True)
class EntityPrecision(_OfEntities):
    """Right / output, over all entities."""

    name: ClassVar[str] = "precision"
    title: ClassVar[str] = "entity precision"
    base: ClassVar[Literal["precision", "recall", "f1"]] = "precision"


@register("entity_metric", "recall")
@dataclass(frozen=True)
class EntityRecall(_OfEntities):
    """Right / gold, over all entities."""

    name: ClassVar[str] = "recall"
    title: ClassVar[str] = "entity recall"
    base: ClassVar[Literal["precision", "recall", "f1"]] = "recall"


@register("entity_metric", "f1_macro")
@dataclass(frozen=True)
class EntityF1Macro(_OfEntities):
    """F1 of each type, mean over types: rare types count as much as frequent ones."""

    name: ClassVar[str] = "f1_macro"
    title: ClassVar[str] = "macro entity F1"
    base: ClassVar[Literal["precision", "recall", "f1"]] = "f1"
    pooled: ClassVar[bool] = False
