"""The report's charts as inline SVG: interval strips, the effect, curves, reliability, a map of many classes.

Each is a pure function from numbers to markup. Colours are classes of the style sheet, so that light, dark and print
share one drawing; no meaning rests on colour alone (dashes, shapes and words carry it too).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from markupsafe import Markup

from tunewright.reporting.formatting import compact, count, percent, points
from tunewright.reporting.svg import (
    Scale,
    domain,
    element,
    label,
    picture,
    segment,
    share,
    thinned,
    ticks,
)

LEFT, RIGHT = 14.0, 95.0
TOP = 12


@dataclass(frozen=True)
class Interval:
    """A value with its interval; either may be absent."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def known(self) -> tuple[float, ...]:
        return tuple(number for number in (self.low, self.value, self.high) if number is not None)


@dataclass(frozen=True)
class Series:
    """One curve: its name, its class in the style sheet, its points in order of x, and whether dots mark them."""

    name: str
    style: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


@dataclass(frozen=True)
class Frame:
    """What surrounds the curves: title, description, how y is written, the marked step, the limits of y."""

    title: str
    description: str
    write: Callable[[float], str] = compact
    best: float | None = None
    from_zero: bool = False
    height: int = 230
    low: float | None = None
    high: float | None = None


def shared_domain(intervals: Sequence[Interval], at_least: float = 0.08) -> tuple[float, float] | None:
    """The common axis of several strips, held inside [0, 1] where all values are shares, and off the negative numbers
    where no value is one."""
    known = [number for interval in intervals for number in interval.known]
    if not known:
        return None
    low, high = domain(known, at_least=at_least)
    inside = all(0 <= number <= 1 for number in known)
    return max(0.0, low) if min(known) >= 0 else low, min(1.0, high) if inside and at_least else high


def strip(interval: Interval, axis: tuple[float, float], reference: Interval | None, tuned: bool, title: str) -> Markup:
    """One row of a forest plot: a line for the interval, a square (tuned) or a ring, a band for the reference."""
    scale = Scale(*axis, 2.0, 98.0)
    parts = [segment(scale(tick), 0, scale(tick), 40, "grid") for tick in ticks(*axis)]
    if reference is not None and reference.low is not None and reference.high is not None:
        left, right = scale(reference.low), scale(reference.high)
        parts.append(element("rect", x=share(left), y=0, width=share(right - left), height=40, class_="band"))
    kind = "tuned" if tuned else "rival"
    if interval.low is not None and interval.high is not None:
        left, right = scale(interval.low), scale(interval.high)
        parts.append(segment(left, 20, right, 20, f"whisker {kind}"))
        parts += [segment(end, 14, end, 26, f"whisker {kind}") for end in (left, right)]
    if interval.value is not None:
        middle = scale(interval.value)
        if tuned:
            square = element("rect", x=-6, y=14, width=12, height=12, class_=f"mark {kind}")
            parts.append(element("svg", square, x=share(middle), y=0, overflow="visible"))
        else:
            parts.append(element("circle", cx=share(middle), cy=20, r=5, class_=f"mark {kind}"))
    return picture(title, "", 40, *parts, class_="strip")


def strip_axis(axis: tuple[float, float], write: Callable[[float], str] | None = None) -> Markup:
    """The ticks under the strips of a forest plot, hidden from assistive technology: each row states its figures.

    Ticks are percentages unless `write` prints them.
    """
    scale = Scale(*axis, 2.0, 98.0)
    edge = 3 if write is None else 8  # percentages are short
    write = write or partial(percent, digits=0 if axis[1] - axis[0] > 0.03 else 1)
    parts = []
    for tick in ticks(*axis):
        anchor = "start" if scale(tick) < edge else "end" if scale(tick) > 100 - edge else "middle"
        parts.append(label(scale(tick), 16, write(tick), anchor=anchor))
    return element("svg", *parts, class_="strip", width="100%", height=24, aria_hidden="true")


