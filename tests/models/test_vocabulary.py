"""Losses of tokens from hidden states in blocks: the same numbers and gradients as the scores at once, and less memory."""

from __future__ import annotations

import threading
import time
from typing import Any

import psutil
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tunewright.models import vocabulary
from tunewright.models.vocabulary import losses

U, D, V = 23, 8, 31
SETTINGS = [
    pytest.param(s, cap, bias, id=f"smoothing{s}-cap{cap}-bias{bias}")
    for s, cap, bias in [(0.0, None, False), (0.0, None, True), (0.1, None, True), (0.0, 3.0, False), (0.2, 2.0, True)]
]


def inputs(dtype: torch.dtype = torch.float64, bias: bool = True) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(U, D, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()
    weight = torch.randn(V, D, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()
    shift = torch.randn(V, generator=draw, dtype=torch.float64).to(dtype).requires_grad_() if bias else None
    return hidden, weight, shift, torch.randint(0, V, (U,), generator=draw)


def plain(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    smoothing: float = 0.0,
    cap: float | None = None,
) -> Tensor:
    z = F.linear(hidden, weight, bias)
    if cap is not None:
        z = cap * torch.tanh(z / cap)
    return F.cross_entropy(z, targets, label_smoothing=smoothing, reduction="none")


@pytest.fixture(params=["whole", "blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "blocks":  # of five rows, made of parts of two
        monkeypatch.setattr(vocabulary, "_BLOCK", 5 * V * 8)
        monkeypatch.setattr(vocabulary, "_PART", 2 * V * 4)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize(("smoothing", "cap", "bias"), SETTINGS)
@pytest.mark.parametrize("alike", [True, False])
def test_losses_and_gradients_are_those_of_the_scores_at_once(
    smoothing: float, cap: float | None, bias: bool, alike: bool
) -> None:
    grad = torch.full((U,), 0.3, dtype=torch.float64) if alike else torch.linspace(-1, 2, U, dtype=torch.float64)
    found, wanted = inputs(bias=bias), inputs(bias=bias)
    a, b = losses(*found, smoothing, cap), plain(*wanted, smoothing, cap)
    torch.testing.assert_close(a, b, atol=1e-12, rtol=0)
    a.backward(grad)
    b.backward(grad)
    for x, y in zip(found[:3], wanted[:3], strict=True):
        if x is not None and y is not None:
            assert x.grad is not None and y.grad is not None
            torch.testing.assert_close(x.grad, y.grad, atol=1e-12, rtol=0)


def test_a_frozen_head_costs_no_gradient_of_its_weights() -> None:
    hidden, weight, _, targets = inputs()
    losses(hidden, weight.detach(), None, targets).sum().backward()
    assert hidden.grad is not None and weight.grad is None


def test_in_bfloat16_it_is_as_near_to_the_truth_as_the_scores_at_once() -> None:
    hidden, weight, _, targets = inputs(torch.float32, bias=False)
    truth = plain(hidden.detach().double(), weight.detach().double(), None, targets)
    naive = plain(hidden.detach().bfloat16(), weight.detach().bfloat16(), None, targets).double()
    ours = losses(hidden.bfloat16(), weight, None, targets)
    assert (ours.double() - truth).abs().max() <= (naive - truth).abs().max() + 1e-3
    ours.sum().backward()
    assert weight.grad is not None and weight.grad.dtype == torch.float32


def test_no_tokens_cost_nothing_and_can_be_differentiated() -> None:
    hidden, weight, bias, targets = inputs()
    losses(hidden[:0], weight, bias, targets[:0]).sum().backward()
    assert weight.grad is not None and not weight.grad.any()


def _grown(call: Any) -> int:
    """By how many bytes the process grew at most while `call` ran."""
    process, peak, done = psutil.Process(), [0], threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not done.is_set():
            peak[0] = max(peak[0], process.memory_info().rss - before)
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    call()
    done.set()
    watcher.join()
    return peak[0]


def test_memory_does_not_grow_with_tokens_times_vocabulary() -> None:
    pieces, width, n = 32_000, 16, 6_000
    weight = torch.randn(pieces, width, requires_grad=True)
    targets = torch.zeros(n, dtype=torch.int64)
    losses(torch.randn(600, width), weight, None, targets[:600]).sum().backward()
    hidden = torch.randn(n, width, requires_grad=True)
    grown = _grown(lambda: losses(hidden, weight, None, targets).sum().backward())
    scores = n * pieces * 4
    assert grown < scores / 3, f"{grown / 2**20:.0f} MiB beside scores of {scores / 2**20:.0f}"
