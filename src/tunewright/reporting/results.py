"""From evidence.json to what the report shows of it: verdict, ladder, comparisons, classes.

Pure functions from loaded values to views. They compute no statistics: every figure and interval is the evidence's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from markupsafe import Markup

from tunewright.reporting import charts
from tunewright.reporting.charts import Interval
from tunewright.reporting.figures import (
    DECIMALS,
    LOWER,
    SCALED,
    TITLES,
    Figure,
    metric_title,
    read_interval,
    short_title,
    unit_of,
    write_change,
    write_figure,
)
from tunewright.reporting.formatting import (
    ABSENT,
    compact,
    count,
    level,
    number,
    p_value,
    percent,
    shortened,
)
from tunewright.reporting.tasks import ladder
from tunewright.reporting.values import mapping, rows, string, strings

WORDS = {"better": "Better", "worse": "Worse", "can't tell": "Can’t tell"}
SIGNS = {"better": "▲", "worse": "▼", "can't tell": "≈"}
KINDS = {"better": "better", "worse": "worse"}


@dataclass(frozen=True)
class Verdict:
    """The head of the report."""

    kind: str
    word: str
    sign: str
    headline: str
    sentence: str
    facts: Sequence[tuple[str, str, str]]
    chart: Markup | None
    sides: tuple[str, str] = ("", "")
    unit: str = ""
    level: str = ""


@dataclass(frozen=True)
class Rung:
    """One contender of a forest plot."""

    title: str
    role: str
    figure: Figure
    strip: Markup | None


@dataclass(frozen=True)
class Forest:
    """A forest plot of one metric."""

    metric: str
    rungs: Sequence[Rung]
    axis: Markup | None


@dataclass(frozen=True)
class MetricRow:
    """One metric for every contender, in the contenders' order."""

    title: str
    figures: Sequence[Figure]
    method: str


@dataclass(frozen=True)
class Comparison:
    """One paired test as printed."""

    pair: str
    metric: str
    effect: Figure
    level: str
    test: str
    p: str
    holm: str
    smallest: str
    kind: str
    verdict: str


@dataclass(frozen=True)
class ClassRow:
    """The figures of one class."""

    label: str
    support: str
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Cell:
    """One cell of a confusion matrix: rows counted, their share of the gold class, and its shade."""

    items: str
    share: str
    shade: str


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix as a table (few classes) or a map (many), with the pairs confused most often."""

    labels: Sequence[str]
    lines: Sequence[tuple[str, Sequence[Cell], str]]
    picture: Markup | None
    pairs: Sequence[tuple[str, str, str, str]]
    items: str


def kind_of(verdict: str) -> str:
    """The style of a verdict: better, worse, or unsure for everything else."""
    return KINDS.get(verdict, "unsure")


def contenders(evidence: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All contenders from the top of the ladder down: the tuned one, then the others by the ladder's first metric."""
    name = ladder(evidence)[0]

    def rung(one: Mapping[str, Any]) -> tuple[bool, bool, float]:
        reached = number(mapping(mapping(one.get("metrics")).get(name)).get("value"))
        return one.get("role") != "tuned", reached is None, (reached or 0.0) * (1 if name in LOWER else -1)

    return sorted(rows(evidence.get("contenders")), key=rung)


def contender_title(evidence: Mapping[str, Any], name: Any) -> str:
    """A contender's title, or its name where it has none."""
    wanted = string(name)
    for one in rows(evidence.get("contenders")):
        if string(one.get("name")) == wanted:
            return shortened(string(one.get("title"), wanted), 80) or wanted
    return shortened(wanted, 80)


