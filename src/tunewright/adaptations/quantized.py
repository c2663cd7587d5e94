"""The frozen weights of the body in 4 or 8 bits; under LoRA this is QLoRA: `[{quantized: nf4}, {lora: {rank: 16}}]`.

Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs": NF4 has 16 levels at equal shares of a normal
distribution, times the largest magnitude of each block of 64 weights; double quantization holds these magnitudes in 8
bits. int8 has one scale for each row, as in Dettmers et al. 2022, "LLM.int8()", without its treatment of outliers, which
concerns inputs: those stay as they are here. Through bitsandbytes, on a CPU as well as on CUDA.

Only the linear layers of the repeated blocks are quantized: 97% of the weights of a Llama of one billion. Head, pooler,
norms, embeddings and the product with the vocabulary are not. Bytes a quantized weight: 0.516 (nf4 and fp4, double), 0.563
(without double quantization), 1.0 and a little (int8). Attaching changes the scores, by the quantization error: what is
trained beside the quantized weights is trained for them, and saved with the plain base's place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from tunewright.adaptations.stored import Kind, StoredLinear, dequantized, is_quantized, widen
from tunewright.adaptations.wrapping import head_of
from tunewright.core.depth import layer_of
from tunewright.core.errors import Problem, RecipeError
from tunewright.core.registry import register
from tunewright.core.tensors import Role

__all__ = ["Quantized", "dequantized", "require"]


@register("adaptation", "quantized")
@dataclass(frozen=True)
class Quantized:
    """How the weights are kept. `{quantized: nf4}` stands for `{quantized: {kind: nf4}}`.

    kind: nf4 suits weights that are spread normally, as trained ones are; fp4 is a 4-bit floating-point number; int8 is twice
    as large and nearly exact. double: the blocks' scales in 8 bits too (4-bit kinds). block: weights that share a
    scale (4-bit kinds); a larger one saves 0.004 bytes a weight at most, and costs precision.
    """

    kind: Kind = "nf4"
    double: bool = True
    block: Literal[64, 128, 256, 512, 1024] = 64

    role: ClassVar[Role] = "stores"
    rate_factor: ClassVar[float] = 3.0
    shorthand: ClassVar[str] = "kind"

    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        """Quantizes in place, a layer at a time, and freezes all but a new head; what is quantized already stays so.

        Each float weight is free as soon as its layer is done: the peak is one layer above what was there before.

        Raises:
            RecipeError: bitsandbytes is not installed, or the model has no linear layers in repeated blocks.
        """
        require("adaptation.quantized")
        model.requires_grad_(False)
        if not self.store(model) and not is_quantized(model):
            raise RecipeError(
                Problem(where="adaptation.quantized", found=f"{type(model).__name__} has no linear layers in repeated blocks",
                        to_do="leave quantized out, or choose another model")
            )  # fmt: skip
        widen(model)
        for name in head_of(model):
            model.get_submodule(name).requires_grad_(True)
        return model

    def store(self, model: nn.Module, fits: Callable[[str, Any], bool] = lambda name, layer: True) -> int:
        """Quantizes those linear layers that `fits` lets pass, in place, and nothing else; returns how many they are."""
        found = [(parent, name) for path, parent, name in _places(model) if fits(path, getattr(parent, name))]
        for parent, name in found:
            setattr(parent, name, self._stored(getattr(parent, name)))
        return len(found)

    def _stored(self, layer: Any) -> StoredLinear:
        turned = not isinstance(layer, nn.Linear)
        weight = layer.weight.t() if turned else layer.weight
        made = StoredLinear(weight, layer.bias, self.kind, self.double, self.block, turned)
        return made.train(layer.training)

    def merge(self, model: nn.Module) -> nn.Module:
        """Plain linear layers with the dequantized weights: those that training saw."""
        return dequantized(model)


def require(where: str) -> None:
    """Sees that bitsandbytes is there.

    Raises:
        RecipeError: it is not installed.
    """
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise RecipeError(
            Problem(where=where, found="bitsandbytes is not installed", to_do="pip install 'tunewright[quantized]'")
        ) from error


def _places(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """The linear layers to quantize (full name, holder, name in it): of repeated blocks, with an even number of weights."""
    from transformers.pytorch_utils import Conv1D

    heads = tuple(f"{name}." for name in head_of(model))
    for path, parent in list(model.named_modules()):
        for name, layer in list(parent.named_children()):
            full = f"{path}.{name}" if path else name
            if layer_of(f"{full}.") is None or f"{full}.".startswith(heads):
                continue
            if type(layer) not in (nn.Linear, Conv1D) or not layer.weight.is_floating_point():
                continue
            if layer.weight.numel() % 2 == 0 and layer.weight.dtype != torch.float64:
                yield full, parent, name
