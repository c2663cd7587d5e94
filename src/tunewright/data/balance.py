"""How evenly rows are spread over labels, languages, lengths and groups, and a plan against it that touches no row.

| figure | is |
|---|---|
| effective | (1 - b^n) / (1 - b), b = 0.999 (Cui et al. 2019; `core.effective`) |
| ratio | the largest count over the smallest |
| entropy | -sum p log p over log C: 1 where all are alike, 0 where there is one |

Shares bear Wilson's 95% intervals. A plan is for cells, labels or combinations of labels and slices: weights of draws
(`sampler`), of losses (`loss`; both n / (C x count) or by effective numbers, with mean 1 over rows), or how many new rows
would bring each cell to the size of the largest (`quotas`). Where a recipe can say it, the plan has the lines for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Literal

from tunewright.core.effective import effective_number, effective_weights
from tunewright.core.errors import DataError, Problem, closest, listed
from tunewright.data.difficulty.words import whole, words_of
from tunewright.data.journal import Draft
from tunewright.data.labels.intervals import wilson
from tunewright.data.language import languages

Plan = Literal["sampler", "loss", "quotas"]
PLANS: tuple[Plan, ...] = ("sampler", "loss", "quotas")
LEAST = 5
_LENGTHS = (8, 16, 32, 64, 128, 256)


def _language(drafts: Sequence[Draft]) -> list[str]:
    return [found[0] for found in languages([whole(draft) for draft in drafts])]


def _length(drafts: Sequence[Draft]) -> list[str]:
    return [_bucket(len(words_of(whole(draft)))) for draft in drafts]


def _bucket(words: int) -> str:
    least = 0
    for most in _LENGTHS:
        if words <= most:
            return f"{least}-{most}"
        least = most + 1
    return f"{least}+"


SLICES: dict[str, Callable[[Sequence[Draft]], list[str]]] = {
    "label": lambda drafts: [draft.label if draft.label is not None else "(none)" for draft in drafts],
    "language": _language,
    "length": _length,
    "group": lambda drafts: [draft.group if draft.group is not None else "(none)" for draft in drafts],
}
"""Each row's cell. `language` as far as scripts and common English words tell it (`data.language`), `length` in buckets of
words, of characters in Chinese."""


@dataclass(frozen=True)
class Balance:
    """The counts of one slice, largest first."""

    name: str
    counts: Mapping[str, int]

    @property
    def rows(self) -> int:
        return sum(self.counts.values())

    @property
    def ratio(self) -> float:
        """The largest over the smallest."""
        return max(self.counts.values()) / min(self.counts.values())

    @property
    def entropy(self) -> float | None:
        """Of its largest possible value; None of one cell, where there is none."""
        if len(self.counts) < 2:
            return None
        return -sum(n / self.rows * log(n / self.rows) for n in self.counts.values()) / log(len(self.counts))

    def as_json(self) -> dict[str, Any]:
        """The slice as plain values."""
        cells = []
        for name, n in self.counts.items():
            share = wilson(n, self.rows)
            cells.append({"name": name, "rows": n, "share": share.value, "low": share.low, "high": share.high,
                          "effective": round(effective_number(n), 2)})  # fmt: skip
        return {"by": self.name, "rows": self.rows, "cells": cells, "ratio": self.ratio, "entropy": self.entropy,
                "small": [name for name, n in self.counts.items() if n < LEAST]}  # fmt: skip


def balances(drafts: Sequence[Draft], by: Sequence[str] = ("label", "language", "length")) -> list[Balance]:
    """Each slice of the rows; of several, also the cells of all together.

    Raises:
        DataError: no rows, or an unknown slice; all at once.
    """
    problems = [
        Problem(where="--by", found=f"there is no slice {name!r}", allowed=listed(sorted(SLICES)),
                to_do=closest(name, SLICES) or "choose some of these")
        for name in by if name not in SLICES
    ]  # fmt: skip
    if not drafts:
        problems.append(Problem(where="balance", found="no rows", allowed="at least one"))
    if problems:
        raise DataError(*problems)
    return [_counted(name, SLICES[name](drafts)) for name in by]


def _counted(name: str, cells: Sequence[str]) -> Balance:
    counts = Counter(cells)
    return Balance(name, dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))))


def plan(
    drafts: Sequence[Draft], kind: Plan, by: Sequence[str] = ("label",), *, effective: bool = False, power: float = 0.0
) -> dict[str, Any]:
    """The plan as plain values: a weight or a number of new rows for each cell.

    Args:
        by: slices whose combinations are the cells.
        effective: weigh by effective numbers rather than counts.
        power: from 0, all cells alike, to 1, as they are; of `sampler` and of weights by counts.

    Raises:
        DataError: an unknown slice, or a cell of fewer than five rows, whose weight would say nothing.
    """
    balances(drafts, by)
    cells = list(zip(*(SLICES[name](drafts) for name in by), strict=True))
    counts = dict(sorted(Counter(cells).items(), key=lambda pair: (-pair[1], pair[0])))
    small = [" x ".join(cell) for cell, n in counts.items() if n < LEAST]
    if small and kind != "quotas":
        raise DataError(
            Problem(where="balance", found=f"fewer than {LEAST} rows in {listed([repr(name) for name in small])}",
                    allowed=f"at least {LEAST} rows a cell", to_do="bring more rows, merge labels, or leave a slice out")
        )  # fmt: skip
    if kind == "quotas":
        most = max(counts.values())
        numbers: dict[tuple[str, ...], float] = {cell: most - n for cell, n in counts.items()}
    elif effective:
        numbers = dict(zip(counts, effective_weights(list(counts.values())), strict=True))
    else:
        raw = {cell: n ** (power - 1) for cell, n in counts.items()}
        mean = sum(raw[cell] * n for cell, n in counts.items()) / len(drafts)
        numbers = {cell: w / mean for cell, w in raw.items()}
    what = "new rows" if kind == "quotas" else "weight"
    listing = [{"cell": dict(zip(by, cell, strict=True)), "rows": n, what: numbers[cell]} for cell, n in counts.items()]
    out: dict[str, Any] = {"plan": kind, "by": list(by), "rows": len(drafts), "cells": listing}
    if tuple(by) == ("label",):
        out["recipe"] = _lines(kind, {cell[0]: numbers[cell] for cell in counts}, effective, power)
    return out


def _lines(kind: Plan, numbers: Mapping[str, float], effective: bool, power: float) -> dict[str, Any]:
    """What a recipe says for it. A sampler draws by counts alone, so effective numbers become a loss there."""
    if kind == "quotas":
        return {"data": {"steps": [{"augment": {"quotas": {name: int(n) for name, n in numbers.items() if n}}}]}}
    if kind == "sampler" and not effective:
        return {"training": {"sampler": {"balanced": {"power": power}}}}
    if effective:
        return {"objective": {"cross_entropy": {"class_weights": "effective"}}}
    return {"objective": {"cross_entropy": {"class_weights": {name: round(n, 6) for name, n in numbers.items()}}}}
