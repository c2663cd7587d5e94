"""The few drawing tools that the charts share: elements, a scale, round ticks.

Horizontal positions are percentages and vertical ones pixels, without a view box: a chart fills the width it gets, and
its lettering keeps its size on a phone and on paper. Polylines, which take no percentages, sit in a stretched inner
`svg` with strokes that do not scale. Everything is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Value = str | float | int | None


def element(name: str, *children: Markup | str, **attributes: Value) -> Markup:
    """An element; in attribute names a last underscore is dropped and others are hyphens; None is left out."""
    parts = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(children)
    return Markup(f"<{name}{parts}>{inside}</{name}>" if inside else f"<{name}{parts}/>")


def _plain(value: Value) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def share(value: float) -> str:
    """A position between 0 and 100 as a percentage of the width."""
    return f"{value:.2f}%"


@dataclass(frozen=True)
class Scale:
    """Maps [low, high] linearly to [start, end]; values outside are held at the edges."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        width = self.high - self.low
        part = 0.5 if width <= 0 else min(1.0, max(0.0, (value - self.low) / width))
        return self.start + part * (self.end - self.start)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) inside [low, high], about as many as asked for."""
    if not high > low:
        return [low]
    if not math.isfinite(high - low):
        return []
    rough = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)][:20]


def domain(values: Sequence[float], *, at_least: float = 0.0, margin: float = 0.06) -> tuple[float, float]:
    """An interval around all values with a margin, at least `at_least` wide."""
    low, high = min(values), max(values)
    spare = max(at_least - (high - low), 0.0) / 2
    pad = margin * max(high - low, at_least) or 0.5
    return low - spare - pad, high + spare + pad


def picture(title: str, description: str, height: int, *children: Markup, class_: str = "chart") -> Markup:
    """The outer `svg`: an image to assistive technology, with a name and a description."""
    return element(
        "svg",
        element("title", escape(title)),
        element("desc", escape(description)) if description else Markup(""),
        *children,
        class_=class_,
        role="img",
        width="100%",
        height=height,
        xmlns="http://www.w3.org/2000/svg",
    )


def label(x: float, y: float, text: str, *, anchor: str = "middle", class_: str = "tick", dx: float = 0.0) -> Markup:
    """A short text at x percent and y pixels."""
    return element("text", escape(text), x=share(x), y=y, dx=dx or None, text_anchor=anchor, class_=class_)


def segment(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line between two places (percent, pixels)."""
    return element("line", x1=share(x1), y1=y1, x2=share(x2), y2=y2, class_=class_)


def thinned(points: Sequence[tuple[float, float]], limit: int = 480) -> list[tuple[float, float]]:
    """At most about `limit` points that keep every visible peak: the lowest and the highest of each stretch."""
    if len(points) <= limit:
        return list(points)
    stretch = math.ceil(2 * len(points) / limit)
    kept: list[tuple[float, float]] = []
    by_height: Callable[[tuple[float, float]], float] = lambda point: point[1]  # noqa: E731
    for start in range(0, len(points), stretch):
        part = points[start : start + stretch]
        kept.extend(sorted({min(part, key=by_height), max(part, key=by_height)}))
    return kept


def smoothed(values: Sequence[float], span: float) -> list[float]:
    """Exponential moving average over about `span` steps, corrected for its start as Adam's moments are."""
    keep = 1 - 2 / (span + 1)
    result: list[float] = []
    total = weight = 0.0
    for value in values:
        total = keep * total + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        result.append(total / weight)
    return result
