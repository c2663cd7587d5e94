"""The ways of adapting that are compared: what a recipe says, and the rate that everyone takes. Standard library alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Way:
    """`recipe` is a recipe's `adaptation`; `rate` what `rate: auto` gives a small model, which peers take too."""

    title: str
    recipe: Any
    rate: float = 1e-4

    @property
    def member(self) -> str:
        """The adaptation without its options."""
        return self.recipe if isinstance(self.recipe, str) else str(next(iter(self.recipe)))


def _lora(rank: int, targets: str | list[str] = "all-linear") -> dict[str, Any]:
    return {"lora": {"rank": rank, "alpha": 2.0 * rank, "dropout": 0.0, "targets": targets}}


WAYS: dict[str, Way] = {
    "full": Way("full", "full"),
    "lora": Way("LoRA, rank 16", _lora(16), 5e-4),
    "lora_4": Way("LoRA, rank 4", _lora(4), 5e-4),
    "lora_attention": Way("LoRA, rank 16, query and value", _lora(16, ["query", "value"]), 5e-4),
    "bottleneck": Way("bottleneck adapters", "bottleneck"),
    "ia3": Way("IA3", "ia3"),
    "vera": Way("VeRA", "vera"),
    "prefix": Way("prefix tuning", "prefix_tuning"),
    "prompt": Way("prompt tuning", "prompt_tuning"),
    "bias": Way("biases and head", "bias"),
    "top_2": Way("head and top two layers", {"frozen": {"top": 2}}, 3e-4),
    "top": Way("head and top layer", {"frozen": {"top": 1}}, 3e-4),
    "pooler": Way("head and pooler", {"head": {"pooler": True}}, 3e-3),
    "head": Way("head", {"head": {"pooler": False}}, 3e-3),
}
