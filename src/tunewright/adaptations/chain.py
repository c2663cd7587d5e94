"""Several adaptations, one after the other: `[{quantized: nf4}, {lora: {rank: 16}}]`, `[lora, {frozen: {top: 2}}]`.

First what changes how frozen weights are stored, then at most one that adds parameters, then what chooses among all
that are there by then; merged in the opposite order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from tunewright.core.errors import Problem, RecipeError
from tunewright.core.registry import name_of, register_chain
from tunewright.core.seeds import key
from tunewright.core.tensors import Adaptation, Role

_ORDER: tuple[Role, ...] = ("stores", "adds", "chooses")


@register_chain("adaptation")
@dataclass(frozen=True)
class Chain:
    """`parts` in the order in which they are attached; a list of a recipe makes one."""

    parts: tuple[Adaptation, ...]

    role: ClassVar[Role] = "adds"

    def __post_init__(self) -> None:
        roles = [part.role for part in self.parts]
        names = [name_of(part) for part in self.parts]
        counted = Counter(roles)
        if counted["stores"] > 1 or counted["adds"] > 1:
            raise ValueError(f"{' and '.join(names)} together: one that stores weights differently and one that adds "
                             "parameters, at most")  # fmt: skip
        if roles != sorted(roles, key=_ORDER.index):
            right = [names[i] for i in sorted(range(len(roles)), key=lambda i: _ORDER.index(roles[i]))]
            raise ValueError(f"the order {', '.join(names)}: write {', '.join(right)}")

    @property
    def rate_factor(self) -> float:
        return max(part.rate_factor for part in self.parts)

    @property
    def places(self) -> int:
        """Places of the context that virtual tokens take."""
        return sum(int(getattr(part, "places", 0)) for part in self.parts)

    @property
    def merges(self) -> bool:
        """Whether all of it can be folded into plain weights."""
        return all(getattr(part, "merges", True) for part in self.parts)

    def prepare(self, tokenizer: Any) -> Chain:
        """With what its parts need to know of the tokenizer."""
        return Chain(tuple(part.prepare(tokenizer) if hasattr(part, "prepare") else part for part in self.parts))

    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        """Attaches each part to what the one before it made.

        Raises:
            RecipeError: a part does not fit what is there, or nothing is left that learns.
        """
        for i, part in enumerate(self.parts):
            if part.role == "chooses" and self.parts[i - 1].role == "stores":
                for parameter in model.parameters():  # a choice begins with all that can learn
                    parameter.requires_grad_(parameter.dtype in (torch.float32, torch.float64))
            model = part.attach(model, seed if i == 0 else key(seed, "chain", i))
        if not any(p.requires_grad for p in model.parameters()):
            raise RecipeError(
                Problem(where="adaptation", found=f"after {name_of(self)} nothing is left that learns",
                        to_do="remove a part of the list")
            )  # fmt: skip
        return model

    @property
    def looks(self) -> bool:
        """Whether a part begins from what the layers read."""
        return any(getattr(part, "looks", False) for part in self.parts)

    def look(self, model: nn.Module, run: Callable[[], None]) -> None:
        """Lets that part see what the layers read while `run` passes texts through the model."""
        for part in self.parts:
            if getattr(part, "looks", False):
                part.look(model, run)  # type: ignore[attr-defined]

    def merge(self, model: nn.Module) -> nn.Module:
        for part in reversed(self.parts):
            model = part.merge(model)
        return model


def stores_of(adaptation: Adaptation) -> Adaptation | None:
    """The part of a chain (or the whole of none) that changes how frozen weights are stored, which is done as they are read."""
    parts = adaptation.parts if isinstance(adaptation, Chain) else (adaptation,)
    return next((part for part in parts if part.role == "stores"), None)
