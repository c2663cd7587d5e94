"""LoRA's layers on a CPU: one node of the graph a product, frozen weights cast once, projections of one input together.

Around each frozen product peft runs two thin ones, a scaling and a sum, and under autocast every one of them casts its
input and its weight anew at each step: more time goes there than LoRA saves of the gradients. Here

    y = x W^T + b + s (x A^T) B^T        dx = dy W + s (dy B) A        dA = s (dy B)^T x        dB = s dy^T (x A^T)

is one node that keeps x and x A^T, both in the precision of the products. W is brought into that precision once, and for
bfloat16 into the order that oneDNN wants, for y and for dx: 4 bytes a parameter beside the model's own. Query, key and
value, or the two halves of a gated feed-forward, read one input: their weights lie one above the other, and are one
product, whose input is cast once and whose gradient is one sum.

It stands in for `forward` of peft's plain `lora.Linear` only while a ModelForward runs. What is not plain (DoRA, dropout
before A in training, several active adapters, merged ones, quantized weights, a base that learns) is left to peft.
Axes: T tokens, K inputs, N outputs, R rank.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tunewright.models import products, shapes

_TOGETHER = (
    ("q_proj", "k_proj", "v_proj"), ("query", "key", "value"), ("q_lin", "k_lin", "v_lin"), ("q", "k", "v"),
    ("gate_proj", "up_proj"), ("w1", "w3"), ("wi_0", "wi_1"),
)  # fmt: skip
"""What modules are called that read the same input beside one another."""
_ELSEWHERE = ("cross", "encdec", "encoder_attn")
"""Attention whose queries come from another side than its keys."""


class LowRank:
    """Inside (`with`), the model's plain LoRA layers are computed as this module says; may be entered again inside.

    Args:
        model: one of peft, or any: without LoRA in it nothing is done.
        apart: modules whose input is made anew before them, so that they share it with none.
    """

    def __init__(self, model: nn.Module, apart: Collection[nn.Module] = ()) -> None:
        self._depth = 0
        self._shared: list[_Shared] = []
        self._asked: list[tuple[Any, _Asked]] = []
        lora = getattr(sys.modules.get("peft.tuners.lora.layer"), "Linear", None)
        if lora is None:
            return
        groups: dict[Any, list[Any]] = defaultdict(list)
        for name, module in model.named_modules():
            if type(module) is lora and _is_plain(module.base_layer):
                parent, _, own = name.rpartition(".")
                among = next((i for i, names in enumerate(_TOGETHER) if own in names), None)
                other = own in ("q", "query", "q_proj", "q_lin") and any(word in name.lower() for word in _ELSEWHERE)
                groups[name if among is None or other or module in apart else (parent, among)].append(module)
        self._shared = [_Shared(layers) for layers in groups.values()]
        self._asked = [(layer, _Asked(shared, layer)) for shared in self._shared for layer in shared.layers]

    def __enter__(self) -> None:
        self._depth += 1
        if self._depth == 1:
            for layer, asked in self._asked:
                layer.__dict__["forward"] = asked  # past nn.Module's own setting of attributes, for its cost

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            for layer, asked in self._asked:
                asked.shared.forget()
                layer.__dict__.pop("forward", None)


class _Asked:
    """Stands for one layer's `forward`."""

    def __init__(self, shared: _Shared, layer: Any) -> None:
        self.shared, self.layer = shared, layer

    def __call__(self, x: Tensor, *args: Any, **named: Any) -> Tensor:
        out = None if args or named else self.shared.of(self.layer, x)
        return type(self.layer).forward(self.layer, x, *args, **named) if out is None else out


