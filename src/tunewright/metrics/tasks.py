"""What the tasks differ in where figures are concerned: which metrics there are, which decides, which are compared too.

Predictions tell their task: by their type, or by their own `task` where several tasks share a shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tunewright.core.outcomes import Entities, Judged, LabelSets, Likelihoods, Margins, Texts, Values
from tunewright.core.records import Predictions
from tunewright.core.registry import build, members


@dataclass(frozen=True)
class Task:
    """A task by its recipe name.

    `family` is the registry's family of its metrics and `order` the order in which they are shown; `primary` is what
    the verdict goes by unless the recipe says otherwise, `also` what is compared beside it. `predictions` is the type
    of its predictions and `answer` the word for what a row is labelled with, "" where rows need no label. `labels` says
    whether answers are made of a list of labels (classes, targets, types).
    """

    name: str
    family: str
    predictions: type
    answer: str
    primary: str
    also: tuple[str, ...]
    order: tuple[str, ...]
    labels: bool = True

    @property
    def answers(self) -> str:
        """Several of what a row is labelled with; "" where rows need no label."""
        return {"": "", "reply": "replies"}.get(self.answer, f"{self.answer}s")

    def metric(self, name: str) -> Any:
        """The metric of this name with its default options.

        Raises:
            RecipeError: there is none of this name for this task.
        """
        return build(self.family, name)

    def metrics(self) -> dict[str, Any]:
        """Those of `order`, then any that is registered beside them, by name."""
        return {name: self.metric(name) for name in [*self.order, *sorted(set(members(self.family)) - set(self.order))]}


CLASSIFICATION = Task(
    "classification",
    "metric",
    Predictions,
    answer="label",
    primary="accuracy",
    also=("f1_macro", "roc_auc", "log_loss", "brier"),
    order=(
        "accuracy", "f1_macro", "f1_weighted", "f1_micro", "precision_macro", "precision_weighted", "precision_micro",
        "recall_macro", "recall_weighted", "recall_micro", "balanced_accuracy", "mcc", "roc_auc", "pr_auc",
        "log_loss", "brier", "ece",
    ),
)  # fmt: skip
MULTILABEL = Task(
    "multilabel",
    "multilabel_metric",
    LabelSets,
    answer="label",
    primary="f1_micro",
    also=("f1_macro", "f1_samples", "subset_accuracy", "log_loss"),
    order=(
        "f1_micro", "f1_macro", "f1_samples", "subset_accuracy", "precision_micro", "recall_micro", "precision_macro",
        "recall_macro", "hamming_loss", "log_loss",
    ),
)  # fmt: skip
REGRESSION = Task(
    "regression",
    "regression_metric",
    Values,
    answer="number",
    primary="pearson",
    also=("spearman", "r2", "mse", "mae"),
    order=("pearson", "spearman", "r2", "mse", "rmse", "mae"),
)
TOKEN_CLASSIFICATION = Task(
    "token_classification",
    "entity_metric",
    Entities,
    answer="span",
    primary="f1",
    also=("precision", "recall", "f1_macro"),
    order=("f1", "precision", "recall", "f1_macro"),
)
_TEXT = ("chrf", "bleu", "rougeL", "rouge1", "rouge2", "rougeLsum", "exact_match", "length_ratio")
LANGUAGE_MODELING = Task(
    "language_modeling",
    "likelihood_metric",
    Likelihoods,
    answer="",
    primary="bits_per_byte",
    also=("perplexity",),
    order=("bits_per_byte", "perplexity", "loss"),
    labels=False,
)
CHAT = Task(
    "chat",
    "text_metric",
    Texts,
    answer="reply",
    primary="loss",
    also=("rougeL", "chrf", "bleu", "exact_match"),
    order=("loss", *_TEXT),
    labels=False,
)
SEQ2SEQ = Task(
    "seq2seq",
    "text_metric",
    Texts,
    answer="target",
    primary="chrf",
    also=("bleu", "rougeL", "rouge1", "rouge2", "loss"),
    order=(*_TEXT, "loss"),
    labels=False,
)
# Nothing is compared by margins: every contender's reward has a unit of its own.
PREFERENCE = Task(
    "preference",
    "preference_metric",
    Margins,
    answer="choice",
    primary="accuracy",
    also=(),
    order=("accuracy", "margin"),
    labels=False,
)
REWARD = replace(PREFERENCE, name="reward")
TASKS = {
    task.name: task
    for task in (
        CLASSIFICATION,
        MULTILABEL,
        REGRESSION,
        TOKEN_CLASSIFICATION,
        LANGUAGE_MODELING,
        CHAT,
        SEQ2SEQ,
        PREFERENCE,
        REWARD,
    )
}


def task_of(p: Judged) -> Task:
    """The task that these predictions are of.

    Raises:
        TypeError: they are of none.
    """
    said = getattr(p, "task", None)
    for task in TASKS.values():
        if isinstance(p, task.predictions) and said in (None, task.name):
            return task
    raise TypeError(f"{type(p).__name__} are predictions of no task")
