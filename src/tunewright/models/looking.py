"""For an adaptation that begins from what the layers read: a few training texts passed through the model before training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import nn

from tunewright.core.seeds import key
from tunewright.encoding import Example
from tunewright.models.forward import ModelForward
from tunewright.models.scoring import laid

TOKENS = 1024
"""How many tokens are read, of all tasks together."""


def show(
    adaptation: Any, shown: Sequence[tuple[nn.Module, Sequence[Example]]], layout: Literal["packed", "padded"] | None, seed: int
) -> None:  # fmt: skip
    """Lets the adaptation look, where it wants to: at texts of every model's own, chosen by a hash of their ids.

    Args:
        shown: models and their training texts; more than one where they share what is adapted.
    """
    if not getattr(adaptation, "looks", False):
        return

    def run() -> None:
        for model, examples in shown:
            forward = ModelForward(model, layout=layout)
            with forward.evaluating():
                for _, batch in laid(_chosen(examples, seed, TOKENS // len(shown))):
                    (forward if forward.vocabulary is None else forward.states)(batch)
            forward.release()

    adaptation.look(shown[0][0], run)


def _chosen(examples: Sequence[Example], seed: int, tokens: int) -> list[Example]:
    """The first by a hash, until there are so many tokens."""
    found, used = list[Example](), 0
    for example in sorted(examples, key=lambda e: key(seed, "look", e.id)):
        if used >= tokens:
            break
        found.append(example)
        used += len(example)
    return found
