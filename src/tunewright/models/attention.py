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
from tunewright.models.past import Past, Rows, interleaved
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
    crosses: which tokens also see those of a prefix that lies elsewhere. past: learnt keys and values that all tokens see.
    """

    runs: tuple[Run, ...]
    longest: int
    lengths: tuple[int, ...]
    owners: Tensor
    places: Tensor
    starts: Tensor
    ends: Tensor | None = None
    crosses: tuple[Cross, ...] = ()
    past: Past | None = None
    laid: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def before(self) -> int:
        """Learnt keys that all tokens see."""
        return 0 if self.past is None else self.past.count

    def blocks(self, heads: int, causal: bool, window: int | None, dtype: torch.dtype) -> tuple[Blocks, Tensor]:
        """The blocks of short examples and their mask, made once a batch."""
        if heads not in self.laid:
            self.laid[heads] = Blocks.of(self.lengths, heads)
        plan: Blocks = self.laid[heads]
        key = (heads, causal, window, dtype)
        if key not in self.laid:
            self.laid[key] = plan.mask(causal, window, dtype, self.before)
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


def _window(length: int, causal: bool, window: int | None, device: torch.device, before: int = 0) -> Tensor | None:
    """A mask (length, before + length), True where attention is allowed; None where nothing is forbidden but the future.

    `before` learnt keys stand before the tokens: a causal window may have left them behind, another has them in sight.
    """
    if not (causal and before) and (window is None or length <= window):
        return None
    places = torch.arange(length, device=device)
    apart = places[:, None] - torch.arange(-before, length, device=device)
    allowed = apart >= 0 if causal else torch.ones_like(apart, dtype=torch.bool)
    if window is not None:
        allowed = allowed & (apart.abs() < window)
        if not causal:
            allowed[:, :before] = True
    return allowed


def _sums(sums: Tensor, run: Run) -> Tensor:
    """(T, H) -> (n, H, length), a view."""
    return sums[run.start : run.start + run.n * run.length].view(run.n, run.length, -1).transpose(1, 2)


def _crossed(cross: Cross) -> tuple[Run, Run]:
    return Run(cross.asking, 1, cross.asks), Run(cross.seen, 1, cross.sees)


def _all(x: Tensor) -> Run:
    return Run(0, 1, len(x))


class _Flash(torch.autograd.Function):
    """The private flash kernel over every run, as one node of the graph."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, packing: Packing, causal: bool, scale: float,
        past_k: Tensor | None, past_v: Tensor | None,
    ) -> Tensor:  # fmt: skip
        out = q.new_empty(q.shape)
        sums = q.new_empty(q.shape[:2])  # (T, H): log of the sum of exponentials over what a token sees
        for run in packing.runs:
            part, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                _cut(q, run), _cut(k, run), _cut(v, run), 0.0, causal, scale=scale
            )
            _cut(out, run).copy_(part)
            _sums(sums, run).copy_(lse)

        def also(asks: Run, keys: Tensor, values: Tensor) -> None:
            part, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                _cut(q, asks), keys, values, 0.0, False, scale=scale
            )
            whole = torch.logaddexp(_sums(sums, asks), lse)
            own, other = ((x - whole).exp()[..., None] for x in (_sums(sums, asks), lse))
            _cut(out, asks).copy_(own * _cut(out, asks) + other * part)
            _sums(sums, asks).copy_(whole)

        for cross in packing.crosses:
            asks, sees = _crossed(cross)
            also(asks, _cut(k, sees), _cut(v, sees))
        if past_k is not None and past_v is not None:
            also(_all(q), _cut(past_k, _all(past_k)), _cut(past_v, _all(past_v)))
        ctx.save_for_backward(q, k, v, out, sums, past_k, past_v)
        ctx.packing, ctx.causal, ctx.scale = packing, causal, scale
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        q, k, v, out, sums, past_k, past_v = ctx.saved_tensors
        grads = tuple(torch.empty_like(x) for x in (q, k, v))

        def parts(asks: Run, keys: Tensor, values: Tensor, causal: bool) -> Any:
            # with the sums over all that a token sees, the gradients of its parts add up (as in ring attention)
            return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                _cut(grad, asks), _cut(q, asks), keys, values, _cut(out, asks),
                _sums(sums, asks).contiguous(), 0.0, causal, scale=ctx.scale,
            )  # fmt: skip

        for run in ctx.packing.runs:
            for whole, part in zip(grads, parts(run, _cut(k, run), _cut(v, run), ctx.causal), strict=True):
                _cut(whole, run).copy_(part)
        for cross in ctx.packing.crosses:
            asks, sees = _crossed(cross)
            found = parts(asks, _cut(k, sees), _cut(v, sees), False)
            for whole, run, part in zip(grads, (asks, sees, sees), found, strict=True):
                _cut(whole, run).add_(part)
        if past_k is None:
            return (*grads, None, None, None, None, None)
        of_q, *of_past = parts(_all(q), _cut(past_k, _all(past_k)), _cut(past_v, _all(past_v)), False)
        _cut(grads[0], _all(q)).add_(of_q)
        return (*grads, None, None, None, *(part[0].transpose(0, 1) for part in of_past))


def _flash(q: Tensor, k: Tensor, v: Tensor, packing: Packing, causal: bool, scale: float, past: Rows = None) -> Tensor:
    out: Tensor = _Flash.apply(q, k, v, packing, causal, scale, *(past or (None, None)))  # type: ignore[no-untyped-call]
    return out


