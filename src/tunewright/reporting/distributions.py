"""Charts of numbers rather than of shares: gold against answer, how values and margins are spread, differences."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from tunewright.reporting.charts import LEFT, RIGHT, TOP, Interval
from tunewright.reporting.formatting import compact, count
from tunewright.reporting.svg import Scale, element, label, picture, segment, share, ticks

Points = Sequence[tuple[float, float]]


def scatter(points: Points, axis: tuple[float, float], tuned: bool, title: str, description: str) -> Markup:
    """One mark an item: gold across, answer upright, on one axis for both; on the diagonal the two agree."""
    height, foot = 390, 342
    longest = max((len(compact(tick)) for tick in ticks(*axis, 5)), default=0)
    marked = ticks(*axis, 7 if longest < 4 else 5)
    start = LEFT + 1.6 * max(0, longest - 4)
    across, up = Scale(*axis, start, RIGHT), Scale(*axis, foot, TOP)
    parts = []
    for tick in marked:
        parts.append(segment(start, up(tick), RIGHT, up(tick), "grid"))
        parts.append(segment(across(tick), TOP, across(tick), foot, "grid"))
        parts.append(label(start, up(tick) + 4, compact(tick), anchor="end", dx=-8))
        parts.append(label(across(tick), foot + 17, compact(tick)))
    parts.append(segment(start, foot, RIGHT, foot, "axis"))
    kind = "tuned" if tuned else "rival"
    marks = (element("circle", cx=share(across(x)), cy=round(up(y), 1), r=3.6 if tuned else 3.2) for x, y in points)
    parts.append(element("g", *marks, class_=f"cloud {kind}"))
    parts.append(segment(start, foot, RIGHT, TOP, "diagonal above"))
    parts.append(label(start, TOP + 12, "answer", anchor="start", class_="unit", dx=6))
    parts.append(label((start + RIGHT) / 2, height - 8, "gold value", class_="unit"))
    return picture(title, description, height, *parts)


def histogram(edges: Sequence[float], counts: Sequence[int], title: str, description: str) -> Markup:
    """Bars over neighbouring stretches of a number's range; `edges` has one more entry than `counts`."""
    height, foot = 150, 118
    across = Scale(edges[0], edges[-1], 2.0, 98.0)
    most = max(*counts, 1)
    up = Scale(0, most, 0, foot - 22)
    parts = []
    for left, right, found in zip(edges, edges[1:], counts, strict=False):
        if found > 0:
            x, tall = across(left), max(1.5, up(found))
            width = max(0.3, across(right) - x - 0.35)
            parts.append(element("rect", x=share(x), y=foot - tall, width=share(width), height=tall, class_="pile"))
    parts.append(segment(2.0, foot, 98.0, foot, "axis"))
    for tick in ticks(edges[0], edges[-1], 5):
        anchor = "start" if across(tick) < 4 else "end" if across(tick) > 96 else "middle"
        parts.append(label(across(tick), foot + 18, compact(tick), anchor=anchor))
    parts.append(label(2.0, 12, f"rows (most: {count(most)})", anchor="start", class_="unit"))
    return picture(title, description, height, *parts)


def margins(edges: Sequence[float], counts: Sequence[int], tuned: bool, title: str, description: str) -> Markup:
    """Bars of margins around a marked zero: those at or below it are wrong and drawn in another shade, with words."""
    height, foot = 190, 148
    low, high = min(edges[0], 0.0), max(edges[-1], 0.0)
    across, up = Scale(low, high, 2.0, 98.0), Scale(0, max(*counts, 1), 0, foot - 44)
    parts = []
    for left, right, found in zip(edges, edges[1:], counts, strict=False):
        if found > 0:
            x, tall = across(left), max(1.5, up(found))
            kind = "pile wrong" if right <= 0 else "pile right" if tuned else "pile"
            width = max(0.3, across(right) - x - 0.35)
            parts.append(element("rect", x=share(x), y=foot - tall, width=share(width), height=tall, class_=kind))
    zero = across(0.0)
    parts += [segment(2.0, foot, 98.0, foot, "axis"), segment(zero, 22, zero, foot, "zero")]
    for tick in ticks(low, high, 5):
        anchor = "start" if across(tick) < 4 else "end" if across(tick) > 96 else "middle"
        parts.append(label(across(tick), foot + 18, compact(tick), anchor=anchor))
    if zero > 22:
        parts.append(label(zero, 14, "← rejected preferred", anchor="end", class_="unit", dx=-7))
    if zero < 78:
        parts.append(label(zero, 14, "chosen preferred →", anchor="start", class_="unit", dx=7))
    parts.append(label(50.0, height - 4, f"margin (fullest bar: {count(max(*counts, 0))} items)", class_="unit"))
    return picture(title, description, height, *parts)


def change(interval: Interval, axis: tuple[float, float], outcome: str, title: str) -> Markup:
    """One row of a forest plot of differences: a line for the interval, a square, and a line at zero."""
    scale = Scale(*axis, 2.0, 98.0)
    parts = [segment(scale(tick), 0, scale(tick), 40, "grid") for tick in ticks(*axis)]
    parts.append(segment(scale(0.0), 0, scale(0.0), 40, "zero"))
    if interval.low is not None and interval.high is not None:
        left, right = scale(interval.low), scale(interval.high)
        parts.append(segment(left, 20, right, 20, f"whisker {outcome}"))
        parts += [segment(end, 14, end, 26, f"whisker {outcome}") for end in (left, right)]
    if interval.value is not None:
        square = element("rect", x=-6, y=14, width=12, height=12, class_=f"mark {outcome}")
        parts.append(element("svg", square, x=share(scale(interval.value)), y=0, overflow="visible"))
    return picture(title, "", 40, *parts, class_="strip")