def effect(
    interval: Interval, smallest: float | None, write: Callable[[Any], str] = points, unit: str = " points"
) -> Markup:
    """The difference on an axis around zero; the shaded zone holds what this test set could not have shown.

    `write` prints a difference with its sign; `unit` follows it in a sentence.
    """
    zone = [] if smallest is None else [-smallest, smallest]
    reach = 1.18 * max([abs(number) for number in (*interval.known, *zone)] or [0.01]) or 0.01
    scale = Scale(-reach, reach, 2.0, 98.0)
    parts = []
    if smallest is not None:
        left, right = scale(-smallest), scale(smallest)
        parts.append(element("rect", x=share(left), y=6, width=share(right - left), height=52, class_="zone"))
    parts += [segment(2, 58, 98, 58, "axis"), segment(50, 0, 50, 58, "zero")]
    parts += [_effect_tick(scale(tick), write(tick)) for tick in ticks(-reach, reach, 6)]
    if interval.low is not None and interval.high is not None:
        left, right = scale(interval.low), scale(interval.high)
        parts.append(segment(left, 32, right, 32, "whisker tuned thick"))
        parts += [segment(end, 24, end, 40, "whisker tuned") for end in (left, right)]
    if interval.value is not None:
        square = element("rect", x=-7, y=25, width=14, height=14, class_="mark tuned")
        parts.append(element("svg", square, x=share(scale(interval.value)), y=0, overflow="visible"))
    bounds = f", interval {write(interval.low)} to {write(interval.high)}" if interval.low is not None else ""
    told = f"Difference {write(interval.value)}{unit}{bounds}."
    if smallest is not None:
        told += f" Differences up to {write(smallest).lstrip('+')}{unit} could not have been shown."
    return picture("The difference between the two", told, 84, *parts)


def _effect_tick(x: float, text: str) -> Markup:
    anchor = "start" if x < 6 else "end" if x > 94 else "middle"
    return Markup("").join([segment(x, 58, x, 63, "axis"), label(x, 78, text, anchor=anchor)])


def curves(frame: Frame, series: Sequence[Series]) -> Markup:
    """Lines over training steps, the best step marked by a dashed upright line."""
    drawn = [one for one in series if one.points]
    xs = [x for one in drawn for x, _ in one.points]
    ys = [y for one in drawn for _, y in one.points]
    low, high = domain(ys)
    if frame.from_zero and max(ys) > 0:
        high = 1.06 * max(ys)
    low = 0.0 if frame.from_zero else low if frame.low is None else max(low, frame.low)
    high = high if frame.high is None else min(high, frame.high)
    across = Scale(min(xs), max(xs), LEFT, RIGHT)
    bottom = frame.height - 38
    up = Scale(low, high, bottom, TOP)
    parts = [*_grid(low, high, up, frame.write), *_steps(min(xs), max(xs), across, bottom)]
    if frame.best is not None:
        x = across(frame.best)
        parts.append(segment(x, TOP - 6, x, bottom, "best"))
    parts += [_line(one, across, up, bottom) for one in drawn]
    for one in drawn:
        if one.dots or len(one.points) == 1:
            parts += [_dot(across(x), up(y), one.style, x == frame.best) for x, y in one.points[:400]]
    return picture(frame.title, frame.description, frame.height, *parts)


def _grid(low: float, high: float, up: Scale, write: Callable[[float], str]) -> list[Markup]:
    parts = []
    for tick in ticks(low, high, 4):
        y = up(tick)
        parts += [segment(LEFT, y, RIGHT, y, "grid"), label(LEFT, y + 4, write(tick), anchor="end", dx=-8)]
    return parts


def _steps(low: float, high: float, across: Scale, bottom: float) -> list[Markup]:
    parts = [segment(LEFT, bottom, RIGHT, bottom, "axis")]
    parts += [label(across(tick), bottom + 17, count(tick)) for tick in ticks(low, high, 4)]
    parts.append(label((LEFT + RIGHT) / 2, bottom + 34, "optimizer step", class_="unit"))
    return parts


def _line(series: Series, across: Scale, up: Scale, bottom: float) -> Markup:
    """A polyline inside a stretched box; the box spans the plot, and one unit of height is one pixel."""
    wide = Scale(across.low, across.high, 0.0, 1000.0)
    path = " ".join(f"{wide(x):.1f},{up(y) - TOP:.1f}" for x, y in thinned(series.points))
    line = element("polyline", points=path, class_=f"line {series.style}", vector_effect="non-scaling-stroke")
    height = bottom - TOP
    return element(
        "svg",
        line,
        x=share(LEFT),
        y=TOP,
        width=share(RIGHT - LEFT),
        height=height,
        viewBox=f"0 0 1000 {height:g}",
        preserveAspectRatio="none",
        overflow="visible",
    )


def _dot(x: float, y: float, style: str, best: bool) -> Markup:
    return element("circle", cx=share(x), cy=y, r=6 if best else 3.2, class_=f"dot {style}{' chosen' if best else ''}")


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram: mean confidence, share right with its interval, number of items."""

    low: float
    high: float
    items: int
    confidence: float
    accuracy: Interval


@dataclass(frozen=True)
class Axes:
    """The words at a reliability diagram's axes: what is counted, what is upright, what is across."""

    things: str = "items"
    upright: str = "share right"
    across: str = "confidence of the answer"


