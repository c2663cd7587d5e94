"""Gradient clipping by the global norm. Pascanu et al. 2013, "On the difficulty of training recurrent networks".

A wrapper around another update: it scales what the gradient closure left, using the norm that the loop has
already measured, so it costs nothing where nothing is clipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tunewright.core.registry import component, number, register
from tunewright.core.tensors import At, BoundUpdate, Gradient, Number, Parameters, Report, Update, value
from tunewright.updates.adamw import AdamW


@register("update", "clip")
@dataclass(frozen=True)
class Clip:
    """Scales the gradient down to `norm` where its global L2 norm is larger; `norm` may be a schedule."""

    norm: Number = number(1.0)
    inner: Update = component("update", default=AdamW())

    def __post_init__(self) -> None:
        if isinstance(self.norm, (int, float)) and not self.norm > 0:
            raise ValueError(f"norm must be above 0, found {self.norm}")

    def bind(self, parameters: Parameters) -> _Clip:
        return _Clip(self, self.inner.bind(parameters), parameters)


class _Clip:
    def __init__(self, options: Clip, inner: BoundUpdate, parameters: Parameters) -> None:
        self.options, self.inner, self.parameters = options, inner, parameters

    def step(self, gradient: Gradient, at: At) -> Report:
        limit = value(self.options.norm, at)

        def clipped() -> Report:
            report = gradient()
            if report.gradient_norm > limit:
                gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
                torch._foreach_mul_(gradients, limit / report.gradient_norm)
            return report

        return self.inner.step(clipped, at)

    def state(self) -> dict[str, Any]:
        return self.inner.state()

    def load(self, state: Mapping[str, Any]) -> None:
        self.inner.load(state)
