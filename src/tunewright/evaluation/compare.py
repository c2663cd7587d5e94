"""Paired comparisons of two contenders on the same items, by any metric, and what may be said after several.

The test goes by the kind of metric: right or wrong an item -> McNemar; means over items and functions of the
confusion matrix -> paired bootstrap; areas -> DeLong (ROC) or the infinitesimal jackknife (PR).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from tunewright.core.errors import DataError, Problem, listed
from tunewright.core.outcomes import Judged
from tunewright.evaluation.intervals import Interval, percentile
from tunewright.evaluation.multiple import holm, holm_levels
from tunewright.evaluation.paired import (
    Test,
    bootstrap_test,
    delong,
    difference_interval,
    mcnemar,
    normal_interval,
)
from tunewright.evaluation.power import smallest_detectable, smallest_detectable_normal
from tunewright.evaluation.resampling import kinds, shared_draws
from tunewright.metrics import Averaged, Counted, Metric, Ranked, task_of

Floats = NDArray[np.float64]
Outcome = Literal["better", "worse", "can't tell"]
P = TypeVar("P", bound=Judged)


@dataclass(frozen=True)
class Plan:
    """How to compare: bootstrap `resamples`, `confidence` (alpha is 1 - confidence) and `seed`."""

    resamples: int = 2000
    confidence: float = 0.95
    seed: int = 0

    @property
    def alpha(self) -> float:
        """The chance of a false claim that is accepted."""
        return 1 - self.confidence


@dataclass(frozen=True)
class Comparison:
    """One paired comparison. `effect` is contender minus against, in the metric's own unit.

    `bounds` gives the interval at any confidence; `interval` is the one at `confidence`, which within a family is
    Holm's own level for this comparison, so that it agrees with the outcome. `p_holm` is p after Holm's correction over
    a family of `family` comparisons. `discordant` counts items that only the contender, only the other got right.
    `detectable` is the smallest difference that this test set shows in four cases of five, at the family's strictest
    level.
    """

    contender: str
    against: str
    metric: Metric
    effect: float
    bounds: Callable[[float], Interval] = field(repr=False)
    test: Test
    spread: float
    items: int
    confidence: float
    discordant: tuple[int, int] | None = None
    p_holm: float = 1.0
    family: int = 1
    decided: bool | None = None

    @property
    def interval(self) -> Interval:
        """At `confidence`; where its own method and the test part at the very edge, its near end is zero."""
        found = self.bounds(self.confidence)
        if self.decided is None or found.low is None or found.high is None:
            return found
        low, high, method = found.low, found.high, found.method + (", Holm-adjusted" if self.family > 1 else "")
        if self.decided and low < 0 < high:
            low, high = (0.0, high) if self.effect > 0 else (low, 0.0)
        elif not self.decided:
            low, high = min(low, 0.0), max(high, 0.0)
        return Interval(low, high, method)

    def detectable(self, alpha: float) -> float:
        """See the class."""
        level = alpha / self.family
        if self.discordant is not None:
            return smallest_detectable(self.items, sum(self.discordant), alpha=level)
        return smallest_detectable_normal(self.spread, alpha=level)

    def outcome(self, alpha: float) -> Outcome:
        """better or worse where the corrected p is at most alpha, else can't tell."""
        if self.p_holm > alpha or self.effect == 0:
            return "can't tell"
        return "better" if (self.effect > 0) == (self.metric.better == "higher") else "worse"

    def as_json(self, alpha: float) -> dict[str, Any]:
        """As in evidence.json."""
        return {
            "contender": self.contender,
            "against": self.against,
            "metric": self.metric.name,
            "effect": self.effect,
            "low": self.interval.low,
            "high": self.interval.high,
            "confidence": self.confidence,
            "interval": self.interval.method,
            "test": self.test.name,
            "p": self.test.p,
            "p_holm": self.p_holm,
            "family": self.family,
            "discordant": None if self.discordant is None else list(self.discordant),
            "smallest_detectable": self.detectable(alpha),
            "verdict": self.outcome(alpha),
        }


def compare(
    metric: Metric | str,
    a: Judged,
    b: Judged,
    plan: Plan | None = None,
    drawn: Mapping[tuple[str, str], Floats] | None = None,
) -> Comparison | None:
    """Compare `a` with `b` on the same items, uncorrected; None where `incomparable` says why.

    `drawn` are the `shared_draws` of both, where they are there already.

    Raises:
        DataError: the two did not predict the same items.
    """
    plan = plan or Plan()
    metric = task_of(a).metric(metric) if isinstance(metric, str) else metric
    a, b = (p.supervised() for p in aligned([a, b]))
    if incomparable(metric, a, b) is not None:
        return None
    items_a, items_b = metric.items(a), metric.items(b)
    if isinstance(metric, Ranked):
        return _ranked(metric, a, b, plan)
    binary = isinstance(metric, Counted) or (isinstance(metric, Averaged) and metric.binary)
    if items_a is not None and items_b is not None and binary and _whole(items_a) and _whole(items_b):
        return _right_or_wrong(metric, a, b, (items_a, items_b), plan)
    value_a, value_b = metric.value(a), metric.value(b)
    assert value_a is not None and value_b is not None
    differences = _resampled(metric, a, b, plan, drawn)
    effect = value_a - value_b

    least = 2.0 ** (1 - _differing(metric, a, b))

    def bounds(confidence: float) -> Interval:
        found = replace(percentile(differences, confidence).around(effect), method="paired percentile bootstrap")
        return found if least <= 1 - confidence else found.around(0.0)

    spread = float(np.nanstd(differences)) if len(differences) else 0.0
    test = bootstrap_test(differences)
    test = replace(test, p=min(1.0, max(test.p, least)))
    return Comparison(a.contender, b.contender, metric, effect, bounds, test, spread, len(a), plan.confidence)


