"""Attention over packed batches, inside each example only, through transformers' own registration.

On CPU: short examples are laid into blocks (`blocks.py`) in the precision of the products; where one is too long for
that, or prompts are shared, runs of equal length are taken together by PyTorch's flash kernel, in float32, in one
autograd node for the whole batch. On CUDA: `torch.nn.attention.varlen.varlen_attn`. Axes: T tokens, H heads, E head width.

The CPU kernel is private to PyTorch. It is tried once at import, and where it is missing or disagrees with the public
`scaled_dot_product_attention`, the public function is used: about half as fast, the same numbers.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tunewright.models import blocks
from tunewright.models.blocks import Blocks
from tunewright.models.prefixes import Cross, Sharing

NAME, PADDED = "tunewright_packed", "tunewright_padded"
FIRST_ONLY = "tunewright_first_only"  # set on a layer's attention of which only each example's first token is read


@dataclass(frozen=True)
class Run:
    """`n` examples of `length` tokens each, side by side from token `start`."""

    start: int
    n: int
    length: int


@dataclass(frozen=True)
class Packing:
    """How a packed batch is cut: runs of equal length, in order; `longest` in tokens. Every layer shares it.

    owners, places (T,): the example of each token and its position there. starts (B,): each example's first token.
    crosses: which tokens also see those of a prefix that lies elsewhere.
    """

    runs: tuple[Run, ...]
    longest: int
    lengths: tuple[int, ...]
    owners: Tensor
    places: Tensor
    starts: Tensor
    ends: Tensor | None = None
    crosses: tuple[Cross, ...] = ()
    laid: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def blocks(self, heads: int, causal: bool, window: int | None, dtype: torch.dtype) -> tuple[Blocks, Tensor]:
        """The blocks of short examples and their mask, made once a batch."""
        if heads not in self.laid:
            self.laid[heads] = Blocks.of(self.lengths, heads)
        plan: Blocks = self.laid[heads]
        key = (heads, causal, window, dtype)
        if key not in self.laid:
            self.laid[key] = plan.mask(causal, window, dtype)
        return plan, self.laid[key]

    @classmethod
    def of(cls, lengths: tuple[int, ...], device: torch.device) -> Packing:
        runs, start = [], 0
        for length, group in itertools.groupby(lengths):
            n = sum(1 for _ in group)
            runs.append(Run(start, n, length))
            start += n * length
        sizes = torch.tensor(lengths, device=device)
        owners = torch.repeat_interleave(torch.arange(len(sizes), device=device), sizes)
        starts = sizes.cumsum(0) - sizes
        places = torch.arange(start, device=device) - starts[owners]
        ends = None
        if device.type != "cpu":
            ends = F.pad(torch.tensor(lengths, device=device, dtype=torch.int32).cumsum(0, dtype=torch.int32), (1, 0))
        return cls(tuple(runs), max(lengths), tuple(lengths), owners, places, starts, ends)

    @classmethod
    def sharing(cls, found: Sharing) -> Packing:
        """Of segments, some of which go on from a prefix."""
        own = cls.of(found.segments, found.take.device)
        return replace(own, owners=found.owners, places=found.places, crosses=found.crosses)


def _cut(x: Tensor, run: Run) -> Tensor:
    """(T, H, E) -> (n, H, length, E), a view."""
    rows = x[run.start : run.start + run.n * run.length]
    return rows.view(run.n, run.length, *x.shape[1:]).transpose(1, 2)


def _window(length: int, causal: bool, window: int | None, device: torch.device) -> Tensor | None:
    """A mask (length, length), True where attention is allowed, or None where nothing is forbidden but the future."""
    if window is None or length <= window:
        return None
    places = torch.arange(length, device=device)
    apart = places[:, None] - places[None, :]
    return (apart >= 0) & (apart < window) if causal else apart.abs() < window


def _sums(sums: Tensor, run: Run) -> Tensor:
    """(T, H) -> (n, H, length), a view."""
    return sums[run.start : run.start + run.n * run.length].view(run.n, run.length, -1).transpose(1, 2)


def _crossed(cross: Cross) -> tuple[Run, Run]:
    return Run(cross.asking, 1, cross.asks), Run(cross.seen, 1, cross.sees)


class _Flash(torch.autograd.Function):
    """The private flash kernel over every run, as one node of the graph."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, packing: Packing, causal: bool, scale: float) -> Tensor:
        out = q.new_empty(q.shape)
        sums = q.new_empty(q.shape[:2])  # (T, H): log of the sum of exponentials over what a token sees
        for run in packing.runs:
            part, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                _cut(q, run), _cut(k, run), _cut(v, run), 0.0, causal, scale=scale
            )
            _cut(out, run).copy_(part)
            _sums(sums, run).copy_(lse)
        for cross in packing.crosses:
            asks, sees = _crossed(cross)
            part, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                _cut(q, asks), _cut(k, sees), _cut(v, sees), 0.0, False, scale=scale
            )
            whole = torch.logaddexp(_sums(sums, asks), lse)
            own, other = ((x - whole).exp()[..., None] for x in (_sums(sums, asks), lse))
            _cut(out, asks).copy_(own * _cut(out, asks) + other * part)
            _sums(sums, asks).copy_(whole)
        ctx.save_for_backward(q, k, v, out, sums)
        ctx.packing, ctx.causal, ctx.scale = packing, causal, scale
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        q, k, v, out, sums = ctx.saved_tensors
        grads = tuple(torch.empty_like(x) for x in (q, k, v))

        def parts(asks: Run, sees: Run, causal: bool) -> Any:
            # with the sums over all that a token sees, the gradients of its parts add up (as in ring attention)
            return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                _cut(grad, asks), _cut(q, asks), _cut(k, sees), _cut(v, sees), _cut(out, asks),
                _sums(sums, asks).contiguous(), 0.0, causal, scale=ctx.scale,
            )  # fmt: skip

        for run in ctx.packing.runs:
            for whole, part in zip(grads, parts(run, run, ctx.causal), strict=True):
                _cut(whole, run).copy_(part)
        for cross in ctx.packing.crosses:
            asks, sees = _crossed(cross)
            for whole, run, part in zip(grads, (asks, sees, sees), parts(asks, sees, False), strict=True):
                _cut(whole, run).add_(part)
        return (*grads, None, None, None)