class _Shared:
    """Layers that read one input; the first that is asked computes all, the others are handed theirs.

    A layer that comes with another input than the first one had is computed by itself.
    """

    def __init__(self, layers: list[Any]) -> None:
        self.layers = layers
        self._input: Tensor | None = None
        self._ready: dict[Any, Tensor] = {}
        self._weights: dict[Any, _Weights] = {}

    def forget(self) -> None:
        """Lets go of results that nobody has asked for."""
        self._input, self._ready = None, {}

    def of(self, layer: Any, x: Tensor) -> Tensor | None:
        """This layer's output, or None where it is peft's to compute."""
        if x is self._input and layer in self._ready:
            out = self._ready.pop(layer)
            if not self._ready:
                self._input = None
            return out
        dtype = _products_of(x)
        layers = self.layers if layer is self.layers[0] else [layer]
        adapters = [_adapter(each, dtype) for each in layers]
        if adapters[0] is not None and not all(adapters):
            layers, adapters = [layer], adapters[:1]
        if adapters[0] is None or x.device.type != "cpu" or not x.numel():
            return None
        found = zip(layers, adapters, strict=True)
        downs, ups = zip(*((each.lora_A[name].weight, each.lora_B[name].weight) for each, name in found), strict=True)
        scales = [each.scaling[name] for each, name in zip(layers, adapters, strict=True)]
        outs = _LowRank.apply(x, self._laid(layers, dtype), scales, *downs, *ups)  # type: ignore[no-untyped-call]
        if len(layers) > 1:
            self._input, self._ready = x, dict(zip(layers[1:], outs[1:], strict=True))
        first: Tensor = outs[0]
        return first

    def _laid(self, layers: list[Any], dtype: torch.dtype) -> _Weights:
        key = (len(layers), layers[0], dtype)
        bases = [layer.base_layer for layer in layers]
        weights = self._weights.get(key)
        if weights is None or weights.state != _state(bases):
            weights = self._weights[key] = _Weights(bases, dtype)
        return weights


