"""LoRA's layers on a CPU: one node of the graph a product, frozen weights cast once, projections of one input together.

Around each frozen product peft runs two thin ones, a scaling and a sum, and under autocast every one of them casts its
input and its weight anew at each step: more time goes there than LoRA saves of the gradients. Here

    y = x W^T + b + s (x A^T) B^T        dx = dy W + s (dy B) A        dA = s (dy B)^T x        dB = s dy^T (x A^T)

is one node that keeps x and x A^T, both in the precision of the products. W is brought into that precision once, and for
bfloat16 into the order that oneDNN wants, for y and for dx: 4 bytes a parameter beside the model's own. Query, key and
value, or the two halves of a gated feed-forward, read one input: they are one node, whose input is cast once and whose
gradient is one sum; in bfloat16 their weights lie one above the other and are one product (`frozen_weights.py`).

It stands in for `forward` of peft's plain `lora.Linear` only while a ModelForward runs. What is not plain (DoRA, dropout
before A in training, several active adapters, merged ones, quantized weights, a base that learns) is left to peft.
Axes: T tokens, K inputs, N outputs, R rank.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tunewright.models import products
from tunewright.models.frozen_weights import Weights, of_bases, state_of

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
        self._weights: dict[Any, Weights] = {}

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

    def _laid(self, layers: list[Any], dtype: torch.dtype) -> Weights:
        key = (len(layers), layers[0], dtype)
        bases = [layer.base_layer for layer in layers]
        weights = self._weights.get(key)
        if weights is None or weights.state != state_of(bases):
            weights = self._weights[key] = of_bases(bases, dtype)
        return weights


class _LowRank(torch.autograd.Function):
    """x (..., K) with frozen weights, scales, then every A (R, K) and every B (N, R) -> every output (..., N)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Weights, scales: Sequence[float], *factors: Tensor) -> tuple[Tensor, ...]:
        n = len(scales)
        flat = weights.beside([x.reshape(-1, x.shape[-1])])
        outs, *kept = weights.forward(flat, factors[:n], factors[n:], scales)
        learns = any(ctx.needs_input_grad[3 : 3 + n])
        ctx.save_for_backward(flat if learns else None, *kept)
        ctx.rest = weights, scales, [len(each) for each in factors[:n]], x.shape, x.dtype
        ctx.set_materialize_grads(False)
        tokens = x.shape[:-1].numel()
        # not views for autograd, whose changes in place it would refuse
        return tuple(torch.ops.aten._unsafe_view(out[:tokens], [*x.shape[:-1], out.shape[-1]]) for out in outs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        flat, *kept = ctx.saved_tensors
        weights, scales, ranks, shape, dtype = ctx.rest
        n, wanted = len(scales), ctx.needs_input_grad
        wants = wanted[0], any(wanted[3 : 3 + n]), any(wanted[3 + n :])
        rows = [None if g is None else g.reshape(-1, g.shape[-1]) for g in grads]
        of_x, of_downs, of_ups = weights.backward(rows, flat, kept, scales, ranks, wants)
        if of_x is not None:
            of_x = of_x[: shape[:-1].numel()].to(dtype).view(shape)
        return of_x, None, None, *(of_downs or [None] * n), *(of_ups or [None] * n)


def _is_plain(base: nn.Module) -> bool:
    return type(base) is nn.Linear or products._is_conv1d(base)


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
    if up.bias is not None or (getattr(drop, "p", 0) and drop.training):
        return None
    if any(m._forward_hooks or m._forward_pre_hooks for m in (base, down, up, drop)):
        return None
    parts = (
        [base.weight, down.weight, up.weight] if base.bias is None else [base.weight, base.bias, down.weight, up.weight]
    )
    if any(p.requires_grad for p in parts[:-2]):
        return None
    kinds = {p.dtype for p in parts}
    return name if kinds == {dtype} or (dtype == torch.bfloat16 and kinds == {torch.float32}) else None
