"""Direct preference optimisation: the chosen reply gains on the rejected one, against a reference model.

r = log p(y | x) - log p_ref(y | x), summed over the reply's tokens;  d = b (r_chosen - r_rejected)
l = -(1 - e) log s(d) - e log s(-d)   ("sigmoid"), or  max(0, 1 - d)   ("hinge"), with s the logistic function.
Rafailov et al. 2023, "Direct Preference Optimization", equation 7. e is the share of pairs that are the wrong way round:
Mitchell 2023, "A note on DPO with noisy preferences" (cDPO). Hinge: Zhao et al. 2023, "SLiC-HF"; Liu et al. 2024, "RSO".

Reads given["reference"] (S,). Unit: pair. Cost: one forward pass over both replies; the reference's is made once, before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch.nn.functional as F
from annotated_types import Ge, Gt, Lt

from tunewright.core.registry import register
from tunewright.core.tensors import At, Batch, Fits, Forward, Term
from tunewright.objectives.preferences import Pairs, of_examples, reference, watched


@register("objective", "dpo")
@dataclass(frozen=True)
class Dpo:
    """`beta`: how dear it is to leave the reference. `smoothing` in [0, 0.5), for "sigmoid" alone."""

    fits: ClassVar[tuple[Fits, ...]] = ("pairs",)
    beta: Annotated[float, Gt(0)] = 0.1
    loss: Literal["sigmoid", "hinge"] = "sigmoid"
    smoothing: Annotated[float, Ge(0), Lt(0.5)] = 0.0

    def __post_init__(self) -> None:
        if self.smoothing and self.loss == "hinge":
            raise ValueError("smoothing with loss hinge: it belongs to loss sigmoid")

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        policy = Pairs.of(forward, batch)
        ratios = policy.against(reference(batch, policy.chosen))
        margins = self.beta * (ratios.chosen - ratios.rejected)
        if self.loss == "hinge":
            losses = F.relu(1 - margins)
        else:
            losses = -(1 - self.smoothing) * F.logsigmoid(margins) - self.smoothing * F.logsigmoid(-margins)
        return (of_examples("dpo", losses, batch, "pair"), *watched(batch, "pair", margins))
