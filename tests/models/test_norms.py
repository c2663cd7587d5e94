"""Norms and rotary positions as single nodes: transformers' numbers and gradients, and nothing left behind."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from tiny_families import batch_of, build, config_of, gradient_error, weighted
from torch import Tensor

from tunewright.models import norms
from tunewright.models.forward import ModelForward

FAMILIES = ["llama", "mistral", "qwen2", "qwen3"]


def without(forward: ModelForward) -> ModelForward:
    """The same with transformers' own norms and rotations."""
    forward._norms = norms.Norms(build(config_of("bert")))
    return forward


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=str)
@pytest.mark.parametrize("case", FAMILIES)
def test_scores_and_gradients_are_those_of_transformers(
    case: str, dtype: torch.dtype, bound: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, plain = ModelForward(build(config_of(case), dtype)), without(ModelForward(build(config_of(case), dtype)))
    used: list[int] = []
    whole = norms._turned
    monkeypatch.setattr(norms, "_turned", lambda x, *rest: (used.append(x.ndim), whole(x, *rest))[1])
    scores, expected = ours(batch_of()), plain(batch_of())
    assert len(used) == 2 * 3
    assert float((scores - expected).detach().abs().max()) <= bound * float(expected.detach().abs().max())
    weighted(scores).backward()
    weighted(expected).backward()
    assert len(used) == 4 * 3
    assert gradient_error(ours.model, plain.model) <= 10 * bound


def test_a_norm_and_its_gradients() -> None:
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 7, 12, generator=generator, requires_grad=True)
    weight = torch.randn(12, generator=generator)
    theirs: Any = LlamaRMSNorm(12, 1e-5)
    theirs.weight.data.copy_(weight)
    grad = torch.randn(2, 7, 12, generator=generator)
    wanted = torch.autograd.grad(theirs(x), (x, theirs.weight), grad)
    found = torch.autograd.grad(norms._Norm(theirs)(x), (x, theirs.weight), grad)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, wanted, strict=True))
    frozen = norms._RMSNorm.apply(x, weight, 1e-5)  # type: ignore[no-untyped-call]
    assert torch.allclose(torch.autograd.grad(frozen, x, grad)[0], wanted[0], atol=1e-5)


def test_a_rotation_and_its_gradient() -> None:
    """Sines and cosines of any kind, as scaled positions have them."""
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    q, k = random(2, 3, 5, 8).requires_grad_(), random(2, 1, 5, 8).requires_grad_()
    cos, sin = random(2, 5, 8), random(2, 5, 8)
    wanted, found = apply_rotary_pos_emb(q, k, cos, sin), norms.rotated(q, k, cos, sin)
    assert all(torch.allclose(a, b) for a, b in zip(found, wanted, strict=True))
    grads = [random(2, 3, 5, 8), random(2, 1, 5, 8)]
    pairs = zip(torch.autograd.grad(found, (q, k), grads), torch.autograd.grad(wanted, (q, k), grads), strict=True)
    assert all(torch.allclose(a, b) for a, b in pairs)


@pytest.mark.parametrize("case", FAMILIES)
def test_nothing_is_left_behind(case: str) -> None:
    forward = ModelForward(build(config_of(case)))
    place: Any = importlib.import_module(type(forward.inner).__module__)
    before = place.apply_rotary_pos_emb
    with forward.evaluating():
        assert place.apply_rotary_pos_emb is norms.rotated
        forward(batch_of())
        assert place.apply_rotary_pos_emb is norms.rotated
    assert place.apply_rotary_pos_emb is before
    assert not any("forward" in module.__dict__ for module in forward.model.modules())
