"""What differs in the page from task to task: which metrics lead, which sections there are, how they are introduced.

A task that is not listed here is shown as classification is: its gaps are named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tunewright.reporting.formatting import clean, shortened
from tunewright.reporting.values import mapping, rows, string


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
    calibration: tuple[str, str, str] = ("", "", "")
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
    labels=("Types", "Type"),
)

_REPLIES = "Effects are in percentage points; those of the loss, BLEU, chrF and the length ratio in their own unit."

CHAT = Task(
    name="chat",
    ladder=("loss", "rougeL"),
    watched=("rougeL",),
    sections=(("samples", "Side by side"), ("mistakes", "Lowest scores")),
    unmeasured="No contender has a loss or a ROUGE-L.",
    units=_REPLIES,
    mistakes=(
        "The replies with the lowest scores",
        "Replies of {tuned} that share least with the gold reply, by ROUGE-L, the lowest first. A good reply in other "
        "words scores low too: read them.",
    ),
)

SEQ2SEQ = Task(
    name="seq2seq",
    ladder=("chrf", "bleu"),
    watched=("chrf", "bleu"),
    sections=(("samples", "Side by side"), ("mistakes", "Lowest scores")),
    unmeasured="No contender has a chrF or a BLEU.",
    units=_REPLIES,
    mistakes=(
        "The outputs with the lowest scores",
        "Outputs of {tuned} that share least with the gold target, by chrF, the lowest first. A good output in other "
        "words scores low too: read them.",
    ),
)

LANGUAGE_MODELING = Task(
    name="language_modeling",
    ladder=("bits_per_byte", "perplexity"),
    watched=("bits_per_byte",),
    sections=(("documents", "Hardest documents"),),
    unmeasured="No contender has bits per byte or a perplexity.",
    units="Effects are in the metric’s own unit. Bits per byte compare contenders of any vocabulary, perplexity and loss "
    "only those that cut texts into the same tokens.",
    mistakes=("", ""),
)

PREFERENCE = Task(
    name="preference",
    ladder=("accuracy",),
    watched=("accuracy",),
    sections=(("margins", "Margins"), ("mistakes", "Lowest margins"), ("flips", "Flips")),
    unmeasured="No contender has an accuracy.",
    units="Effects are in percentage points. Nothing is compared by margins: every contender’s rewards have a unit of "
    "their own.",
    mistakes=(
        "The pairs with the lowest margins",
        "Pairs in which {tuned} most prefers the rejected reply, the lowest margin first. Some may be labelled the "
        "wrong way round: read them.",
    ),
)

REWARD = replace(PREFERENCE, name="reward")

MULTITASK = Task(name="multitask", ladder=(), watched=(), sections=(), unmeasured="", units="", mistakes=("", ""))

TASKS = {
    task.name: task
    for task in (
        CLASSIFICATION,
        MULTILABEL,
        REGRESSION,
        TOKEN_CLASSIFICATION,
        CHAT,
        SEQ2SEQ,
        LANGUAGE_MODELING,
        PREFERENCE,
        REWARD,
        MULTITASK,
    )
}
REPLIES = frozenset({"chat", "seq2seq"})
"""Tasks whose answer is a text."""

CONVERSATIONS = frozenset({"chat", "preference", "reward"})
"""Tasks whose items are conversations: `Record.text` and `Record.label` are JSON."""

PREFERENCES = frozenset({"preference", "reward"})
"""Tasks that judge one reply against another."""


MOST_PARTS = 8
"""How many of several tasks are shown with all their sections."""

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
    task = TASKS.get(string(evidence.get("task")), CLASSIFICATION)
    return CLASSIFICATION if task is MULTITASK and not parts_of(evidence) else task


def parts_of(evidence: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The evidence of each task of several, by the task's name; empty where the evidence is of one task.

    A part that is of several tasks itself, or names no contender, is left out.
    """
    if string(evidence.get("task")) != "multitask":
        return {}
    found = {clean(name): mapping(part) for name, part in mapping(evidence.get("tasks")).items()}
    return {
        name: part
        for name, part in found.items()
        if rows(part.get("contenders")) and string(part.get("task")) != "multitask"
    }


def ladder(evidence: Mapping[str, Any]) -> tuple[str, ...]:
    """The metrics of the forest plots: the one that the verdict goes by leads, except in classification."""
    task = task_of(evidence)
    deciding = string(mapping(evidence.get("verdict")).get("metric"))
    if task is CLASSIFICATION or not deciding or deciding == task.ladder[0]:
        return task.ladder
    return (deciding, task.ladder[0])


def contents(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(anchor, title) of every section of the page, in order."""
    parts = parts_of(evidence)
    if not parts:
        return [*BEFORE, *task_of(evidence).sections, *AFTER]
    transfer = [("transfer", "Transfer")] if rows(evidence.get("transfer")) else []
    own = [(f"task-{k}", shortened(name, 30)) for k, name in enumerate(list(parts)[:MOST_PARTS], 1)]
    return [BEFORE[0], ("overview", "Overview"), *transfer, *own, *AFTER]