def tuned(evidence: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tuned contender, or the first one where none is called tuned."""
    return contenders(evidence)[0]


def verdict(evidence: Mapping[str, Any]) -> Verdict:
    """The verdict with its headline, its figures and the drawing of the effect."""
    found = mapping(evidence.get("verdict"))
    outcome = string(found.get("outcome"))
    ours = contender_title(evidence, tuned(evidence).get("name"))
    if outcome not in WORDS:
        headline = f"{ours}, measured alone"
        sentence = string(found.get("sentence"), "This run holds no paired comparison: there is no verdict.")
        return Verdict("unsure", "No verdict", "○", headline, sentence, _facts(evidence, {}), None)
    other = contender_title(evidence, found.get("against"))
    headline = {
        "better": f"{ours} is better than {other}",
        "worse": f"{ours} is worse than {other}",
    }.get(outcome, f"These data can’t tell {ours} from {other}")
    interval = Interval(number(found.get("effect")), number(found.get("low")), number(found.get("high")))
    smallest, metric = number(found.get("smallest_detectable")), string(found.get("metric"))
    plain = metric in DECIMALS
    chart = None
    if interval.value is not None:
        chart = charts.effect(interval, smallest, partial(write_change, metric), "" if plain else " points")
    return Verdict(
        kind=kind_of(outcome),
        word=WORDS[outcome],
        sign=SIGNS[outcome],
        headline=headline.replace(" + ", "\N{NO-BREAK SPACE}+ ").replace("-", "\N{NON-BREAKING HYPHEN}"),
        sentence=string(found.get("sentence")),
        facts=_facts(evidence, found),
        chart=chart,
        sides=(other, ours) if metric not in LOWER else (ours, other),
        unit=f"in {short_title(metric)}" if plain else "in percentage points",
        level=level(found.get("confidence", evidence.get("confidence"))),
    )


def _facts(evidence: Mapping[str, Any], found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    items = (
        f"Items, {string(evidence.get('split'), 'test')}",
        count(evidence.get("items")),
        "the same for every contender",
    )
    if not found:
        return [items]
    name = string(found.get("metric"))
    plain = name in DECIMALS
    effect, low, high, smallest = (
        write_change(name, found.get(key)) for key in ("effect", "low", "high", "smallest_detectable")
    )
    confidence = level(found.get("confidence", evidence.get("confidence")))
    return [
        (
            f"Effect on {short_title(name)}" + ("" if plain else ", points"),
            effect,
            f"[{low}, {high}] at {confidence} confidence",
        ),
        ("p, Holm-corrected", p_value(found.get("p_holm")), "how often chance alone would show this much"),
        ("Smallest detectable", smallest.lstrip("+"), ("" if plain else "points, ") + "with this many items"),
        items,
    ]


def forests(evidence: Mapping[str, Any]) -> list[Forest]:
    """The ladder in each of the task's leading metrics that any contender has; those of one unit share an axis."""
    rungs, names = contenders(evidence), ladder(evidence)
    metrics = {name: [mapping(mapping(one.get("metrics")).get(name)) for one in rungs] for name in names}
    alike = {name: [other for other in names if unit_of(other) == unit_of(name)] for name in names}
    axes = {
        name: charts.shared_domain(
            [read_interval(value) for other in alike[name] for value in metrics[other]], 0.0 if name in SCALED else 0.08
        )
        for name in names
    }
    return [_forest(evidence, name, values, axes[name]) for name, values in metrics.items() if any(values)]


def _forest(
    evidence: Mapping[str, Any], metric: str, values: Sequence[Mapping[str, Any]], axis: tuple[float, float] | None
) -> Forest:
    contending = contenders(evidence)
    against = string(mapping(evidence.get("verdict")).get("against"))
    named = zip(contending, values, strict=True)
    reference = next((read_interval(value) for one, value in named if string(one.get("name")) == against), None)
    rungs = []
    for one, value in zip(contending, values, strict=True):
        title = contender_title(evidence, one.get("name"))
        figure = write_figure(metric, value)
        told = f"{title}: {figure.text} {figure.bounds or figure.reason}".strip()
        is_tuned = one.get("role") == "tuned"
        strip = charts.strip(read_interval(value), axis, reference, is_tuned, told) if axis else None
        rungs.append(Rung(title, "tuned" if is_tuned else "baseline", figure, strip))
    write = compact if metric in DECIMALS else None
    return Forest(metric_title(metric), rungs, charts.strip_axis(axis, write) if axis else None)


def metric_rows(evidence: Mapping[str, Any]) -> list[MetricRow]:
    """Every metric that any contender has: the ladder's first, then the known ones, then all others."""
    tables = [mapping(one.get("metrics")) for one in contenders(evidence)]
    found = {name for table in tables for name in table}
    known = dict.fromkeys([ladder(evidence)[0], *TITLES])
    order = [name for name in known if name in found] + sorted(found - known.keys())
    result = []
    for name in order:
        methods = [string(mapping(table.get(name)).get("method")) for table in tables]
        method = next((method for method in methods if method), "")
        result.append(MetricRow(metric_title(name), [write_figure(name, table.get(name)) for table in tables], method))
    return result


def comparisons(evidence: Mapping[str, Any]) -> list[Comparison]:
    """The paired tests as printed."""
    result = []
    for one in rows(evidence.get("comparisons")):
        name = string(one.get("metric"))
        low, high = (write_change(name, one.get(key)) for key in ("low", "high"))
        bounds = f"[{low}, {high}]" if number(one.get("low")) is not None else ""
        said = string(one.get("verdict"))
        discordant = one.get("discordant")
        split = ""
        if isinstance(discordant, list) and len(discordant) == 2:
            split = f" ({count(discordant[0])} against {count(discordant[1])} items)"
        first, second = (contender_title(evidence, one.get(key)) for key in ("contender", "against"))
        result.append(
            Comparison(
                pair=f"{first} against {second}",
                metric=metric_title(name),
                effect=Figure(write_change(name, one.get("effect")), bounds),
                level=level(one.get("confidence", evidence.get("confidence"))),
                test=string(one.get("test")) + split,
                p=p_value(one.get("p")),
                holm=p_value(one.get("p_holm")),
                smallest=write_change(name, one.get("smallest_detectable")).lstrip("+"),
                kind=kind_of(said),
                verdict=f"{SIGNS.get(said, '○')} {WORDS.get(said, said or 'none')}",
            )
        )
    return result


def family(evidence: Mapping[str, Any]) -> str:
    """The number of tests that Holm's correction of the verdict covers: those by the verdict's own metric."""
    deciding = mapping(evidence.get("verdict")).get("metric")
    compared = rows(evidence.get("comparisons"))
    sizes = [number(one.get("family")) for one in compared if deciding is None or one.get("metric") == deciding]
    return count(max((size for size in sizes if size is not None), default=None))


CLASS_COLUMNS = {"precision": "Precision", "recall": "Recall", "f1": "F1", "pr_auc": "PR AUC", "roc_auc": "ROC AUC"}


def class_rows(evidence: Mapping[str, Any]) -> list[ClassRow]:
    """The tuned contender's figures for each class."""
    return [
        ClassRow(
            shortened(string(one.get("label"), "(none)"), 60),
            count(one.get("support")),
            [write_figure(column, one.get(column)) for column in CLASS_COLUMNS],
        )
        for one in rows(tuned(evidence).get("per_class"))
    ]


def confusion(evidence: Mapping[str, Any], few: int = 12, most: int = 60) -> Confusion | None:
    """The tuned contender's confusion matrix; None where it is absent or its shape is not square."""
    labels = [shortened(label, 60) for label in strings(evidence.get("labels"))]
    counts = _square(tuned(evidence).get("confusion"))
    if counts is None or len(counts) != len(labels):
        return None
    lines = []
    for row, label in enumerate(labels if len(labels) <= few else []):
        total = sum(counts[row])
        cells = [_cell(found, total, row == column) for column, found in enumerate(counts[row])]
        lines.append((label, cells, count(total)))
    picture = None
    if few < len(labels) <= most:
        told = "Rows are gold classes, columns answers; the diagonal is right. The table lists the commonest errors."
        picture = charts.heat_map(counts, f"Confusion of {len(labels)} classes", told)
    return Confusion(labels, lines, picture, _pairs(labels, counts), count(sum(map(sum, counts))))


def _square(value: Any) -> list[list[int]] | None:
    if not isinstance(value, list) or not value:
        return None
    counts = []
    for line in value:
        if not isinstance(line, list) or len(line) != len(value):
            return None
        numbers = [number(found) for found in line]
        if any(found is None or found < 0 for found in numbers):
            return None
        counts.append([int(found) for found in numbers if found is not None])
    return counts


def _cell(found: int, total: int, hit: bool) -> Cell:
    part = found / total if total else 0.0
    depth = 0 if found == 0 else min(6, 1 + int(6 * part))
    return Cell(count(found), percent(part) if total else ABSENT, f"{'hit' if hit else 'miss'}-{depth}")


def _pairs(labels: Sequence[str], counts: Sequence[Sequence[int]], limit: int = 12) -> list[tuple[str, str, str, str]]:
    found = [
        (items, row, column)
        for row, line in enumerate(counts)
        for column, items in enumerate(line)
        if row != column and items > 0
    ]
    found.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    shares = [(labels[row], labels[column], items, items / sum(counts[row])) for items, row, column in found[:limit]]
    return [(gold, output, count(items), percent(part)) for gold, output, items, part in shares]
