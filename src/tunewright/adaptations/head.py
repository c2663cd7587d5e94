"""The head alone learns, on a body that stays as it is: a linear probe (Alain and Bengio 2017).

The cheapest of all, and with a cached body (`models/trunk.py`) the body is read once for all epochs. Measures what the
pretrained features hold; usually some points below what fine-tuning reaches (Peters et al. 2019, "To Tune or Not to
Tune?").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from tunewright.adaptations.wrapping import head_parameters
from tunewright.core.errors import Problem, RecipeError
from tunewright.core.registry import register
from tunewright.core.tensors import Role


@register("adaptation", "head")
@dataclass(frozen=True)
class Head:
    """`pooler`: the layer between the body and the head learns too, where the model has one (the BERT family)."""

    pooler: bool = False

    role: ClassVar[Role] = "chooses"
    rate_factor: ClassVar[float] = 30.0

    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        """Freezes the body in place.

        Raises:
            RecipeError: the model has no head of its own, as a language model whose output is its embeddings.
        """
        head = head_parameters(model)
        if not head:
            raise RecipeError(
                Problem(
                    where="adaptation.head",
                    found=f"{type(model).__name__} has no head apart from its embeddings",
                    allowed="a classifier of texts or tokens, a regression or a reward model",
                    to_do="choose `adaptation: {frozen: {top: 1}}` or `adaptation: {lora: {rank: 8}}`",
                )
            )
        for name, parameter in model.named_parameters():
            if name not in head and not (self.pooler and ".pooler." in f".{name}"):
                parameter.requires_grad_(False)
        return model

    def merge(self, model: nn.Module) -> nn.Module:
        return model
