"""Modules whose frozen weights take few bits, and whose values are floats all the same.

`StoredLinear` is a linear layer over a weight in 4 or 8 bits; `WideEmbedding` and `WideLinear` are what a checkpoint in 16
bits holds besides, read in float32. bitsandbytes quantizes and dequantizes; the product is ours. Its own layers
(`Linear4bit`, `Linear8bitLt`) are not used: on a CPU, in evaluation mode, they rearrange their weights for good, with coarser
scales and without a gradient from then on, they round the inputs of predictions but not those of training, and they
cast biases in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Kind = Literal["nf4", "fp4", "int8"]
HALF = (torch.bfloat16, torch.float16)
"""What a checkpoint may hold in place of float32."""


class StoredLinear(nn.Linear):
    """y = x W^T + b, W (out, in) in few bits: never a parameter, made anew at each use in the precision of the product.

    A subclass of nn.Linear so that whoever puts something beside linear layers (peft) knows it as one. Cost: each pass
    dequantizes W once, and keeps nothing of it for the backward pass, which does so again.

    Args:
        weight: (out, in), of any floating type.
        bias: its parameter, taken over; or None.
        kind: "nf4" and "fp4" hold 4 bits a number and a scale for each `block`, "int8" 8 bits and a scale for each row.
        double: the scales of 4-bit blocks in 8 bits too, in blocks of 256 around their mean.
        turned: the weight was (in, out) before, in a Conv1D of GPT-2, and shall be so again.
    """

    packed: Tensor
    scales: Tensor
    outer: Tensor | None
    levels: Tensor | None
    offset: Tensor | None

    def __init__(
        self, weight: Tensor, bias: nn.Parameter | None, kind: Kind, double: bool, block: int, turned: bool = False
    ) -> None:
        self._hold(tuple(weight.shape), bias, kind, block, turned, _quantized(weight.detach(), kind, double, block))

    @classmethod
    def holding(
        cls, shape: tuple[int, ...], bias: nn.Parameter | None, kind: Kind, block: int, turned: bool,
        tensors: Mapping[str, Tensor | None],
    ) -> StoredLinear:  # fmt: skip
        """A layer of (out, in) over what is quantized already: `packed`, `scales`, and of double quantization the rest."""
        made = cls.__new__(cls)
        made._hold(shape, bias, kind, block, turned, tensors)
        return made

    def _hold(
        self, shape: tuple[int, ...], bias: nn.Parameter | None, kind: Kind, block: int, turned: bool,
        tensors: Mapping[str, Tensor | None],
    ) -> None:  # fmt: skip
        nn.Module.__init__(self)
        self.out_features, self.in_features = shape
        self.kind, self.block, self.turned = kind, block, turned
        self.register_parameter("bias", bias)
        for name in ("packed", "scales", "outer", "levels", "offset"):
            self.register_buffer(name, tensors[name], persistent=False)

    @property
    def stored(self) -> int:
        """How many numbers the weight stands for."""
        return self.in_features * self.out_features

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """(out, in) float32, made at each look: what is written into it is lost."""
        return self.values(torch.float32)

    @property
    def _laid(self) -> tuple[int, ...]:
        """The shape in which bitsandbytes is to see the weight: its CPU kernel takes no block across the end of a row."""
        if self.in_features % self.block == 0:
            return self.out_features, self.in_features
        return (self.stored // self.block, self.block) if self.stored % self.block == 0 else (self.stored,)

    def values(self, dtype: torch.dtype) -> Tensor:
        """(out, in) what the layer multiplies by."""
        if self.kind == "int8":
            return self.packed.float().mul_((self.scales / 127)[:, None]).to(dtype)
        from bitsandbytes.functional import dequantize_4bit

        out: Tensor = dequantize_4bit(self.packed, self.state(dtype if dtype in HALF else torch.float32))
        return out.view(self.out_features, self.in_features).to(dtype)

    def state(self, dtype: torch.dtype) -> Any:
        """What bitsandbytes has to know beside the packed numbers of 4 bits."""
        from bitsandbytes.functional import QuantState, get_4bit_type

        return QuantState(
            absmax=self.scales, shape=torch.Size(self._laid), code=get_4bit_type(self.kind, device=self.packed.device),
            blocksize=self.block, quant_type=self.kind, dtype=dtype, offset=self.offset,
            state2=None if self.outer is None
            else QuantState(absmax=self.outer, code=self.levels, blocksize=256, dtype=torch.float32),
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) -> (..., out), in the precision of autocast where it is on."""
        device = input.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else input.dtype
        bias = None if self.bias is None else self.bias.to(dtype)
        out: Tensor = _Product.apply(input.to(dtype), bias, self)  # type: ignore[no-untyped-call]
        return out

    def plain(self) -> nn.Module:
        """An nn.Linear (or the Conv1D that it was) with the dequantized weight, frozen."""
        with torch.device("meta"):
            if self.turned:
                from transformers.pytorch_utils import Conv1D

                made: Any = Conv1D(self.out_features, self.in_features)
            else:
                made = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None)
        weight = self.weight.t().contiguous() if self.turned else self.weight
        made.weight = nn.Parameter(weight, requires_grad=False)
        if self.bias is not None:
            made.bias = self.bias
        out: nn.Module = made.train(self.training)
        return out


