"""Some parameters stay as they are: the embeddings, the lowest layers, all but the top ones, by number or by name.

Layers are counted from 0 at the embeddings (`core.depth`). What belongs to no layer (head, pooler, last norm) learns
unless a pattern freezes it. Howard and Ruder 2018 ("ULMFiT") and Lee et al. 2019 ("What Would Elsa Do?") measured how
much of a text model can stay frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar

from annotated_types import Ge
from torch import nn

from tunewright.core.depth import depth, is_embedding, layer_of
from tunewright.core.errors import Problem, RecipeError, listed
from tunewright.core.registry import register
from tunewright.core.tensors import Role


@register("adaptation", "frozen")
@dataclass(frozen=True)
class Frozen:
    """What stays as it is; the options add up.

    top: only this many layers at the top learn (0: what lies above the layers). bottom: this many at the bottom are
    frozen. layers: these layer numbers are frozen.
    patterns: parameters whose name matches (`*attention*`) are frozen. embeddings: whether they are frozen.
    """

    top: Annotated[int, Ge(0)] | None = None
    bottom: Annotated[int, Ge(0)] = 0
    layers: tuple[Annotated[int, Ge(0)], ...] = ()
    patterns: tuple[str, ...] = ()
    embeddings: bool = True

    role: ClassVar[Role] = "chooses"
    rate_factor: ClassVar[float] = 3.0

    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        """Freezes in place; what is frozen already stays so.

        Raises:
            RecipeError: a layer or pattern that the model does not have, or nothing left that learns.
        """
        names = [name for name, _ in model.named_parameters()]
        layers = depth(names)
        problems = self._problems(names, layers)
        frozen = {*self.layers, *range(self.bottom)}
        frozen |= set(range(max(layers - self.top, 0))) if self.top is not None else set()
        for name, parameter in model.named_parameters():
            stays = layer_of(name) in frozen
            stays |= self.embeddings and is_embedding(name)
            stays |= any(fnmatchcase(name, pattern) for pattern in self.patterns)
            if stays:
                parameter.requires_grad_(False)
        if not problems and not any(p.requires_grad for p in model.parameters()):
            problems.append(
                Problem(where="adaptation.frozen", found="everything is frozen", to_do="let something learn")
            )
        if problems:
            raise RecipeError(*problems)
        return model

    def _problems(self, names: list[str], layers: int) -> list[Problem]:
        problems = [
            Problem(where=f"adaptation.frozen.{name}", found=str(n), allowed=f"0 to {layers}, the model's layers")
            for name, n in (("top", self.top), ("bottom", self.bottom))
            if n is not None and n > layers
        ]
        problems += [
            Problem(where="adaptation.frozen.layers", found=f"layer {layer}", allowed=f"0 to {layers - 1}")
            for layer in self.layers
            if layer >= layers
        ]
        problems += [
            Problem(
                where="adaptation.frozen.patterns",
                found=f"{pattern!r} matches no parameter",
                allowed=listed(names, 6),
                to_do="use * for any part of a name",
            )
            for pattern in self.patterns
            if not any(fnmatchcase(name, pattern) for name in names)
        ]
        return problems

    def merge(self, model: nn.Module) -> nn.Module:
        return model
