"""Instruction-following difficulty: how little an instruction helps a language model to foresee the reply.

    IFD = loss(reply | prompt) / loss(reply),    mean loss a token under a small causal model

Near 1 the prompt tells nothing of the reply: hard, or the two do not belong together; above 1 it misleads. Li et al. 2024,
"From Quantity to Quality: Boosting LLM Performance with Self-Guided Data Selection"; with a small model as in Li et al. 2024,
"Superfiltering". The row's text is the prompt, and the reply its second text, or its label where it has none. Differs: no
model is trained first. Cost: two forward passes a row. Refuses rows without a reply, and where no language model is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunewright.core.errors import DataError, Problem, counted
from tunewright.core.registry import register
from tunewright.data.difficulty.protocol import Floats, Means
from tunewright.data.journal import Draft

_LEAST = 1e-6


@register("difficulty", "instruction")
@dataclass(frozen=True)
class Instruction:
    """No options; needs a language model's losses."""

    def __call__(self, drafts: Sequence[Draft], means: Means) -> Floats:
        replies = [draft.pair if draft.pair is not None else draft.label or "" for draft in drafts]
        empty = sum(not reply.strip() for reply in replies)
        problems = []
        if means.loss is None:
            problems.append(
                Problem(where="difficulty.instruction", found="no language model is named", allowed="a small causal model",
                        to_do="name one, such as `--language FOLDER`, or `data.models.language` in a recipe")
            )  # fmt: skip
        if empty:
            problems.append(
                Problem(
                    where="difficulty.instruction", found=f"{counted(empty, 'row')} without a reply", allowed="replies"
                )
            )
        if problems or means.loss is None:
            raise DataError(*problems)
        with_prompt = means.loss([draft.text for draft in drafts], replies)
        alone = means.loss([""] * len(drafts), replies)
        return np.asarray(with_prompt / np.maximum(alone, _LEAST), np.float64)