class _Product(torch.autograd.Function):
    """x W^T + b of a StoredLinear; b's gradient too, for chains in which biases learn."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor | None, layer: StoredLinear) -> Tensor:
        ctx.layer = layer
        return F.linear(x, layer.values(x.dtype), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        dx = grad @ ctx.layer.values(grad.dtype) if ctx.needs_input_grad[0] else None
        db = grad.flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        return dx, db, None


def _quantized(weight: Tensor, kind: Kind, double: bool, block: int) -> dict[str, Tensor | None]:
    from bitsandbytes.functional import int8_vectorwise_quant, quantize_4bit

    if kind == "int8":
        packed, scales, _ = int8_vectorwise_quant(weight.to(torch.float16))
        return {"packed": packed, "scales": scales, "outer": None, "levels": None, "offset": None}
    known = weight if weight.dtype in HALF else weight.float()
    packed, state = quantize_4bit(known.contiguous(), blocksize=block, compress_statistics=double, quant_type=kind)
    outer = state.state2
    absmax, code = (None, None) if outer is None else (outer.absmax, outer.code)
    return {"packed": packed, "scales": state.absmax, "outer": absmax, "levels": code, "offset": state.offset}


class WideEmbedding(nn.Embedding):
    """Rows of a 16-bit table, in float32, so that what passes between the layers is as in a float32 model."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).float()


class WideLinear(nn.Linear):
    """The product with a 16-bit vocabulary; in the input's precision where autocast does not choose another."""

    def forward(self, input: Tensor) -> Tensor:
        if torch.is_autocast_enabled(input.device.type):
            return super().forward(input)
        return F.linear(input, self.weight.to(input.dtype), self.bias)


def dequantized(model: nn.Module) -> nn.Module:
    """`model` with plain linear layers in place of the quantized ones, in float32, also below an adapter.

    The scores stay the same up to rounding: these are the weights that the quantized layers multiply by. In place. An adapter's
    own merge after it adds what was learnt to them.
    """
    names = [name for name, m in model.named_modules() if isinstance(m, StoredLinear)]
    for name in names:
        path, _, last = name.rpartition(".")
        parent: Any = model.get_submodule(path)
        layer: Any = getattr(parent, last)
        setattr(parent, last, layer.plain())
        if layer.turned and hasattr(parent, "fan_in_fan_out"):  # an adapter's layer around what is a Conv1D again
            parent.fan_in_fan_out = True
    _plain_tables(model)
    return model


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """The model's state_dict with dequantized weights, without changing the model."""
    weights: dict[str, Tensor] = model.state_dict()
    for name, module in model.named_modules():
        if isinstance(module, StoredLinear):
            weights[f"{name}.weight"] = module.weight.t().contiguous() if module.turned else module.weight
    return weights


def is_quantized(model: nn.Module) -> bool:
    """Whether weights of the model are kept in few bits."""
    return any(isinstance(m, StoredLinear) for m in model.modules())


def widen(model: nn.Module) -> None:
    """Makes all 16-bit weights float32, save plain embeddings and the product with the vocabulary, which are read as such."""
    holders = _tables(model)
    elsewhere = [p for m in model.modules() if m not in holders for p in m.parameters(recurse=False)]
    kept = {id(m.weight) for m in holders} - {id(p) for p in elsewhere}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            if parameter.dtype in HALF and id(parameter) not in kept:
                parameter.data = parameter.data.float()
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.dtype in HALF and not isinstance(module, StoredLinear):
                module._buffers[name] = buffer.float()
    for table in holders:
        if table.weight.dtype in HALF:
            table.__class__ = WideEmbedding if isinstance(table, nn.Embedding) else WideLinear


def _plain_tables(model: nn.Module) -> None:
    """Undoes what `widen` left in 16 bits: float32 tables in plain modules."""
    for module in model.modules():
        if type(module) in (WideEmbedding, WideLinear):
            module.weight.data = module.weight.data.float()
            module.__class__ = nn.Embedding if isinstance(module, nn.Embedding) else nn.Linear


def _tables(model: Any) -> set[nn.Module]:
    """The embeddings and the product with the vocabulary, where they are modules of PyTorch itself."""
    known = (nn.Embedding, WideEmbedding)
    found = {m for m in model.modules() if type(m) in known}
    output: Any = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    return found | {output} if type(output) in (nn.Linear, WideLinear) else found
