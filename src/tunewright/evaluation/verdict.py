"""The one sentence that a manager reads: better, worse or can't tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tunewright.evaluation.compare import Comparison, Outcome
from tunewright.evaluation.predictions import Contender
from tunewright.metrics import Metric


def strongest(baselines: Sequence[Contender], values: Mapping[str, float | None], metric: Metric) -> Contender | None:
    """The baseline with the best value; the majority class only where there is nothing else. Ties: the first.

    The most frequent text is a baseline like others.
    """
    known = [b for b in baselines if values.get(b.name) is not None]
    known = [b for b in known if b.name != "majority" or not b.predictions.labels] or known
    sign = 1 if metric.better == "higher" else -1
    return max(known, key=lambda b: sign * (values[b.name] or 0.0), default=None)


def verdict(
    comparison: Comparison, tuned: Contender, against: Contender, values: Mapping[str, float | None], alpha: float
) -> dict[str, Any]:
    """The verdict of evidence.json from the (corrected) comparison with the strongest baseline."""
    outcome = comparison.outcome(alpha)
    return {
        "outcome": outcome,
        "against": against.name,
        "metric": comparison.metric.name,
        "effect": comparison.effect,
        "low": comparison.interval.low,
        "high": comparison.interval.high,
        "confidence": comparison.confidence,
        "p_holm": comparison.p_holm,
        "smallest_detectable": comparison.detectable(alpha),
        "sentence": _sentence(outcome, comparison, (tuned, against), values, alpha),
    }


def without(metric: Metric, reason: str) -> dict[str, Any]:
    """The verdict where nothing could be compared."""
    empty = dict.fromkeys(("effect", "low", "high", "confidence", "p_holm", "smallest_detectable"))
    return {
        "outcome": "can't tell",
        "against": None,
        "metric": metric.name,
        **empty,
        "sentence": f"Nothing could be compared: {reason}.",
    }


def _sentence(
    outcome: Outcome,
    c: Comparison,
    names: tuple[Contender, Contender],
    values: Mapping[str, float | None],
    alpha: float,
) -> str:
    tuned, against = names
    unit = _Unit(c.metric.percent, math.isinf(c.metric.bounds[1]), digits=2 if c.metric.bounds[1] == 100 else 3)
    ours, theirs = values[tuned.name] or 0.0, values[against.name] or 0.0
    figures = f"{unit.level(ours)} {c.metric.title} against {unit.level(theirs)}"
    if outcome == "can't tell":
        return (
            f"These {c.items:,} test items cannot tell whether {tuned.title} is better or worse than "
            f"{against.title}: {figures}, a difference of {unit.change(c.effect, signed=True)} "
            f"({_interval(c, unit, 1, alpha)}). A test set of this size reliably shows differences of "
            f"{unit.change(c.detectable(alpha))} or more."
        )
    rise = "a gain" if outcome == "better" else "a loss"
    sign = -1 if c.effect < 0 else 1
    if c.metric.better == "lower":
        rise = f"{'lower' if c.effect < 0 else 'higher'} by"
    else:
        rise += " of"
    return (
        f"{tuned.title} is {outcome} than {against.title}: {figures}, {rise} {unit.change(abs(c.effect))} "
        f"({_interval(c, unit, sign, alpha)}) on {c.items:,} test items."
    )


def _interval(c: Comparison, unit: _Unit, sign: int, alpha: float) -> str:
    low, high = c.interval.low, c.interval.high
    if low is None or high is None:
        return "no interval"
    low, high = (low, high) if sign > 0 else (-high, -low)
    adjusted = c.confidence > 1 - alpha + 1e-9
    why = f", adjusted for {c.family} comparisons" if adjusted else ""
    return f"{round(100 * c.confidence, 1):g}% interval {unit.bare(low)} to {unit.bare(high)}{why}"


class _Unit:
    """Percentages and percentage points, or plain numbers: `digits` decimals, or four digits where the scale is open."""

    def __init__(self, percent: bool, open_scale: bool = False, digits: int = 3) -> None:
        self.percent, self.open_scale, self.digits = percent, open_scale, digits

    def level(self, value: float) -> str:
        return f"{100 * value:.1f}%" if self.percent else self.bare(value)

    def bare(self, value: float) -> str:
        if self.open_scale:
            return f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:,.4g}"
        return _plain(f"{100 * value:.1f}") if self.percent else _plain(f"{value:.{self.digits}f}")

    def change(self, value: float, signed: bool = False) -> str:
        text = ("+" if signed and value > 0 else "") + self.bare(value)
        if not self.percent:
            return text
        return f"{text} percentage point{'' if self.bare(value) in ('1.0', '-1.0') else 's'}"


def _plain(text: str) -> str:
    """-0.0 is 0.0 to a reader."""
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text
