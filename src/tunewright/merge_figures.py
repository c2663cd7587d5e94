"""What `merge` measures, how much of it may change, and what it says where more does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tunewright.core.errors import Problem
from tunewright.evaluation.intervals import wilson
from tunewright.models.likeness import Likeness


@dataclass(frozen=True)
class Limits:
    """What a merge may change at most.

    kl: mean KL divergence (base + adapter || merged), nats a unit. agreement: the share of decisions that stay; refused
    where even the upper end of its 95% interval lies below. spread: the largest difference of numbers and rewards, in units
    of their spread. lost: the KL divergence as a share of what the adapter itself changed (the divergence of base + adapter
    from the base): rounding may swallow a small update whole and still look harmless by the other figures.
    """

    kl: float
    agreement: float
    spread: float
    lost: float = 0.1


LIMITS = {
    "float32": Limits(1e-5, 0.999, 1e-3, 0.01),
    "bfloat16": Limits(5e-3, 0.99, 0.05),
    "float16": Limits(5e-3, 0.99, 0.05),
    "int8": Limits(0.01, 0.97, 0.1, 0.2),
    "nf4": Limits(0.05, 0.95, 0.3, 0.5),
    "fp4": Limits(0.05, 0.95, 0.3, 0.5),
}  # fmt: skip
"""By the precision that the weights are saved in: what rounding explains, and no more."""


@dataclass(frozen=True)
class Change:
    """A metric before and after, with what can be said of the difference; None where it cannot be compared."""

    metric: str
    before: float | None
    after: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class Tried:
    """One way of merging: how alike it is, and which share of what the adapter changed is lost (None: not known)."""

    likeness: Likeness
    change: Change
    lost: float | None

    @property
    def distance(self) -> float:
        """How far it is from base + adapter: the KL divergence, or the largest difference where there is none."""
        found = self.likeness.largest if self.likeness.kl is None else self.likeness.kl
        return found if math.isfinite(found) else math.inf

    def as_json(self) -> dict[str, Any]:
        """As in merge.json; what is no finite number is null."""
        said = {**asdict(self.likeness), "agreement": self.likeness.agreement, "lost": self.lost}
        low, high = _interval(self.likeness)
        said = {**said, "agreement_low": low, "agreement_high": high, **asdict(self.change)}
        return _finite(said)


@dataclass(frozen=True)
class FewBits:
    """The merged model with its weights in few bits: which `kind`, what each way of merging says after that, opened here and
    by plain transformers (`openers` by way), the `limits`, and the bytes of its weights and of the merged ones in float32."""

    kind: str
    tried: Mapping[str, Mapping[str, Tried]]
    limits: Limits
    size: int
    whole: int

    @property
    def nearest(self) -> str:
        """The way whose worse opener is nearest to base + adapter."""
        return min(self.tried, key=lambda way: max(one.distance for one in self.tried[way].values()))

    def as_json(self) -> dict[str, Any]:
        """As in merge.json."""
        tried = {way: {name: one.as_json() for name, one in both.items()} for way, both in self.tried.items()}
        return {"kind": self.kind, "bytes": self.size, "bytes_float32": self.whole,
                "limits": _finite(asdict(self.limits)), "tried": tried}  # fmt: skip


@dataclass(frozen=True)
class Merged:
    """A merged model: its `folder`, the way that was `chosen` of those `tried`, the `limits` that it kept, on which rows; `quantized`
    says whether the adapter was trained on a quantized base; `few_bits` is what it was made into after that."""

    folder: Path
    precision: str
    chosen: str
    tried: Mapping[str, Tried]
    limits: Limits
    source: str
    items: int
    quantized: bool = False
    few_bits: FewBits | None = None

    def as_json(self) -> dict[str, Any]:
        """As in merge.json."""
        few = {} if self.few_bits is None else {"few_bits": self.few_bits.as_json()}
        return {
            "version": 1, "precision": self.precision, "chosen": self.chosen, "rows": self.source, "items": self.items,
            "limits": _finite(asdict(self.limits)), "tried": {name: one.as_json() for name, one in self.tried.items()},
            **few,
        }  # fmt: skip


def limits_of(precision: str, tolerance: float | None, agreement: float | None) -> Limits:
    """The limits of a precision, or those that were asked for in their place."""
    limits = LIMITS[precision]
    if tolerance is not None:
        limits = replace(limits, kl=tolerance, spread=tolerance, lost=math.inf)
    return limits if agreement is None else replace(limits, agreement=agreement)


def _finite(said: Mapping[str, Any]) -> dict[str, Any]:
    """What is no finite number is null: JSON knows no other."""
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in said.items()}


def exceeded(made: Merged, where: str) -> list[Problem]:
    """Which figures of what would be written lie beyond the limits, and what to do."""
    rows, few = f"on {made.items} rows of {made.source}", made.few_bits
    if few is None:
        return [
            Problem(where=where, found=f"{said}, {rows}", allowed=f"{most} for weights in {made.precision}", to_do=_advice(made))
            for said, most in _beyond(made.tried[made.chosen], made.limits)
        ]  # fmt: skip
    other = "choose --quantize int8, which is nearer" if few.kind != "int8" else "leave --quantize out"
    return [
        Problem(where=where, found=f"opened by {name}: {said}, {rows}", allowed=f"{most} for weights in {few.kind}",
                to_do=f"nothing was written: {other}, or accept the change with --tolerance and --agreement")
        for name, one in few.tried[made.chosen].items() for said, most in _beyond(one, few.limits)
    ]  # fmt: skip


def _beyond(one: Tried, limits: Limits) -> list[tuple[str, str]]:
    """The figures beyond the limits in words, each with what is allowed."""
    said = one.likeness
    unit = {"label": "an item", "example": "an item"}.get(said.unit, f"a {said.unit}")
    problems = list[tuple[str, str]]()
    if said.kl is None and not said.largest <= limits.spread:
        problems.append(
            (f"{said.unit}s differ by up to {said.largest:.3g} of their spread", f"at most {limits.spread:g}")
        )
    if said.kl is not None and not said.kl <= limits.kl:
        problems.append((f"mean KL divergence {said.kl:.3g} nats {unit}", f"at most {limits.kl:g}"))
    if said.agreeing is not None and not _interval(said)[1] >= limits.agreement:
        problems.append(
            (f"{said.agreement:.2%} of {said.decided:,} decisions stay", f"at least {limits.agreement:.4g} of them")
        )
    if one.lost is not None and not one.lost <= limits.lost:
        found = f"{one.lost:.1%} of what the adapter changed is lost (by KL divergence)"
        problems.append((found, f"at most {limits.lost:.0%}"))
    return problems


def _advice(made: Merged) -> str:
    if made.chosen == "plain" and made.quantized:
        return "nothing was written: choose --base dequantized, the weights that training saw"
    if made.precision != "float32":
        return "nothing was written: choose --precision float32, or accept the change with --tolerance and --agreement"
    return "nothing was written: keep base + adapter as it is, or accept the change with --tolerance and --agreement"


def _interval(said: Likeness) -> tuple[float, float]:
    """The 95% interval of the share of decisions that stay."""
    found = wilson(said.agreeing or 0, said.decided)
    return float(found.low or 0.0), 1.0 if found.high is None else float(found.high)