class _Weights:
    """Frozen weights one above the other: x (T, K) to outputs (T, N) each, and their gradients back to x's."""

    def __init__(self, bases: Sequence[Any], dtype: torch.dtype) -> None:
        self.dtype, self.state = dtype, _state(bases)
        self._matrices = [_matrix(base) for base in bases]
        self.sizes = [len(matrix) for matrix in self._matrices]
        self._biases = [None if base.bias is None else base.bias.detach() for base in bases]
        self._cast = dtype != self._matrices[0].dtype
        self._laid = dtype == torch.bfloat16 and products.works()
        self._made: dict[str, Tensor] = {}

    def rows(self, tokens: int) -> int:
        """For how many rows the products are made, so that few shapes occur."""
        return shapes.rounded(tokens) if self.dtype == torch.bfloat16 else tokens

    def forward(self, x: Tensor) -> Sequence[Tensor]:
        """x (T, K) to (T, N) for each."""
        if not self._cast:
            return [F.linear(x, w, b) for w, b in zip(self._matrices, self._biases, strict=True)]
        bias = self._once("bias", self._bias) if any(b is not None for b in self._biases) else None
        if self._laid:
            out = products._product(x, self._once("down", lambda: products._lay(self._stacked())), bias, False)
        else:
            out = F.linear(x, self._once("stacked", self._stacked), bias)
        return out.split_with_sizes(self.sizes, 1)

    def backward(self, grads: Tensor) -> Tensor:
        """(T, N) of all side by side to (T, K)."""
        if not self._cast:
            parts = grads.split_with_sizes(self.sizes, 1)
            out = parts[0] @ self._matrices[0]
            for part, matrix in zip(parts[1:], self._matrices[1:], strict=True):
                out.addmm_(part, matrix)
            return out
        if self._laid:
            return products._product(grads, self._once("up", lambda: products._lay(self._stacked().t())), None, False)
        return grads @ self._once("stacked", self._stacked)

    def _stacked(self) -> Tensor:
        return torch.cat([matrix.to(self.dtype) for matrix in self._matrices])

    def _bias(self) -> Tensor:
        pairs = zip(self._biases, self._matrices, strict=True)
        return torch.cat([(m.new_zeros(len(m)) if b is None else b).to(self.dtype) for b, m in pairs])

    def _once(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        if name not in self._made:
            with torch.inference_mode(False), torch.no_grad():
                self._made[name] = make()
        return self._made[name]


class _LowRank(torch.autograd.Function):
    """x (..., K) with frozen weights, scales, then every A (R, K) and every B (N, R) -> every output (..., N)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weights: _Weights, scales: Sequence[float], *factors: Tensor
    ) -> tuple[Tensor, ...]:
        n, dtype = len(scales), weights.dtype
        flat = _beside([x.reshape(-1, x.shape[-1])], weights)
        downs, ups = factors[:n], [up.to(dtype) for up in factors[n:]]
        down = torch.cat(downs).to(dtype) if n > 1 else downs[0].to(dtype)
        read = flat @ down.t()
        ranks = [len(each) for each in downs]
        outs = weights.forward(flat)
        for out, part, up, scale in zip(outs, read.split_with_sizes(ranks, 1), ups, scales, strict=True):
            out.addmm_(part, up.t(), alpha=scale)
        learns = any(ctx.needs_input_grad[3 : 3 + n])
        ctx.save_for_backward(flat if learns else None, read, down, *ups)
        ctx.rest = weights, scales, ranks, x.shape, x.dtype
        ctx.set_materialize_grads(False)
        tokens = x.shape[:-1].numel()
        # not views for autograd, whose changes in place it would refuse
        return tuple(torch.ops.aten._unsafe_view(out[:tokens], [*x.shape[:-1], out.shape[-1]]) for out in outs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        flat, read, down, *ups = ctx.saved_tensors
        weights, scales, ranks, shape, dtype = ctx.rest
        n, wanted = len(scales), ctx.needs_input_grad
        whole = _beside([None if g is None else g.reshape(-1, g.shape[-1]) for g in grads], weights)
        into = whole.split_with_sizes(weights.sizes, 1)
        thin = torch.empty_like(read)  # (T, R): s dy B
        for grad, part, up, scale in zip(into, thin.split_with_sizes(ranks, 1), ups, scales, strict=True):
            torch.mm(grad, up * scale, out=part)
        of_x, of_downs, of_ups = None, [None] * n, [None] * n
        if wanted[0]:
            of_x = weights.backward(whole).addmm_(thin, down)[: shape[:-1].numel()].to(dtype).view(shape)
        if any(wanted[3 : 3 + n]):
            of_downs = list((thin.t() @ flat).split_with_sizes(ranks))
        if any(wanted[3 + n :]):
            parts = read.split_with_sizes(ranks, 1)
            of_ups = [(g.t() @ part).mul_(s) for g, part, s in zip(into, parts, scales, strict=True)]
        return of_x, None, None, *of_downs, *of_ups


def _beside(parts: Sequence[Tensor | None], weights: _Weights) -> Tensor:
    """Matrices (T, n) side by side in the precision of the products, with rows of zeros below; None stands for zeros."""
    tokens = next(len(part) for part in parts if part is not None)
    rows, first = weights.rows(tokens), parts[0]
    if len(parts) == 1 and rows == tokens and first is not None:
        return first.to(weights.dtype)
    widths = weights.sizes if len(parts) > 1 else [-1 if first is None else first.shape[1]]
    whole = torch.empty(rows, sum(widths), dtype=weights.dtype)
    whole[tokens:].zero_()
    for part, place in zip(parts, whole[:tokens].split_with_sizes(widths, 1), strict=True):
        place.zero_() if part is None else place.copy_(part)
    return whole


def _is_plain(base: nn.Module) -> bool:
    return type(base) is nn.Linear or products._is_conv1d(base)


def _matrix(base: Any) -> Tensor:
    """(N, K), without a graph."""
    weight: Tensor = base.weight.detach()
    return weight if type(base) is nn.Linear else weight.t()


def _state(bases: Sequence[Any]) -> list[tuple[int, int, torch.dtype]]:
    """What changes when weights do."""
    return [(base.weight.data_ptr(), base.weight._version, base.weight.dtype) for base in bases]


def _products_of(x: Tensor) -> torch.dtype:
    """The precision of products with x."""
    on = x.dtype != torch.float64 and torch.is_autocast_enabled(x.device.type)
    return torch.get_autocast_dtype(x.device.type) if on else x.dtype


def _adapter(layer: Any, dtype: torch.dtype) -> str | None:
    """The name of the one adapter of a layer that adds s B A x and does nothing else, in this precision; else None."""
    active = [name for name in layer.active_adapters if name in layer.lora_A]
    if layer.disable_adapters or layer.merged or len(active) != 1:
        return None
    name: str = active[0]
    base, down, up, drop = layer.base_layer, layer.lora_A[name], layer.lora_B[name], layer.lora_dropout[name]
    if name in layer.lora_variant or type(down) is not nn.Linear or type(up) is not nn.Linear:
        return None
    if getattr(drop, "p", 0) and drop.training:
        return None
    hooked = any(m._forward_hooks or m._forward_pre_hooks for m in (base, down, up, drop))
    learns = any(p.requires_grad for p in base.parameters())
    kinds = {p.dtype for m in (base, down, up) for p in m.parameters()}
    suits = kinds == {dtype} or (dtype == torch.bfloat16 and kinds == {torch.float32})
    return None if hooked or learns or up.bias is not None or not suits else name
