"""RMS norms and rotary positions of Llama-like decoders as one node of the graph each, with fewer passes over memory.

transformers writes both out in elementwise steps, each of which reads and writes all tokens and keeps something for the
backward pass. With r = 1 / sqrt(mean(x^2) + e) and R the rotation of a pair of numbers by its position's angle,

    y = w x r        dx = r (w dy - x r^2 mean(w dy x))        dw = sum over tokens of dy x r
    y = R x          dx = R^-1 dy

in the precision that transformers has: a norm in float32, a rotation in that of its sine. Zhang and Sennrich 2019,
"Root Mean Square Layer Normalization"; Su et al. 2021, "RoFormer". Axes: T tokens, D width, H heads, E head width.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_NORMS = frozenset({"LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm"})
_ROTATED = frozenset({"llama", "mistral", "qwen2", "qwen3"})
_ROTARY = "apply_rotary_pos_emb"


class Norms:
    """Inside (`with`), the norms and rotations of `model` are single nodes; may be entered again inside.

    Args:
        inner: the model of transformers, without peft's wrapping; of another family nothing is done.
    """

    def __init__(self, inner: Any) -> None:
        self._depth = 0
        on_cpu = next(inner.parameters()).device.type == "cpu"
        known = on_cpu and str(inner.config.model_type) in _ROTATED
        self._norms = [m for m in inner.modules() if type(m).__name__ in _NORMS] if known else []
        self._place = vars(sys.modules[type(inner).__module__]) if known else {}
        self._before: Any = None

    def __enter__(self) -> None:
        self._depth += 1
        if self._depth > 1:
            return
        for norm in self._norms:
            norm.__dict__["forward"] = _Norm(norm)
        if _ROTARY in self._place:
            self._before, self._place[_ROTARY] = self._place[_ROTARY], rotated

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth:
            return
        for norm in self._norms:
            norm.__dict__.pop("forward", None)
        if self._before is not None:
            self._place[_ROTARY], self._before = self._before, None


class _Norm:
    """Stands for one norm's `forward`."""

    def __init__(self, norm: Any) -> None:
        self.norm = norm

    def __call__(self, x: Tensor) -> Tensor:
        norm = self.norm
        if x.dtype == norm.weight.dtype == torch.float32:  # transformers takes its sums in float32 for float64 as well
            out: Tensor = _RMSNorm.apply(x, norm.weight, norm.variance_epsilon)  # type: ignore[no-untyped-call]
        else:
            out = type(norm).forward(norm, x)
        return out


class _RMSNorm(torch.autograd.Function):
    """x (..., D), w (D,) -> (..., D)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        out = x.square()
        r = out.mean(-1, keepdim=True).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, r)
        return torch.mul(x, r, out=out).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, r = ctx.saved_tensors
        width = x.shape[-1]
        both = grad * x
        rows = both.reshape(-1, width)
        factor = (rows @ weight).view_as(r).mul_(r.pow(3)).div_(-width)
        of_weight = (r.reshape(1, -1) @ rows)[0] if ctx.needs_input_grad[1] else None
        return torch.mul(grad, weight, out=both).mul_(r).addcmul_(x, factor), of_weight, None


def rotated(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1) -> tuple[Tensor, Tensor]:
    """As transformers' `apply_rotary_pos_emb`: q, k (B, H, T, E), cos, sin (B, T, E)."""
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    of_q: Tensor = _Rotation.apply(q, cos, sin)  # type: ignore[no-untyped-call]
    of_k: Tensor = _Rotation.apply(k, cos, sin)  # type: ignore[no-untyped-call]
    return of_q, of_k


class _Rotation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        ctx.dtype = x.dtype
        return _turned(x, cos, sin, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        cos, sin = ctx.saved_tensors
        half = sin.shape[-1] // 2
        other = torch.cat(
            (sin[..., half:], sin[..., :half]), -1
        )  # the transposed rotation swaps the halves of the sines
        return _turned(grad, cos, other, -1).to(ctx.dtype), None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor, sign: int) -> Tensor:
    """x cos + (-x2, x1) sin, tokens before heads in memory, as attention reads them."""
    half = x.shape[-1] // 2
    wide = x.to(torch.promote_types(x.dtype, cos.dtype))
    out = torch.empty(x.transpose(1, 2).shape, dtype=wide.dtype, device=x.device).transpose(1, 2)
    torch.mul(wide, cos, out=out)
    out[..., :half].addcmul_(wide[..., half:], sin[..., :half], value=-sign)
    out[..., half:].addcmul_(wide[..., :half], sin[..., half:], value=sign)
    return out
