"""Kinds of tasks, each from records to answers: one file a kind behind one protocol.

scores       one score for each class, label or target of a text
"""

from __future__ import annotations

from tunewright.kinds.answers import Answer, EntitiesPrediction, LabelsPrediction, NumbersPrediction, Prediction
from tunewright.kinds.choices import Preferences, Rewards
from tunewright.kinds.documents import Documents
from tunewright.kinds.entities import Entities
from tunewright.kinds.protocol import Encoded, Kind, Splits, refusals
from tunewright.kinds.replies import Chat, Replies, Sequences
from tunewright.kinds.scores import Scores
from tunewright.models.loading import Found
from tunewright.models.saving import Saved
from tunewright.recipe import Recipe

KINDS: dict[str, type[Kind]] = {
    "classification": Scores,
    "multilabel": Scores,
    "regression": Scores,
    "token_classification": Entities,
    "language_modeling": Documents,
    "chat": Chat,
    "seq2seq": Sequences,
    "preference": Preferences,
    "reward": Rewards,
}


def begin(recipe: Recipe, found: Found, splits: Splits) -> Kind:
    """The recipe's kind of task with its base model.

    Raises:
        ModelError: the model cannot be had, or cannot do this task.
    """
    return KINDS[recipe.task].begin(recipe, found, splits)


def reopen(saved: Saved, recipe: Recipe | None = None) -> Kind:
    """The kind of task that a saved model was tuned for."""
    return KINDS[saved.card.get("task", "classification")].reopen(saved, recipe)


__all__ = [
    "KINDS", "Answer", "Encoded", "EntitiesPrediction", "Kind", "LabelsPrediction", "NumbersPrediction", "Prediction",
    "Replies",
    "Splits", "begin", "refusals", "reopen",
]  # fmt: skip
