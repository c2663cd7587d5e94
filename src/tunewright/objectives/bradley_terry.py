"""A reward model from pairs: the chosen reply is to have the higher reward.

l = -log s( r_chosen - r_rejected - m ) + c (r_chosen + r_rejected)^2, with s the logistic function.
Bradley and Terry 1952; for language models Ouyang et al. 2022, "InstructGPT", equation 1. Margins m: Touvron et al. 2023,
"Llama 2", equation 2. Centering c: Eisenstein et al. 2023, "Helping or Herding?", as TRL has it; pairs alone leave open
where 0 is.

Scores (2B, 1), one a sequence. A pair's own margin, where the data has one, is given["margin"] (B,), added to `margin`.
Unit: pair. Cost: one forward pass over both replies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch.nn.functional as F
from annotated_types import Ge

from tunewright.core.errors import Problem, RecipeError
from tunewright.core.registry import register
from tunewright.core.tensors import At, Batch, Fits, Forward, Term
from tunewright.objectives.preferences import of_examples, watched


@register("objective", "bradley_terry")
@dataclass(frozen=True)
class BradleyTerry:
    """`margin`: the lead that is asked for. `center`: the weight that draws the rewards of a pair around 0."""

    fits: ClassVar[tuple[Fits, ...]] = ("rewards",)
    margin: Annotated[float, Ge(0)] = 0.0
    center: Annotated[float, Ge(0)] = 0.0

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        if batch.unit != "pair":
            raise RecipeError(
                Problem(where="objective", found="bradley_terry, for a model that writes replies",
                        allowed="dpo, ipo, orpo, simpo, kto", to_do="choose one of these, or set task: reward")
            )  # fmt: skip
        rewards = forward(batch).view(-1, 2)
        leads = rewards[:, 0] - rewards[:, 1]
        asked = self.margin + batch.given["margin"].to(leads) if "margin" in batch.given else self.margin
        terms = [of_examples("bradley_terry", -F.logsigmoid(leads - asked), batch, "pair")]
        if self.center:
            terms.append(of_examples("centering", rewards.sum(1).square(), batch, "pair", scale=self.center))
        return (*terms, *watched(batch, "pair", leads))
