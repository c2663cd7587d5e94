"""Products laid out for a prediction: the same numbers, nothing left behind, and never those of older weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_families import batch_of, build, config_of
from torch import Tensor, nn

from tunewright.adaptations import Lora
from tunewright.models import products
from tunewright.models.forward import ModelForward
from tunewright.models.products import Products

needs = pytest.mark.skipif(not products.works(), reason="this PyTorch lacks oneDNN's fused linear layers")


def predicted(forward: ModelForward) -> Tensor:
    with forward.evaluating():
        return forward(batch_of()).clone()


def test_this_pytorch_has_the_operators() -> None:
    """Not a law: where it fails a prediction is slower, and the message here says so first."""
    if torch.__version__.startswith("2.13") and torch.backends.mkldnn.is_available():
        assert products.works()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)])
def test_the_trial_does_not_depend_on_where_it_is_made(mode: Any) -> None:
    with mode():
        assert products.works.__wrapped__() is products.works()  # type: ignore[attr-defined]


@needs
def test_a_wrong_operator_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = products._product
    monkeypatch.setattr(products, "_product", lambda x, w, b, gelu: whole(x, w, b, False))
    assert not products.works.__wrapped__()  # type: ignore[attr-defined]
    monkeypatch.setattr(products, "works", lambda: False)
    model = build(config_of("bert"))
    with Products(model, model.base_model.embeddings):
        assert not any("forward" in m.__dict__ for m in model.modules())


@needs
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 5, 300])
def test_a_layer_and_the_gelu_after_it(rows: int, bias: bool) -> None:
    generator = torch.Generator().manual_seed(rows)
    x = torch.randn(2, rows, 48, generator=generator)
    layer = nn.Linear(48, 80, bias=bias)
    with torch.inference_mode():
        for gelu in (False, True):
            truth = layer(x)
            truth = nn.functional.gelu(truth) if gelu else truth
            found = products._Laid(layer, gelu)(x)
            assert found.dtype == torch.bfloat16 and found.shape == truth.shape
            assert torch.allclose(found.float(), truth, atol=0.02, rtol=0.02)


@needs
@pytest.mark.parametrize("case", ["bert", "roberta", "electra", "distilbert", "gpt2", "qwen3", "modernbert-cls-odd"])
@pytest.mark.parametrize("lora", [False, True])
def test_a_prediction_uses_them_and_leaves_nothing_behind(case: str, lora: bool) -> None:
    model = build(config_of(case))
    model = Lora(rank=2).attach(model, 0) if lora else model
    forward = ModelForward(model, precision="bfloat16")
    used: list[bool] = []
    with pytest.MonkeyPatch.context() as patch:
        whole = products._product
        patch.setattr(products, "_product", lambda x, w, b, gelu: (used.append(gelu), whole(x, w, b, gelu))[1])
        scores = predicted(forward)
    assert used and any(used) == (case in {"bert", "roberta", "electra"} and not lora)
    assert not any("forward" in module.__dict__ for module in forward.model.modules())
    forward.model.eval()
    with torch.no_grad():
        plain = forward(batch_of())
    assert torch.allclose(scores, plain, atol=0.05 * float(plain.abs().max()))


@needs
def test_weights_that_change_are_seen_and_fixed_ones_are_laid_out_once() -> None:
    forward = ModelForward(build(config_of("bert")), precision="bfloat16")
    before = predicted(forward)
    for module in forward.model.modules():
        if isinstance(module, nn.Linear):
            module.weight.data.mul_(0.5)  # as merging does: the version counter does not see it
    assert not torch.allclose(predicted(forward), before, atol=1e-2)
    fixed = ModelForward(forward.model, precision="bfloat16", fixed=True)
    first = predicted(fixed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "_lay", lambda weight: pytest.fail("laid out again"))
        assert torch.equal(predicted(fixed), first)


@needs
def test_float32_and_training_do_not_use_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_product", lambda *a: pytest.fail("used"))
    predicted(ModelForward(build(config_of("bert"))))
    trained = ModelForward(build(config_of("bert")).train(), precision="bfloat16")
    trained(batch_of(step=0)).sum().backward()
    assert all(p.grad is not None for n, p in trained.model.named_parameters() if "encoder" in n and "weight" in n)
