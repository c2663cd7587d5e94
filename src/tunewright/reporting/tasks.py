"""What differs in the page from task to task: which metrics lead, which sections there are, how they are introduced.

A task that is not listed here is shown as classification is: its gaps are named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunewright.reporting.loading import mapping, string


@dataclass(frozen=True)
class Task:
    """One task's page. `ladder`: the metrics of the forest plots, the first orders the contenders; `watched`: those of
    the validation curves; `sections`: (anchor, title) of what lies between the comparisons and the training.

    `{tuned}` in a lead stands for the tuned contender's title.
    """

    name: str
    ladder: tuple[str, ...]
    watched: tuple[str, ...]
    sections: tuple[tuple[str, str], ...]
    unmeasured: str
    units: str
    mistakes: tuple[str, str]
    calibration: tuple[str, str, str]
    labels: tuple[str, str] = ("Classes", "Class")


CLASSIFICATION = Task(
    name="classification",
    ladder=("accuracy", "f1_macro"),
    watched=("accuracy", "f1_macro"),
    sections=(
        ("classes", "Classes"),
        ("calibration", "Calibration"),
        ("mistakes", "Mistakes"),
        ("flips", "Flips"),
    ),
    unmeasured="No contender has an accuracy or a macro F1.",
    units="Effects are in percentage points; those of logarithmic loss, Brier score, correlations and areas in the "
    "metric’s own unit.",
    mistakes=(
        "The most confident mistakes",
        "Wrong answers of {tuned}, the surest first. Some may be wrong labels: read them.",
    ),
    calibration=(
        "Points below the diagonal are answers surer than they are right.",
        "Share right in each bin of confidence with its interval; bars count the items of each bin.",
        "Right",
    ),
)

MULTILABEL = Task(
    name="multilabel",
    ladder=("f1_micro", "f1_macro"),
    watched=("f1_micro", "f1_macro"),
    sections=(
        ("labels", "Labels"),
        ("calibration", "Calibration"),
        ("mistakes", "Mistakes"),
        ("flips", "Flips"),
    ),
    unmeasured="No contender has a micro or a macro F1.",
    units="Effects are in percentage points; those of logarithmic loss in its own unit.",
    mistakes=(
        "The answers with the most wrong labels",
        "Answers of {tuned} that miss labels or add some, the most wrong labels first, then the surest. Some may be "
        "gaps in the gold labels: read them.",
    ),
    calibration=(
        "Every label of every item has a probability of its own. Points below the diagonal are probabilities that are "
        "too high.",
        "Share of the pairs of item and label that hold, in each bin of probability, with its interval; bars count the "
        "pairs of each bin.",
        "Hold",
    ),
    labels=("Labels", "Label"),
)

REGRESSION = Task(
    name="regression",
    ladder=("pearson", "mae"),
    watched=("pearson", "spearman"),
    sections=(("targets", "Gold and answer"), ("mistakes", "Largest errors")),
    unmeasured="No contender has a Pearson correlation or a mean absolute error.",
    units="Effects are in the metric’s own unit: those of errors in the target’s (its square for the mean squared "
    "error), those of correlations and R² without one.",
    mistakes=(
        "The largest errors",
        "Answers of {tuned} that lie furthest from the gold values, the largest error first. Some may be wrong gold "
        "values: read them.",
    ),
    calibration=("", "", ""),
)

TOKEN_CLASSIFICATION = Task(
    name="token_classification",
    ladder=("f1", "f1_macro"),
    watched=("f1", "f1_macro"),
    sections=(("types", "Types"), ("mistakes", "Mistakes"), ("flips", "Flips")),
    unmeasured="No contender has an entity F1.",
    units="Effects are in percentage points.",
    mistakes=(
        "The texts with the most wrong spans",
        "Texts in which spans of {tuned} differ from the gold spans, the most of them first. Some may be gaps in the gold "
        "spans: read them.",
    ),
    calibration=("", "", ""),
    labels=("Types", "Type"),
)

TASKS = {task.name: task for task in (CLASSIFICATION, MULTILABEL, REGRESSION, TOKEN_CLASSIFICATION)}

BEFORE = (("verdict", "Verdict"), ("ladder", "Ladder"), ("comparisons", "Comparisons"))
AFTER = (
    ("training", "Training"),
    ("data", "Data"),
    ("cost", "Speed, memory"),
    ("lineage", "Lineage"),
    ("again", "Reproduce"),
    ("not-tested", "Not tested"),
)


def task_of(evidence: Mapping[str, Any]) -> Task:
    """The task that the evidence names; classification where it names none that is known."""
    return TASKS.get(string(evidence.get("task")), CLASSIFICATION)


def ladder(evidence: Mapping[str, Any]) -> tuple[str, ...]:
    """The metrics of the forest plots: the one that the verdict goes by leads, except in classification."""
    task = task_of(evidence)
    deciding = string(mapping(evidence.get("verdict")).get("metric"))
    if task is CLASSIFICATION or not deciding or deciding == task.ladder[0]:
        return task.ladder
    return (deciding, task.ladder[0])


def contents(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(anchor, title) of every section of the page, in order."""
    return [*BEFORE, *task_of(evidence).sections, *AFTER]
