"""Only the biases learn, and the head. Ben Zaken et al. 2022, "BitFit".

About 0.1% of an encoder's parameters. Cost: the gradients pass through every layer, so a step takes about two thirds
of a full one; the optimizer's memory all but vanishes. Decoders of the Llama family have no biases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from tunewright.adaptations.wrapping import head_parameters
from tunewright.core.errors import Problem, RecipeError
from tunewright.core.registry import register
from tunewright.core.tensors import Role


@register("adaptation", "bias")
@dataclass(frozen=True)
class Bias:
    """`norms`: the weights of the norms learn as well (one number a feature, as biases have)."""

    norms: bool = False

    role: ClassVar[Role] = "chooses"
    rate_factor: ClassVar[float] = 30.0

    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        """Freezes the rest in place.

        Raises:
            RecipeError: the model has no biases.
        """
        head = head_parameters(model)
        found = False
        for name, parameter in model.named_parameters():
            bias = name.endswith("bias") or (self.norms and parameter.ndim == 1)
            found |= bias and name not in head
            if not (bias or name in head):
                parameter.requires_grad_(False)
        if not found:
            raise RecipeError(
                Problem(
                    where="adaptation.bias",
                    found="this model has no biases" if not self.norms else "this model has neither biases nor norms",
                    allowed="a model of the BERT, GPT-2, T5 (with norms: true) or BART family",
                    to_do="set norms: true, or choose `adaptation: {lora: {rank: 8}}`",
                )
            )
        return model

    def merge(self, model: nn.Module) -> nn.Module:
        return model