def _public(
    q: Tensor, k: Tensor, v: Tensor, packing: Packing, causal: bool, scale: float, window: int | None, past: Rows = None
) -> Tensor:
    outs = []
    for run in packing.runs:
        mask = _window(run.length, causal, window, q.device, packing.before)
        keys, values = _cut(k, run), _cut(v, run)
        if past is not None:
            keys, values = (
                torch.cat([x.transpose(0, 1).expand(run.n, -1, -1, -1), own], 2)
                for x, own in zip(past, (keys, values), strict=True)
            )
        part = F.scaled_dot_product_attention(
            _cut(q, run), keys, values, attn_mask=mask, is_causal=causal and mask is None, scale=scale
        )
        outs.append(part.transpose(1, 2).flatten(0, 1))
    return torch.cat(outs)


def _first(q: Tensor, k: Tensor, v: Tensor, packing: Packing, scale: float, past: Rows = None) -> Tensor:
    """Attention of each example's first token over its example; zeros for the other tokens, which nobody reads.

    Costs 4 T H E operations in place of the blocks' 4 T H E C.
    """
    own, place, starts = packing.owners, packing.places, packing.starts
    with torch.autocast(q.device.type, enabled=False):
        firsts = q.index_select(0, starts)
        scores = (firsts.index_select(0, own) * k).sum(-1, dtype=_wide(k.dtype)) * scale  # (T, H)
        padded = scores.new_full((len(starts), packing.longest, scores.shape[1]), float("-inf"))
        padded = padded.index_put((own, place), scores)
        if past is not None:
            keys, values = (x.to(scores.dtype) for x in past)
            seen = torch.einsum("bhe,phe->bph", firsts.to(scores.dtype), keys) * scale
            padded = torch.cat([padded, seen], 1)
        weights = torch.softmax(padded, 1)
        p = weights[own, place]
        out = torch.zeros(len(starts), *v.shape[1:], dtype=p.dtype, device=v.device).index_add(0, own, p[..., None] * v)
        if past is not None:
            out = out + torch.einsum("bph,phe->bhe", weights[:, packing.longest :], values)
    return v.new_zeros(v.shape).index_copy(0, starts, out.to(v.dtype))


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _varlen(q: Tensor, k: Tensor, v: Tensor, packing: Packing, causal: bool, scale: float, past: Rows = None) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    assert packing.ends is not None
    window, ends, longest = (-1, 0) if causal else (-1, -1), packing.ends, packing.longest + packing.before
    if past is not None:  # this kernel has one run of keys a sequence: the learnt ones are copied before each
        index = interleaved(packing.lengths, packing.before, k.device)
        k, v = (torch.cat([x, y.to(x)]).index_select(0, index) for x, y in zip((k, v), past, strict=True))
        ends = ends + packing.before * torch.arange(len(ends), device=ends.device, dtype=ends.dtype)
    out = varlen_attn(q, k, v, packing.ends, ends, packing.longest, longest, scale=scale, window_size=window)
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
            short = Packing.of((2, 3), torch.device("cpu"))  # of seven, two are learnt and seen by all
            past, own = [x[:2] for x in a[1:]], [x[2:] for x in a]
            sums = [
                _flash(own[0], own[1], own[2], short, True, 0.3, (past[0], past[1])),
                _public(own[0], own[1], own[2], replace(short, past=Past((past[0].transpose(0, 1),), ())), True, 0.3,
                        None, (past[0], past[1])),
            ]  # fmt: skip
            pairs.append((sums[0], sums[1]))
            pairs += zip(*(torch.autograd.grad(x.square().sum(), a) for x in sums), strict=True)
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
    q, k, v = (x.squeeze(0).transpose(0, 1) for x in (query, key, value))  # x[0] would fill zeros backwards
    if q.shape[1] != k.shape[1]:
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    past = None if packing.past is None else packing.past.rows(module, q.shape[1])
    scale = scaling if scaling is not None else q.shape[-1] ** -0.5
    window = None
    if sliding_window is not None:
        window = sliding_window  # keys less than so many places away; transformers gives a bidirectional half plus one
    masked = window is not None and packing.longest + (packing.before if causal else 0) > window
    if getattr(module, FIRST_ONLY, False) and not causal and not masked:
        return _first(q, k, v, packing, scale, past)[None], None
    with torch.autocast(q.device.type, enabled=False):
        if q.device.type == "cuda" and not masked and kind in (torch.bfloat16, torch.float16):
            return _varlen(q, k, v, packing, causal, scale, past)[None], None
        if q.device.type == "cpu" and blocks.take(packing.longest, v.dtype) and not packing.crosses:
            q, k = q.to(v.dtype), k.to(v.dtype)  # rotary positions and query norms may have left them in float32
            plan, mask = packing.blocks(q.shape[1], causal, window if masked else None, v.dtype)
            return blocks.attend(q, k, v, plan, mask, scale, past)[None], None
        if kind != torch.float64:
            q, k, v = q.float(), k.float(), v.float()
        if past is not None:
            past = past[0].to(q.dtype), past[1].to(q.dtype)
        if q.device.type == "cpu" and not masked and q.dtype == torch.float32 and flash_works():
            return _flash(q, k, v, packing, causal, scale, past)[None].to(kind), None
        return _public(q, k, v, packing, causal, scale, window, past)[None].to(kind), None


def padded_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    past: Past | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """transformers' own scaled-dot-product attention, in float32 on a CPU and without attention dropout.

    So that a model trained padded learns what it would have learnt packed. With `past`, an encoder's tokens also see
    learnt keys, which are copied before those of every sequence.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    kind = query.dtype
    others["dropout"] = 0.0
    if past is not None:
        key, value = (
            torch.cat([x.expand(len(own), -1, -1, -1).to(own), own], 2)
            for x, own in zip(past.of(module), (key, value), strict=True)
        )
        if attention_mask is not None:
            seen = True if attention_mask.dtype == torch.bool else 0.0
            attention_mask = F.pad(attention_mask, (past.count, 0), value=seen)
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
