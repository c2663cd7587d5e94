"""Attention of short examples on a CPU: several examples side by side in blocks of `C` tokens, one product a block.

With 20 tokens an example, a kernel a sequence (or a run of equal lengths) spends its time on starting tiny products.
Here examples are laid into blocks of at most C tokens (first fit, longest first), and each head of a block is one
(C x E)(E x C) product with a mask that keeps examples apart. It costs up to C / n times the operations and is still
two to three times as fast in bfloat16, whose products are native and whose softmax accumulates in float32.

Axes: N blocks, C tokens a block, H heads, T tokens of the batch, E head width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LONGEST = {torch.bfloat16: 512}
"""Tokens of an example, at most: in bfloat16 the products are so fast that even a block of 512 beats the flash kernel,
which computes in float32 (a training step of a small Llama on answers of 160 tokens: 1.12 times as fast, LoRA 1.25)."""
_LONGEST_ELSE = 128
_MULTIPLE = 32  # PyTorch's bfloat16 softmax is two to three times as slow on rows that do not fill its vectors
_WIDTHS = 2
_OVERHEAD = 48  # what a place costs beside its share of the products, in places of its row


def take(longest: int, dtype: torch.dtype) -> bool:
    """Whether blocks are the faster way for examples of at most so many tokens, with products in `dtype`."""
    return longest <= LONGEST.get(dtype, _LONGEST_ELSE)


@dataclass(frozen=True)
class Blocks:
    """Where each token of a packed batch goes, for one number of heads.

    gather (N H C,): rows of (T H, E) in the blocks' order; places that no token fills repeat row 0 of their head.
    scatter (T H,): rows of (N H C, E) in the batch's order. owners, places (N, C): the example and the position there
    of each token, -1 where there is none.
    """

    count: int
    width: int
    gather: Tensor
    scatter: Tensor
    owners: Tensor
    places: Tensor
    heads: int

    @classmethod
    def of(cls, lengths: tuple[int, ...], heads: int) -> Blocks:
        """The plan for examples of these lengths, all of which `take`: of the two least widths the cheaper."""
        least = -(-max(lengths) // _MULTIPLE) * _MULTIPLE
        laid = [_lay(lengths, least + i * _MULTIPLE) for i in range(_WIDTHS)]
        width, count, block, starts = min(laid, key=lambda plan: plan[0] * plan[1] * (plan[0] + _OVERHEAD))
        sizes = torch.tensor(lengths)
        own = torch.repeat_interleave(torch.arange(len(lengths)), sizes)
        place = torch.arange(int(sizes.sum())) - (sizes.cumsum(0) - sizes)[own]
        slots = torch.tensor(block)[own] * width + torch.tensor(starts)[own] + place
        tokens = torch.zeros(count * width, dtype=torch.int64)
        tokens[slots] = torch.arange(len(own))
        owners = torch.full((count * width,), -1)
        owners[slots] = own
        places = torch.zeros(count * width, dtype=torch.int64)
        places[slots] = place
        h = torch.arange(heads)
        gather = (tokens.view(count, 1, width) * heads + h[:, None]).flatten()
        scatter = (((slots // width)[:, None] * heads + h) * width + (slots % width)[:, None]).flatten()
        return cls(count, width, gather, scatter, owners.view(count, width), places.view(count, width), heads)

    def mask(self, causal: bool, window: int | None, dtype: torch.dtype, before: int = 0) -> Tensor:
        """(N, 1, C, W + C): 0 where a query may see a key, else minus infinity; W is `before` in whole vectors.

        `before` learnt keys are seen by every token, where a causal window has not left them behind. What fills up a block
        sees none, so that it leaves nothing in their gradients.
        """
        allowed = self.owners[:, :, None] == self.owners[:, None, :]
        if causal or window is not None:
            apart = self.places[:, :, None] - self.places[:, None, :]
            # what fills up a block has no position: it sees itself, so that no row is empty
            within = apart >= 0 if causal else torch.ones_like(allowed)
            if window is not None:
                within = within & (apart.abs() < window)
            allowed = allowed & (within | (self.owners < 0)[:, :, None])
        if before:
            seen = (self.owners >= 0)[:, :, None] & (torch.arange(_whole(before)) < before)
            if causal and window is not None:
                seen = seen & (self.places[:, :, None] + before - torch.arange(_whole(before)) < window)
            allowed = torch.cat([seen, allowed], 2)
        return torch.zeros(allowed.shape, dtype=dtype).masked_fill_(~allowed, float("-inf"))[:, None]


def _whole(n: int) -> int:
    return -(-n // _MULTIPLE) * _MULTIPLE


def _lay(lengths: tuple[int, ...], width: int) -> tuple[int, int, list[int], list[int]]:
    """First fit, longest first: the width, how many blocks, and each example's block and start in it."""
    starts, block = [0] * len(lengths), [0] * len(lengths)
    filled: list[int] = []
    b, before = 0, 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if lengths[i] != before:
            b, before = 0, lengths[i]  # what was too full for this length stays so: the search goes on where it was
        while b < len(filled) and filled[b] + before > width:
            b += 1
        if b == len(filled):
            filled.append(0)
        block[i], starts[i] = b, filled[b]
        filled[b] += before
    return width, len(filled), block, starts


