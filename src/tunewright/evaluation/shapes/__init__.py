"""What of predictions depends on their shape: their lines on disk, and what evidence shows beside the metrics.

One module a task, which is itself the `Shape` (or holds one for each task that shares it): everything else in this
package handles predictions as `Judged`. A new task is one more module here and its metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tunewright.core.outcomes import Floats, Judged, Texts
from tunewright.evaluation.compare import Plan
from tunewright.evaluation.scoring import Draws
from tunewright.evaluation.shapes import classification, entities, likelihoods, margins, multilabel, regression, texts
from tunewright.metrics import Task, task_of


class Shape(Protocol):
    """What a task's module offers. `p` is of the task's own type; contenders that come together are aligned."""

    @property
    def TASK(self) -> Task:  # noqa: N802
        """The task."""

    def row(self, p: Any, i: int) -> dict[str, Any]:
        """What one item's line in a predictions file holds beside id and seconds."""

    def faults(self, row: Mapping[str, Any], labels: Sequence[str]) -> list[str]:
        """What is wrong with such a line."""

    def predictions(
        self, named: tuple[str, str], labels: tuple[str, ...], rows: Sequence[Mapping[str, Any]], seconds: Floats | None
    ) -> Judged:
        """The predictions that lines without faults hold; `named` are contender and split."""

    def joined(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Both over the same labels, so that two runs can be compared; as they are where that cannot be."""

    def details(self, p: Any, plan: Plan, drawn: Draws) -> dict[str, Any]:
        """What evidence shows of one contender beside its metrics: of each label, of the probabilities."""

    def closeup(self, p: Any, seed: int) -> dict[str, Any]:
        """What evidence shows of the tuned model and of its strongest baseline alone."""

    def overview(self, p: Any) -> dict[str, Any]:
        """What evidence shows of the items themselves."""

    def mistakes(self, p: Any, shown: int) -> list[dict[str, Any]]:
        """The worst items first."""

    def flips(self, tuned: Any, against: Any, shown: int) -> dict[str, Any] | None:
        """Items that only one of the two got right; None where right and wrong are not told apart."""

    def limits(self, p: Any) -> list[str]:
        """What these items cannot show, in plain sentences."""


SHAPES: dict[str, Shape] = {
    "classification": classification,
    "multilabel": multilabel,
    "regression": regression,
    "token_classification": entities,
    "language_modeling": likelihoods,
    **texts.SHAPES,
    **margins.SHAPES,
}


def shape_of(p: Judged) -> Shape:
    """The shape of these predictions."""
    return SHAPES[task_of(p).name]


def together(contenders: Sequence[Judged], seed: int) -> dict[str, Any]:
    """What evidence shows of all (aligned) contenders side by side."""
    written = [p for p in contenders if isinstance(p, Texts)]
    return {"samples": texts.samples(written, seed)} if written else {}