def reliability(bins: Sequence[Bin], title: str, description: str, axes: Axes = Axes()) -> Markup:
    """Share right against confidence, with intervals; beneath it, how many items each bin holds."""
    height, plot, foot = 390, 270, 352
    across, up = Scale(0, 1, LEFT, RIGHT), Scale(0, 1, plot, TOP)
    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(segment(LEFT, up(tick), RIGHT, up(tick), "grid"))
        parts.append(segment(across(tick), TOP, across(tick), plot, "grid"))
        parts.append(label(LEFT, up(tick) + 4, percent(tick, 0), anchor="end", dx=-8))
        parts.append(label(across(tick), foot + 15, percent(tick, 0)))
    parts.append(segment(LEFT, plot, RIGHT, TOP, "diagonal"))
    most = max(one.items for one in bins)
    size = Scale(0, most, 0, 44)
    for one in bins:
        parts += _bin(one, across, up, foot, size(one.items))
    parts.append(segment(LEFT, foot, RIGHT, foot, "axis"))
    parts.append(label(LEFT, foot - 52, f"{axes.things} (most: {count(most)})", anchor="start", class_="unit", dx=4))
    parts.append(label(LEFT, TOP + 14, axes.upright, anchor="start", class_="unit", dx=6))
    parts.append(label((LEFT + RIGHT) / 2, height - 3, axes.across, class_="unit"))
    return picture(title, description, height, *parts)


def level_bar(interval: Interval, rival: float | None, title: str) -> Markup:
    """A share as a bar on a rail from 0 to 1, its interval as a line, a rival's share as a ring."""
    scale = Scale(0.0, 1.0, 1.0, 99.0)
    parts = [element("rect", x=share(1.0), y=7, width=share(98.0), height=10, class_="rail")]
    if interval.value is not None:
        width = scale(interval.value) - 1.0
        parts.append(element("rect", x=share(1.0), y=7, width=share(width), height=10, class_="level"))
    if interval.low is not None and interval.high is not None:
        left, right = scale(interval.low), scale(interval.high)
        parts.append(segment(left, 12, right, 12, "whisker ink"))
        parts += [segment(end, 8, end, 16, "whisker ink") for end in (left, right)]
    if rival is not None:
        parts.append(element("circle", cx=share(scale(rival)), cy=12, r=4.5, class_="mark rival"))
    return picture(title, "", 24, *parts, class_="level-bar")


def _bin(one: Bin, across: Scale, up: Scale, foot: float, tall: float) -> list[Markup]:
    left, right = across(one.low), across(one.high)
    width = max(0.4, right - left - 0.6)
    parts = [element("rect", x=share(left + 0.3), y=foot - tall, width=share(width), height=tall, class_="pile")]
    x, seen = across(one.confidence), one.accuracy
    if seen.low is not None and seen.high is not None:
        parts.append(segment(x, up(seen.low), x, up(seen.high), "whisker tuned"))
    if seen.value is not None:
        parts.append(element("circle", cx=share(x), cy=up(seen.value), r=5, class_="mark tuned"))
    return parts


def heat_map(counts: Sequence[Sequence[int]], title: str, description: str) -> Markup:
    """A confusion matrix of many classes as a square map; rows gold, columns output. Empty cells are not drawn."""
    classes = len(counts)
    cells = []
    for row, line in enumerate(counts):
        total = sum(line)
        for column, found in enumerate(line[:classes]):
            if found > 0 and total > 0:
                kind = "hit" if row == column else "miss"
                depth = min(6, 1 + int(6 * found / total))
                cells.append(element("rect", x=column, y=row, width=1, height=1, class_=f"{kind}-{depth}"))
    return element(
        "svg",
        element("title", title),
        element("desc", description),
        element("rect", x=0, y=0, width=classes, height=classes, class_="field"),
        *cells,
        class_="map",
        role="img",
        viewBox=f"0 0 {classes} {classes}",
        xmlns="http://www.w3.org/2000/svg",
    )


def flow_bar(shares: Sequence[tuple[str, int]], whole: int, title: str) -> Markup:
    """A stacked bar of row counts; each part is (class of the style sheet, rows), together at most `whole` rows.

    A part that holds any row is at least a hair wide, so that a single lost row shows.
    """
    parts, x = [], 0.0
    for kind, found in shares:
        width = max(100.0 * found / whole, 0.7) if whole > 0 and found > 0 else 0.0
        if width > 0:
            parts.append(
                element(
                    "rect",
                    x=share(min(x, 99.3)),
                    y=0,
                    width=share(max(0.7, min(width, 100 - x))),
                    height=10,
                    class_=f"flow-{kind}",
                )
            )
        x += width
    return picture(title, "", 10, *parts, class_="flow")
