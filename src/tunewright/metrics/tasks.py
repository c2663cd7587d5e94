"""What the tasks differ in where figures are concerned: which metrics there are, which decides, which are compared too.

A task's predictions have a type of their own, so that predictions tell their task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tunewright.core.outcomes import Entities, Judged, LabelSets, Values
from tunewright.core.records import Predictions
from tunewright.core.registry import build, members


@dataclass(frozen=True)
class Task:
    """A task by its recipe name.

    `family` is the registry's family of its metrics and `order` the order in which they are shown; `primary` is what
    the verdict goes by unless the recipe says otherwise, `also` what is compared beside it. `predictions` is the type
    of its predictions and `answer` the word for what a row is labelled with.
    """

    name: str
    family: str
    predictions: type
    answer: str
    primary: str
    also: tuple[str, ...]
    order: tuple[str, ...]

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
TASKS = {task.name: task for task in (CLASSIFICATION, MULTILABEL, REGRESSION, TOKEN_CLASSIFICATION)}


def task_of(p: Judged) -> Task:
    """The task that these predictions are of.

    Raises:
        TypeError: they are of none.
    """
    for task in TASKS.values():
        if isinstance(p, task.predictions):
            return task
    raise TypeError(f"{type(p).__name__} are predictions of no task")
