"""How far annotators agree: coefficients with intervals, of all labels, of each label, of each annotator.

What cannot be said is refused with its reason and is no NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import counted
from tunewright.core.seeds import key
from tunewright.data.labels.agreement.annotators import Annotator, annotators, reasons_in_words, spammer_score
from tunewright.data.labels.agreement.cohen import Cohen, crossed, pairwise, shared_items
from tunewright.data.labels.agreement.fleiss import Fleiss
from tunewright.data.labels.agreement.gwet import Gwet, closeness
from tunewright.data.labels.agreement.krippendorff import Interval, Nominal, Ordinal, alpha
from tunewright.data.labels.agreement.percent import Percent
from tunewright.data.labels.agreement.protocol import Coefficient, figure, ratio, value
from tunewright.data.labels.arbitration.dawid_skene import dawid_skene
from tunewright.data.labels.intervals import Figure, bounded, refused
from tunewright.data.labels.votes import LEVELS, Level, Votes

__all__ = [
    "FEW", "LEVELS", "Agreement", "Annotator", "Cohen", "Fleiss", "Gwet", "Interval", "Nominal", "OfLabel", "Ordinal",
    "Percent", "agree", "closeness", "pairwise", "reasons_in_words", "spammer_score", "value",
]  # fmt: skip

Floats = NDArray[np.float64]

FEW = 5
"""Answers of a label below which nothing is said of it."""


@dataclass(frozen=True)
class OfLabel:
    """One label against all others: how often it was given, and alpha of whether it was; `again`: given it, how often the
    others of the item gave it too (specific agreement)."""

    label: str
    answers: int
    alpha: Figure
    again: Figure

    def as_json(self) -> dict[str, Any]:
        """The label as plain values."""
        return {"label": self.label, "answers": self.answers, "alpha": self.alpha.as_json(),
                "specific_agreement": self.again.as_json()}  # fmt: skip


@dataclass(frozen=True)
class Agreement:
    """All of it. `figures` by the coefficient's name; "alpha" is Krippendorff's at the level."""

    level: Level
    items: int
    shared: int
    answers: int
    replaced: int
    figures: Mapping[str, Figure]
    labels: tuple[OfLabel, ...] = ()
    annotators: tuple[Annotator, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def suspected(self) -> tuple[Annotator, ...]:
        return tuple(a for a in self.annotators if a.suspected)

    def as_json(self) -> dict[str, Any]:
        """The agreement as plain values."""
        return {
            "level": self.level, "items": self.items, "items_with_two_answers": self.shared, "answers": self.answers,
            "replaced": self.replaced, "annotators": len(self.annotators),
            "figures": {name: one.as_json() for name, one in self.figures.items()},
            "labels": [one.as_json() for one in self.labels],
            "by_annotator": [one.as_json() for one in self.annotators], "notes": list(self.notes),
        }  # fmt: skip


def agree(votes: Votes, *, seed: int = 0, draws: int = 1000) -> Agreement:
    """Every figure that these votes allow.

    Args:
        seed: of the resamples that intervals are made of.
        draws: how many of them; 0 for none.
    """
    counts = votes.counts()
    shared = int((votes.per_item() >= 2).sum())
    reason = nothing_to_compare(votes)
    weights = nearness(votes)
    overall = {
        "alpha": alpha(votes.level, votes.values),
        "fleiss": Fleiss(),
        "gwet": Gwet(None if votes.level == "nominal" else weights),
        "percent": Percent(),
    }
    figures = {name: figure(one, counts, seed, draws, lambda _: reason) for name, one in overall.items()}
    figures["cohen"] = _cohen(votes, reason, seed, draws)
    notes = []
    if len(set(votes.per_item().tolist())) > 1:
        notes.append("items have different numbers of answers: Fleiss' kappa is taken over those with two or more")
    if votes.replaced:
        notes.append(f"{counted(votes.replaced, 'earlier answer')} of the same annotator to the same item left out")
    return Agreement(
        votes.level, len(votes.items), shared, len(votes), votes.replaced, figures,
        tuple(_of_label(votes, counts, c, reason, seed, draws) for c in range(len(votes.labels))),
        () if reason else tuple(_annotators(votes, overall["alpha"], weights, seed, min(draws, 400))), tuple(notes),
    )  # fmt: skip


def nothing_to_compare(votes: Votes) -> str:
    """Why nothing can be said of agreement; empty where it can."""
    if len(votes.by) < 2:
        return f"one annotator alone ({votes.by[0]})" if votes.by else "no annotator"
    if not (votes.per_item() >= 2).any():
        return "no item has answers of two annotators"
    return ""


def nearness(votes: Votes) -> Floats:
    """(C, C) 1 for the same label; on a scale with an order, less the further apart labels are (linear, or quadratic)."""
    if votes.level == "nominal":
        return np.eye(len(votes.labels))
    return closeness(votes.values, 1 if votes.level == "ordinal" else 2)


def _annotators(votes: Votes, coefficient: Coefficient, weights: Floats, seed: int, draws: int) -> list[Annotator]:
    found = dawid_skene(votes) if len(votes.labels) > 1 else None
    return annotators(votes, coefficient, weights, seed, draws, None if found is None else found.confusions)


def _cohen(votes: Votes, reason: str, seed: int, draws: int) -> Figure:
    """Of two annotators their kappa with its interval; of more the mean over pairs, with the pairs resampled."""
    if reason:
        return refused(reason)
    weights = {"nominal": "none", "ordinal": "linear", "interval": "quadratic"}[votes.level]
    if len(votes.by) == 2:
        a, b = shared_items(votes, 0, 1)
        return figure(Cohen(votes.values, weights), crossed(a, b, len(votes.labels)), seed, draws)  # type: ignore[arg-type]
    kappas, _ = pairwise(votes, weights)  # type: ignore[arg-type]
    kappas = kappas[np.isfinite(kappas)]
    if not len(kappas):
        return refused("no two annotators have 10 items in common")
    if draws < 1 or len(kappas) < 3:
        return Figure(float(kappas.mean()))
    picks = np.random.default_rng(key("labels", seed, "pairs")).integers(0, len(kappas), (draws, len(kappas)))
    return bounded(float(kappas.mean()), kappas[picks].mean(1))


def _of_label(votes: Votes, counts: Floats, c: int, reason: str, seed: int, draws: int) -> OfLabel:
    """One label against all others."""
    given = int(counts[:, c].sum())
    if not reason and given < FEW:
        reason = f"{counted(given, 'answer')} of this label; {FEW} are needed"
    two = np.column_stack((counts[:, c], counts.sum(1) - counts[:, c]))
    return OfLabel(
        votes.labels[c],
        given,
        figure(Nominal(), two, seed, draws, lambda _: reason),
        figure(_Again(), two, seed, draws, lambda _: reason),
    )


@dataclass(frozen=True)
class _Again:
    """Specific agreement (Spitzer & Fleiss 1974): sum n (n - 1) / sum n (m - 1) of the first column's label."""

    name: str = "specific"

    def parts(self, counts: Floats) -> Floats:
        n, m = counts[:, 0], counts.sum(1)
        return np.column_stack((n * (n - 1), n * (m - 1)))

    def of(self, sums: Floats) -> Floats:
        return ratio(sums[:, 0], sums[:, 1])
