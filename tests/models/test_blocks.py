"""Attention of short examples in blocks against the public function, example by example."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tunewright.models.blocks import Blocks, attend

HEADS, WIDTH = 3, 8


def inputs(total: int, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(total)
    return [
        torch.randn(total, HEADS, WIDTH, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for _ in range(3)
    ]


def reference(x: list[Tensor], lengths: list[int], causal: bool, window: int | None) -> Tensor:
    outs = []
    for q, k, v in zip(*(t.split(lengths) for t in x), strict=True):
        n = len(q)
        apart = torch.arange(n)[:, None] - torch.arange(n)[None]
        seen = (apart >= 0) if causal else torch.ones(n, n, dtype=torch.bool)
        if window is not None:
            seen = seen & (apart.abs() < window)
        one = F.scaled_dot_product_attention(*(t.transpose(0, 1) for t in (q, k, v)), attn_mask=seen, scale=0.4)
        outs.append(one.transpose(0, 1))
    return torch.cat(outs)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.one_of(st.integers(1, 128), st.integers(1, 512)), min_size=1, max_size=8),
    causal=st.booleans(),
    window=st.one_of(st.none(), st.integers(1, 20)),
)
def test_outputs_and_gradients(lengths: list[int], causal: bool, window: int | None) -> None:
    ours, theirs = inputs(sum(lengths), torch.float64), inputs(sum(lengths), torch.float64)
    plan = Blocks.of(tuple(lengths), HEADS)
    assert plan.width * plan.count >= sum(lengths)
    out = attend(ours[0], ours[1], ours[2], plan, plan.mask(causal, window, torch.float64), 0.4)
    expected = reference(theirs, lengths, causal, window)
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-10)
    weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view_as(out)
    (out * weights).sum().backward()
    (expected * weights).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-8, atol=1e-9)


def test_no_example_is_cut_and_no_two_share_a_place() -> None:
    lengths = (40, 3, 3, 17, 48, 1, 20, 5)
    plan = Blocks.of(lengths, HEADS)
    held = plan.owners[plan.owners >= 0]
    assert torch.bincount(held).tolist() == list(lengths)
    assert all(len({int(b) for b in torch.where(plan.owners == i)[0]}) == 1 for i in range(len(lengths)))
    assert len(set(plan.scatter.tolist())) == sum(lengths) * HEADS


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_no_further_from_the_truth_than_the_plain_computation(dtype: torch.dtype) -> None:
    lengths = [20, 20, 7, 31, 4]
    x = inputs(sum(lengths), torch.float64)
    truth = reference(x, lengths, False, None)
    low = [t.detach().to(dtype) for t in x]
    plan = Blocks.of(tuple(lengths), HEADS)
    ours = attend(low[0], low[1], low[2], plan, plan.mask(False, None, dtype), 0.4)
    naive = []
    for q, k, v in zip(*(t.split(lengths) for t in low), strict=True):
        p = torch.softmax(torch.einsum("qhe,khe->hqk", q, k) * 0.4, -1)
        naive.append(torch.einsum("hqk,khe->qhe", p, v))
    error, bound = (
        float((t.detach().double() - truth.detach()).square().mean().sqrt()) for t in (ours, torch.cat(naive))
    )
    assert 0 < error < 1.5 * bound
