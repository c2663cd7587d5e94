"""The private flash kernel and its stand-in against the public function, example by example."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_families import batch_of, gradient_error, pair, plain_scores, weighted
from torch import Tensor, nn

from tunewright.models import attention

LENGTHS = (3, 3, 1, 40, 7, 7, 7, 1, 130)


def inputs(kv: int = 4, width: int = 8) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, h, sum(LENGTHS), width, generator=generator).requires_grad_() for h in (4, kv, kv)]


def reference(q: Tensor, k: Tensor, v: Tensor, causal: bool, scale: float) -> Tensor:
    examples = zip(*(x.split(LENGTHS, dim=2) for x in (q, k, v)), strict=True)
    outs = [F.scaled_dot_product_attention(*e, is_causal=causal, scale=scale, enable_gqa=True) for e in examples]
    return torch.cat(outs, dim=2).transpose(1, 2)


@pytest.mark.parametrize("flash", [True, False])
@pytest.mark.parametrize("kv", [4, 2])
@pytest.mark.parametrize("causal", [True, False])
def test_outputs_and_gradients(causal: bool, kv: int, flash: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if flash and not attention.flash_works():
        pytest.skip("this PyTorch has no private flash kernel, or it disagrees: the public function is used")
    monkeypatch.setattr(attention, "flash_works", lambda: flash)
    used = []
    monkeypatch.setattr(attention, "_public", lambda *a, kept=attention._public: (used.append(1), kept(*a))[1])
    ours, theirs = inputs(kv), inputs(kv)
    packing = attention.Packing.of(LENGTHS, torch.device("cpu"))
    module = nn.Module()
    module.is_causal = causal  # type: ignore[assignment]
    out, _ = attention.packed_attention(module, *ours, None, scaling=0.3, packing=packing)
    expected = reference(*theirs, causal, 0.3)
    assert bool(used) is not flash
    assert torch.allclose(out, expected, atol=1e-5)
    weighted(out).backward()
    weighted(expected).backward()
    for a, b in zip(ours, theirs, strict=True):
        assert a.grad is not None and b.grad is not None
        assert float((a.grad - b.grad).abs().max()) <= 1e-5 * float(b.grad.abs().max())


def test_this_pytorch_has_the_kernel() -> None:
    """Not a law: where it fails the forward is slower, and the message here says so first."""
    if torch.__version__.startswith("2.13"):
        assert attention.flash_works()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)])
def test_the_trial_does_not_depend_on_where_it_is_made(mode: Any) -> None:
    expected = attention.flash_works.__wrapped__()  # type: ignore[attr-defined]
    with mode():
        assert attention.flash_works.__wrapped__() == expected  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", [AttributeError, RuntimeError, TypeError, NotImplementedError])
def test_a_kernel_that_is_gone_or_wrong_is_not_used(fault: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Tensor:
        raise fault

    monkeypatch.setattr(attention._Flash, "apply", broken)
    assert attention.flash_works.__wrapped__() is False  # type: ignore[attr-defined]
    monkeypatch.setattr(attention._Flash, "apply", lambda q, *rest: q * 1.0)
    assert attention.flash_works.__wrapped__() is False  # type: ignore[attr-defined]


@pytest.mark.parametrize("case", ["bert", "llama", "modernbert-mean-even"])
def test_whole_models_without_the_kernel(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "flash_works", lambda: False)
    forward, plain = pair(case, "packed")
    batch = batch_of()
    ours, theirs = forward(batch), plain_scores(plain, batch)
    assert torch.allclose(ours, theirs, atol=1e-5)
    weighted(ours).backward()
    weighted(theirs).backward()
    assert gradient_error(forward.model, plain) < 1e-5


def test_runs_of_equal_length() -> None:
    packing = attention.Packing.of(LENGTHS, torch.device("cpu"))
    assert [(r.start, r.n, r.length) for r in packing.runs] == [
        (0, 2, 3), (6, 1, 1), (7, 1, 40), (47, 3, 7), (68, 1, 1), (69, 1, 130)
    ]  # fmt: skip
    assert packing.longest == 130


def test_a_call_without_a_packing_is_a_mistake() -> None:
    with pytest.raises(RuntimeError, match="packing"):
        attention.packed_attention(nn.Module(), *inputs(), None)