class _BlockAttention(torch.autograd.Function):
    """softmax(scale q k^T + mask) v over blocks, as one node; q, k, v (T, H, E) -> (T, H, E).

    Learnt keys and values (P, H, E), where there are some, stand once before each block's own, not before each example's.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, blocks: Blocks, mask: Tensor, scale: float,
        past_k: Tensor | None, past_v: Tensor | None,
    ) -> Tensor:  # fmt: skip
        width = q.shape[-1]
        shape = (blocks.count * blocks.heads, blocks.width, width)
        laid = [x.reshape(-1, width).index_select(0, blocks.gather).view(shape) for x in (q, k, v)]
        for i, past in ((1, past_k), (2, past_v)):
            if past is not None:
                rows = F.pad(past.to(k.dtype).transpose(0, 1), (0, 0, 0, _whole(len(past)) - len(past)))
                laid[i] = torch.cat([rows.repeat(blocks.count, 1, 1), laid[i]], 1)
        scores = _scaled(laid[0], laid[1].transpose(1, 2), scale).view(blocks.count, blocks.heads, blocks.width, -1)
        p = torch.softmax(scores.add_(mask), -1).view(shape[0], blocks.width, -1)
        out = torch.bmm(p, laid[2]).view(-1, width).index_select(0, blocks.scatter).view(q.shape)
        ctx.save_for_backward(*laid, p)
        ctx.blocks, ctx.scale = blocks, scale
        ctx.past = None if past_k is None else (len(past_k), past_k.dtype)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        q, k, v, p = ctx.saved_tensors
        width = grad.shape[-1]
        g = grad.reshape(-1, width).index_select(0, ctx.blocks.gather).view(q.shape)
        of_v = torch.bmm(p.transpose(1, 2), g)
        of_scores = torch._softmax_backward_data(torch.bmm(g, v.transpose(1, 2)), p, -1, p.dtype)
        of_q, of_k = _scaled(of_scores, k, ctx.scale), _scaled(of_scores.transpose(1, 2), q, ctx.scale)
        of_past: list[Tensor | None] = [None, None]
        if ctx.past is not None:
            many, heads, before = ctx.blocks.count, ctx.blocks.heads, k.shape[1] - ctx.blocks.width
            for i, x in enumerate((of_k, of_v)):
                summed = x[:, :before].reshape(many, heads, before, width).sum(0, dtype=torch.float32)
                of_past[i] = summed[:, : ctx.past[0]].transpose(0, 1).to(ctx.past[1])
            of_k, of_v = of_k[:, before:], of_v[:, before:]
        back = [x.reshape(-1, width).index_select(0, ctx.blocks.scatter).view(grad.shape) for x in (of_q, of_k, of_v)]
        return *back, None, None, None, *of_past


def _scaled(x: Tensor, y: Tensor, scale: float) -> Tensor:
    """scale x y, without a pass of its own."""
    return torch.baddbmm(x.new_empty(()), x, y, beta=0, alpha=scale)


def attend(
    q: Tensor, k: Tensor, v: Tensor, blocks: Blocks, mask: Tensor, scale: float,
    past: tuple[Tensor, Tensor] | None = None,
) -> Tensor:  # fmt: skip
    """Attention inside each example, and over learnt keys (P, H, E) that all see; q, k, v (T, H, E), the result alike."""
    out: Tensor = _BlockAttention.apply(q, k, v, blocks, mask, scale, *(past or (None, None)))  # type: ignore[no-untyped-call]
    return out