def _flash(q: Tensor, k: Tensor, v: Tensor, packing: Packing, causal: bool, scale: float) -> Tensor:
    out: Tensor = _Flash.apply(q, k, v, packing, causal, scale)  # type: ignore[no-untyped-call]
    return out


def _public(
    q: Tensor, k: Tensor, v: Tensor, packing: Packing, causal: bool, scale: float, window: int | None
) -> Tensor:
    outs = []
    for run in packing.runs:
        mask = _window(run.length, causal, window, q.device)
        part = F.scaled_dot_product_attention(
            _cut(q, run), _cut(k, run), _cut(v, run), attn_mask=mask, is_causal=causal and mask is None, scale=scale
        )
        outs.append(part.transpose(1, 2).flatten(0, 1))
    return torch.cat(outs)


def _first(q: Tensor, k: Tensor, v: Tensor, packing: Packing, scale: float) -> Tensor:
    """Attention of each example's first token over its example; zeros for the other tokens, which nobody reads.

    Costs 4 T H E operations in place of the blocks' 4 T H E C.
    """
    own, place, starts = packing.owners, packing.places, packing.starts
    with torch.autocast(q.device.type, enabled=False):
        scores = (q.index_select(0, starts).index_select(0, own) * k).sum(-1, dtype=_wide(k.dtype)) * scale  # (T, H)
        padded = scores.new_full((len(starts), packing.longest, scores.shape[1]), float("-inf"))
        p = torch.softmax(padded.index_put((own, place), scores), 1)[own, place]
        out = torch.zeros(len(starts), *v.shape[1:], dtype=p.dtype, device=v.device).index_add(0, own, p[..., None] * v)
    return v.new_zeros(v.shape).index_copy(0, starts, out.to(v.dtype))


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _varlen(q: Tensor, k: Tensor, v: Tensor, packing: Packing, causal: bool, scale: float) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    assert packing.ends is not None
    window = (-1, 0) if causal else (-1, -1)
    out = varlen_attn(
        q, k, v, packing.ends, packing.ends, packing.longest, packing.longest, scale=scale, window_size=window
    )  # fmt: skip
    assert isinstance(out, Tensor)
    return out


