"""LoRA's second matrix at a higher rate than its first. Hayou et al. 2024, "LoRA+: Efficient Low Rank Adaptation".

B starts at zero and A at random, and in wide models equal rates leave A's features nearly still; the paper's ratio is
16. Costs nothing. Everything but the B matrices (a head, A) has the plain rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from tunewright.core.registry import component, register
from tunewright.core.tensors import Parameters, Update
from tunewright.updates.adamw import AdamW
from tunewright.updates.groups import Group, Grouped

_SECOND = ("lora_B", "lora_embedding_B")


@register("update", "lora_plus")
@dataclass(frozen=True)
class LoraPlus:
    """`ratio`: the rate of B over that of A. Where nothing is called `lora_B`, all have the plain rate."""

    ratio: Annotated[float, Ge(1)] = 16.0
    inner: Update = component("update", default=AdamW())

    def bind(self, parameters: Parameters) -> Grouped:
        second = {n: p for n, p in parameters.items() if any(part in n for part in _SECOND)}
        rest = {n: p for n, p in parameters.items() if n not in second}
        return Grouped(self.inner, [Group(rest), Group(second, self.ratio)])
