"""Some parameters stay as they are: by layer number, by name pattern, or all but the top layers.

Layers are counted from 0 at the embeddings; a parameter's layer is the first number in its name
(`bert.encoder.layer.3.output.dense.weight` is of layer 3). What belongs to no layer (head, pooler, last norm) learns
unless a pattern freezes it. Howard and Ruder 2018 ("ULMFiT") and Lee et al. 2019 ("What Would Elsa Do?") measured how
much of a text model can stay frozen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar

from annotated_types import Ge
from torch import nn

from tunewright.core.errors import Problem, RecipeError, listed
from tunewright.core.registry import register
from tunewright.core.tensors import Role

_EMBEDDING = re.compile(r"embed|\bwte\b|\bwpe\b")
_LAYER = re.compile(r"\.(\d+)\.")


def layer_of(name: str) -> int | None:
    """The layer that a parameter's name says it belongs to."""
    found = _LAYER.search(name)
    return int(found.group(1)) if found else None


@register("adaptation", "frozen")
@dataclass(frozen=True)
class Frozen:
    """What stays as it is; the options add up.

    top: only this many layers at the top learn (0: the head alone). layers: these layer numbers are frozen.
    patterns: parameters whose name matches (`*attention*`) are frozen. embeddings: whether they are frozen.
    """

    top: Annotated[int, Ge(0)] | None = None
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
        depth = 1 + max((n for n in map(layer_of, names) if n is not None), default=-1)
        problems = self._problems(names, depth)
        frozen = set(self.layers) | (set(range(max(depth - self.top, 0))) if self.top is not None else set())
        for name, parameter in model.named_parameters():
            stays = layer_of(name) in frozen
            stays |= self.embeddings and layer_of(name) is None and bool(_EMBEDDING.search(name))
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

    def _problems(self, names: list[str], depth: int) -> list[Problem]:
        problems = []
        if self.top is not None and self.top > depth:
            problems.append(
                Problem(where="adaptation.frozen.top", found=str(self.top), allowed=f"0 to {depth}, the model's layers")
            )
        problems += [
            Problem(where="adaptation.frozen.layers", found=f"layer {layer}", allowed=f"0 to {depth - 1}")
            for layer in self.layers
            if layer >= depth
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
