"""Rates that fall with depth, and layers that begin to learn one after another.

Howard and Ruder 2018, "Universal Language Model Fine-tuning for Text Classification": discriminative fine-tuning (each
layer's rate is the one above's times `decay`) and gradual unfreezing (the head alone at first, then a layer more at a
time). Clark et al. 2020 (ELECTRA) and many since decay the rates alone, with 0.65 to 0.95. A layer that does not learn
yet costs no backward pass; so half of the run as `unfreeze` spares about a sixth of its time.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le
from torch.nn import Parameter

from tunewright.core.depth import below_top, depth
from tunewright.core.registry import component, register
from tunewright.core.tensors import At, Parameters, Update
from tunewright.updates.adamw import AdamW
from tunewright.updates.groups import Group, Grouped


@register("update", "layerwise")
@dataclass(frozen=True)
class Layerwise:
    """`decay`: a layer's rate over that of the one above; the head has the whole rate, the top layer `decay` of it.

    unfreeze: by which share of the run all layers learn; the head does from the start, the top layer next, the
    embeddings last, at equal distances. 0: all learn from the start.
    """

    decay: Annotated[float, Gt(0), Le(1)] = 0.9
    unfreeze: Annotated[float, Ge(0), Le(1)] = 0.0
    inner: Update = component("update", default=AdamW())

    def bind(self, parameters: Parameters) -> Grouped:
        layers = depth(parameters)
        found: dict[int, dict[str, Parameter]] = defaultdict(dict)
        for name, parameter in parameters.items():
            found[below_top(name, layers)][name] = parameter
        # the highest that learns at all begins at once, be it no head but a layer
        rank = {below: i for i, below in enumerate(sorted(found))}
        last = max(len(rank) - 1, 1)
        groups = [
            Group(found[below], self.decay**below, _Begins(self.unfreeze * rank[below] / last))
            for below in sorted(found)
        ]
        return Grouped(self.inner, groups)


@dataclass(frozen=True)
class _Begins:
    share: float

    def __call__(self, at: At) -> bool:
        return at.step >= round(self.share * at.steps)