@cache
def flash_works() -> bool:
    """Whether PyTorch's private CPU kernel exists and agrees with the public function, gradients included."""
    try:
        # asked for the first time in a prediction, it must not learn from that there are no gradients
        with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
            whole, parts = Packing.of((5, 5), torch.device("cpu")), Packing.of((3, 2, 2), torch.device("cpu"))
            shared = replace(parts, crosses=(Cross(3, 4, 0, 3),))
            twice = torch.tensor(
                [0, 1, 2, 3, 4, 0, 1, 2, 5, 6]
            )  # two sequences of which the first three tokens are one
            generator = torch.Generator().manual_seed(0)
            a = [torch.randn(7, 2, 8, generator=generator).requires_grad_() for _ in range(3)]
            q, k, v = (x[twice] for x in a)
            theirs = _public(q, k, v, whole, True, 0.3, None)
            wanted = torch.autograd.grad(theirs.square().sum(), a, retain_graph=True)
            plain = _flash(q, k, v, whole, True, 0.3)
            ours = _flash(a[0], a[1], a[2], shared, True, 0.3)[twice]
            pairs = [(plain, theirs), (ours, theirs)]
            pairs += zip(torch.autograd.grad(plain.square().sum(), a), wanted, strict=True)
            pairs += zip(torch.autograd.grad(ours.square().sum(), a), wanted, strict=True)
            return all(torch.allclose(x, y, atol=1e-5) for x, y in pairs)
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return False


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    packing: Packing | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in each attention layer: query, key, value (1, H, T, E) -> (1, T, H, E).

    Attention dropout is not applied: it forces the slow path, and dropout elsewhere stays. Grouped queries repeat their
    keys. A sliding window is a mask over the examples that are longer than it.
    """
    if packing is None:
        raise RuntimeError("packed attention was called without a packing")
    causal = bool(getattr(module, "is_causal", False)) if is_causal is None else is_causal
    kind = query.dtype
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    if q.shape[1] != k.shape[1]:
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    scale = scaling if scaling is not None else q.shape[-1] ** -0.5
    window = None
    if sliding_window is not None:
        window = sliding_window  # keys less than so many places away; transformers gives a bidirectional half plus one
    masked = window is not None and packing.longest > window
    if getattr(module, FIRST_ONLY, False) and not causal and not masked:
        return _first(q, k, v, packing, scale)[None], None
    with torch.autocast(q.device.type, enabled=False):
        if q.device.type == "cuda" and not masked and kind in (torch.bfloat16, torch.float16):
            return _varlen(q, k, v, packing, causal, scale)[None], None
        if q.device.type == "cpu" and blocks.take(packing.longest, v.dtype) and not packing.crosses:
            q, k = q.to(v.dtype), k.to(v.dtype)  # rotary positions and query norms may have left them in float32
            plan, mask = packing.blocks(q.shape[1], causal, window if masked else None, v.dtype)
            return blocks.attend(q, k, v, plan, mask, scale)[None], None
        if kind != torch.float64:
            q, k, v = q.float(), k.float(), v.float()
        if q.device.type == "cpu" and not masked and q.dtype == torch.float32 and flash_works():
            return _flash(q, k, v, packing, causal, scale)[None].to(kind), None
        return _public(q, k, v, packing, causal, scale, window)[None].to(kind), None


def padded_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **others: Any
) -> tuple[Tensor, None]:
    """transformers' own scaled-dot-product attention, in float32 on a CPU and without attention dropout.

    So that a model trained padded learns what it would have learnt packed.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    kind = query.dtype
    others["dropout"] = 0.0
    with torch.autocast(query.device.type, enabled=False):
        if query.device.type == "cpu" and kind in (torch.bfloat16, torch.float16):
            query, key, value = query.float(), key.float(), value.float()
            if attention_mask is not None and attention_mask.is_floating_point():
                attention_mask = attention_mask.float()
            if others.get("position_bias") is not None:
                others["position_bias"] = others["position_bias"].float()
        out, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **others)
    return out.to(kind), None


def register() -> None:
    """Makes NAME (with no mask to build) and PADDED known to transformers as `attn_implementation`.

    May be called again.
    """
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)
    AttentionInterface.register(PADDED, padded_attention)
    AttentionMaskInterface.register(PADDED, sdpa_mask)