def incomparable(metric: Metric, a: Judged, b: Judged) -> str | None:
    """Why two aligned contenders cannot be compared by this metric; None where they can."""
    lacking = [f"{p.contender}: {why}" for p in (a, b) if (why := metric.undefined(p)) is not None]
    if lacking:
        return "; ".join(lacking)
    if len(a.supervised()) < 2:
        return "there is one item only"
    return metric.apart(a, b)


def _differing(metric: Metric, a: Any, b: Any) -> int:
    """Items on which the two differ. With m of them no exact test of swapped pairs gives less than 2 / 2^m, however far apart
    the two are; a bootstrap of a handful of items alike knows nothing of that."""
    if isinstance(metric, Counted):
        return int((a.output != b.output).sum())
    assert isinstance(metric, Averaged)
    return int((metric.columns(a) != metric.columns(b)).any(axis=1).sum())


def _whole(items: Floats) -> bool:
    """Whether every item is right or wrong: none is half right."""
    return bool(((items == 0) | (items == 1)).all())


def _right_or_wrong(metric: Metric, a: Judged, b: Judged, items: tuple[Floats, Floats], plan: Plan) -> Comparison:
    right_a, right_b = items[0] > 0, items[1] > 0
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return Comparison(
        a.contender,
        b.contender,
        metric,
        (only_a - only_b) / len(a),
        lambda confidence: difference_interval(only_a, only_b, len(a), confidence),
        mcnemar(only_a, only_b),
        float(np.sqrt(only_a + only_b)) / len(a),
        len(a),
        plan.confidence,
        (only_a, only_b),
    )


def _ranked(metric: Ranked, a: Any, b: Any, plan: Plan) -> Comparison:
    (value_a, influence_a), (value_b, influence_b) = metric.influence(a), metric.influence(b)
    name = "DeLong" if metric.name == "roc_auc" else "infinitesimal jackknife"
    effect = value_a - value_b
    error = float(np.sqrt(((influence_a - influence_b) ** 2).sum()))
    return Comparison(
        a.contender,
        b.contender,
        metric,
        effect,
        lambda confidence: normal_interval(effect, error, confidence).within(-1.0, 1.0),
        delong(influence_a, influence_b, effect, name),
        error,
        len(a),
        plan.confidence,
    )


def _resampled(metric: Metric, a: Any, b: Any, plan: Plan, drawn: Mapping[tuple[str, str], Floats] | None) -> Floats:
    """(R,) differences over resamples of the items, the same items for both."""
    if isinstance(metric, Counted):
        found = kinds(a, b)
        draws = found.draws(plan.resamples, plan.seed)
        return metric.of_tally(found.tally(draws, 0)) - metric.of_tally(found.tally(draws, 1))
    if isinstance(metric, Averaged):
        both = [
            shared_draws([p], [metric], plan.resamples, plan.seed)[p.contender, metric.source]
            if drawn is None
            else drawn[p.contender, metric.source]
            for p in (a, b)
        ]
        return metric.of_means(both[0]) - metric.of_means(both[1])
    raise TypeError(f"metric {metric.name!r} is neither Counted, Averaged nor Ranked")


def corrected(comparisons: Sequence[Comparison], alpha: float = 0.05) -> list[Comparison]:
    """The same comparisons as one family, with Holm's correction of every p and the interval that agrees with it."""
    ps = [c.test.p for c in comparisons]
    found = []
    for c, p, share in zip(comparisons, holm(ps), holm_levels(ps, alpha), strict=True):
        one = replace(c, p_holm=p, family=len(comparisons), confidence=1 - share)
        found.append(replace(one, decided=one.outcome(alpha) != "can't tell"))
    return found


def aligned(contenders: Sequence[Judged]) -> list[Judged]:
    """The same predictions with the items and labels in the order of the first contender's.

    Raises:
        DataError: with every contender of another task, or with other items, labels or gold, or an item twice.
    """
    first = contenders[0]
    gold = {item: first.gold_of(i) for i, item in enumerate(first.ids)}
    problems: list[Problem] = []
    result = []
    for p in contenders:
        wrong = _mismatch(first, gold, p)
        if wrong:
            problems.append(
                Problem(
                    where=f"predictions of {p.contender!r} beside {first.contender!r}",
                    found=wrong,
                    allowed="the same items with the same gold labels for every contender",
                    to_do="run `tunewright evaluate` again so that all contenders predict the same items",
                )
            )
        else:
            result.append(p if p.ids == first.ids else take(p, first.ids))
    if problems:
        raise DataError(*problems)
    return result


def _mismatch(first: Judged, gold: Mapping[str, object], p: Judged) -> str:
    task = task_of(first)
    if task_of(p) is not task:
        return f"predictions of {task_of(p).name} in place of {task.name}"
    if len(set(p.ids)) != len(p.ids):
        return "an item stands twice"
    if p.labels != first.labels:
        return f"labels {listed(p.labels)} in place of {listed(first.labels)}"
    strangers = sorted(set(p.ids) ^ set(first.ids))
    if strangers:
        return f"{len(strangers)} items that only one of them has: {listed(strangers, 5)}"
    other = differing(p, gold)
    return f"{len(other)} items with another gold {task.answer or 'size'}: {listed(other, 5)}" if other else ""


def differing(p: Judged, gold: Mapping[str, object]) -> list[str]:
    """The items whose gold answer is not the one in `gold`."""
    return [item for i, item in enumerate(p.ids) if p.gold_of(i) != gold[item]]


def take(p: P, ids: Sequence[str]) -> P:
    """The items `ids` of `p`, in that order."""
    place = {item: i for i, item in enumerate(p.ids)}
    return p.taken(np.array([place[item] for item in ids], np.int64))
