"""What a check of `selftest` found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

EXACT = 1e-5
"""How far two computations in float32 of the same numbers may lie apart, relative to their size."""
COARSE = 0.1
"""The most that may be put down to how a step is cut, in any precision."""
MOST = 1e-3
"""The most that may be put down to float32's rounding where a gradient is small beside its parts."""
FOREIGN = 0.3
"""From here on a step is another one than that in float32."""


Difference = tuple[float, str] | str
"""How far two computations lie apart and which these are; or, in words alone, what is wrong whatever the figures."""


@dataclass(frozen=True)
class Result:
    """One check. `passed` is None where it does not apply. figure: the largest difference, relative; bound: what it may be.

    words: what was compared, or why it does not apply; where it failed, what differs, by how much and for which example.
    """

    task: str
    name: str
    passed: bool | None
    figure: float | None = None
    bound: float | None = None
    words: str = ""
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The result as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Found:
    """A check's outcome before it has a name: the differences between pairs of computations, each with what it is.

    faults: what is wrong whatever the figures. apart: (figure, what) of each comparison. bound: what a figure may be.
    """

    words: str
    apart: tuple[tuple[float, str], ...] = ()
    bound: float = EXACT
    faults: tuple[str, ...] = ()
    applies: bool = True

    @classmethod
    def of(cls, words: str, found: Sequence[Difference], bound: float = EXACT) -> Found:
        """From differences."""
        figures = tuple(one for one in found if not isinstance(one, str))
        return cls(words, figures, bound, tuple(one for one in found if isinstance(one, str)))

    def result(self, task: str, name: str, seconds: float) -> Result:
        """The outcome, judged: a figure that is no number fails."""
        if not self.applies:
            return Result(task, name, None, words=self.words, seconds=seconds)
        worst = max(self.apart, key=lambda one: (one[0] != one[0], one[0]), default=None)
        wrong = [*self.faults]
        if worst is not None and not worst[0] <= self.bound:
            more = sum(not figure <= self.bound for figure, _ in self.apart) - 1
            others = f" (and {more} more)" if more else ""
            wrong.append(f"{worst[1]}: {worst[0]:.2g} apart, {self.bound:.2g} allowed{others}")
        figure = None if worst is None else worst[0]
        bound = None if worst is None else self.bound
        return Result(task, name, not wrong, figure, bound, "; ".join(wrong) or self.words, seconds)


def apart(one: float, other: float, scale: float | None = None) -> float:
    """The difference of two numbers relative to the first, or to `scale`."""
    size = abs(one) if scale is None else scale
    return abs(one - other) / size if size else abs(one - other)
