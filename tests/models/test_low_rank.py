"""LoRA's layers as one node: peft's numbers and gradients, less work, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_families import CASES, UNPACKED, batch_of, build, config_of, gradient_error, weighted
from torch import Tensor, nn

from tunewright.adaptations import Chain, Frozen, Lora
from tunewright.adaptations.wrapping import wrap
from tunewright.models import low_rank, products
from tunewright.models.forward import ModelForward
from tunewright.models.frozen_weights import Cast, Weights, of_bases
from tunewright.models.low_rank import LowRank

LORA = Lora(rank=3, alpha=7.0)


def adapted(case: str, dtype: torch.dtype = torch.float32, adaptation: Any = LORA) -> Any:
    """A model whose low-rank products are not zero."""
    return stirred(adaptation.attach(build(config_of(case), dtype), 0).to(dtype).train())


def stirred(model: Any) -> Any:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) * 0.3)
    return model


def without(forward: ModelForward) -> ModelForward:
    """The same with peft's own layers."""
    forward._low_rank = LowRank(nn.Identity())
    return forward


def both(make: Callable[[], Any], **options: Any) -> tuple[ModelForward, ModelForward]:
    return ModelForward(make(), **options), without(ModelForward(make(), **options))


@contextmanager
def counted() -> Iterator[list[int]]:
    """How many outputs each node makes while this is on."""
    seen: list[int] = []
    whole = low_rank._LowRank.forward

    def count(ctx: Any, x: Tensor, weights: Any, scales: Any, *factors: Tensor) -> Any:
        seen.append(len(scales))
        return whole(ctx, x, weights, scales, *factors)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(low_rank._LowRank, "forward", staticmethod(count))
        yield seen


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=str)
@pytest.mark.parametrize("case", sorted(CASES | UNPACKED))
def test_scores_and_gradients_are_those_of_peft(case: str, dtype: torch.dtype, bound: float) -> None:
    ours, plain = both(lambda: adapted(case, dtype))
    batch = batch_of(step=1)
    with counted() as seen:
        scores = ours(batch)
    assert seen, "no layer was taken"
    expected = plain(batch)
    assert float((scores - expected).detach().abs().max()) <= bound * float(expected.detach().abs().max())
    weighted(scores).backward()
    weighted(expected).backward()
    assert gradient_error(ours.model, plain.model) <= 10 * bound


@pytest.mark.parametrize("case", ["bert", "modernbert-mean-even", "gpt2", "qwen3", "t5"])
def test_bfloat16_is_as_near_to_float32_as_peft_is(case: str) -> None:
    ours, plain = both(lambda: adapted(case), precision="bfloat16")
    batch = batch_of(step=1)
    truth = without(ModelForward(adapted(case)))
    losses = [weighted(side(batch)) for side in (ours, plain, truth)]
    for loss in losses:
        loss.backward()
    errors = [gradient_error(side.model, truth.model) for side in (ours, plain)]
    assert errors[0] <= 1.5 * errors[1] + 0.01
    assert all(p.grad.dtype == torch.float32 for p in ours.model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("case", "nodes"),
    [("bert", [3, 1, 1, 1] * 2 + [1, 2, 1, 1, 1]), ("llama", [3, 1, 2, 1] * 3), ("distilbert", [3, 1, 1, 1] * 3)],
)
def test_projections_of_one_input_are_one_product(case: str, nodes: list[int]) -> None:
    """In the last layer of the BERT family the queries are made of other rows: they go alone."""
    ours = ModelForward(adapted(case))
    with counted() as seen:
        ours(batch_of(step=1))
    assert seen[: len(nodes)] == nodes


def test_another_input_than_the_first_one_had() -> None:
    """Layers with the names of neighbours that are called with different inputs give what they would alone."""

    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(6, 6) for _ in range(3))

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            out: Tensor = self.query(x) + self.key(y) * self.value(x) + self.key(x)
            return out

    def make() -> Any:
        torch.manual_seed(0)
        return stirred(Lora(rank=2, targets=("query", "key", "value")).attach(Crossed(), 0))

    one, other = make(), make()
    x, y = torch.randn(5, 6), torch.randn(5, 6)
    laid = LowRank(one)
    with laid, counted() as seen:
        out = one(x, y)
    assert seen == [3, 1] and torch.allclose(out, other(x, y), atol=1e-6)
    assert laid._shared[0]._input is None, "an input is kept after the forward"
    out.square().sum().backward()
    other(x, y).square().sum().backward()
    assert gradient_error(one, other) < 1e-5


def of_peft(**options: Any) -> Any:
    from peft import LoraConfig

    return wrap(build(config_of("bert")), LoraConfig(r=2, target_modules="all-linear", **options), 0, "", "")


def two_adapters() -> Any:
    from peft import LoraConfig

    model = of_peft()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model.add_adapter("second", LoraConfig(r=3, target_modules="all-linear"))
    model.base_model.set_adapter(["default", "second"])
    return stirred(model.train())


def merged(model: Any) -> Any:
    model.merge_adapter()
    return model


def base_that_learns(model: Any) -> Any:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter.requires_grad or "base_layer.bias" in name)
    return model


def disabled(model: Any) -> Any:
    model.base_model.disable_adapter_layers()
    return model


LEFT = {
    "dora": lambda: stirred(of_peft(use_dora=True).train()),
    "dropout": lambda: adapted("bert", adaptation=Lora(rank=3, dropout=0.3)),
    "two adapters": two_adapters,
    "merged": lambda: merged(adapted("bert")),
    "disabled": lambda: disabled(adapted("bert")),
    "biases learn": lambda: base_that_learns(adapted("bert")),
}


@pytest.mark.parametrize("case", LEFT)
def test_what_is_not_plain_is_left_to_peft(case: str) -> None:
    ours, plain = both(LEFT[case])
    with counted() as seen:
        scores = ours(batch_of(step=1))
    assert not seen and torch.equal(scores, plain(batch_of(step=1)))


def test_dropout_that_is_off_is_no_obstacle() -> None:
    ours, plain = both(lambda: adapted("bert", adaptation=Lora(rank=3, dropout=0.3)).eval())
    with counted() as seen, torch.no_grad():
        assert torch.allclose(ours(batch_of()), plain(batch_of()), atol=1e-5)
    assert seen


def test_at_rest_the_model_is_pefts_own() -> None:
    ours = ModelForward(adapted("bert"), precision="bfloat16")
    with counted() as seen:
        ours(batch_of(step=1)).sum().backward()
        with pytest.raises(IndexError):
            ours(replace(batch_of(step=2), tokens=batch_of().tokens + 10**6))
        assert seen
        seen.clear()
        assert not any("forward" in module.__dict__ for module in ours.model.modules())
        ours.release()
        ours.model(input_ids=torch.ones(1, 3, dtype=torch.int64))
    assert not seen


def test_weights_that_change_are_seen() -> None:
    ours, plain = both(lambda: adapted("bert"), precision="bfloat16")
    for side in (ours, plain):
        side(batch_of(step=1))
        with torch.no_grad():
            for name, parameter in side.model.named_parameters():
                if "base_layer.weight" in name or "lora_" in name:
                    parameter.mul_(0.7)
    scores, expected = ours(batch_of(step=1)), plain(batch_of(step=1))
    assert torch.allclose(scores, expected, atol=0.05 * float(expected.detach().abs().max()))


def test_a_prediction_first_changes_nothing_in_training() -> None:
    one, other = (ModelForward(adapted("bert"), precision="bfloat16") for _ in range(2))
    batch = batch_of(step=1)
    with one.evaluating():
        one(batch)
    for side in (one, other):
        weighted(side(batch)).backward()
    assert gradient_error(one.model, other.model) == 0.0


@pytest.mark.skipif(not products.works(), reason="this PyTorch lacks oneDNN's fused linear layers")
def test_products_have_few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, rows = ModelForward(adapted("llama"), precision="bfloat16"), set[int]()
    whole = products._product
    monkeypatch.setattr(products, "_product", lambda x, *rest: (rows.add(len(x)), whole(x, *rest))[1])
    for n in (31, 32, 33, 35):
        weighted(ours(batch_of((n,) * 18, step=1))).backward()
    assert rows == {576, 640}


def test_what_stays_as_it_is_gets_no_gradient() -> None:
    """Below the lowest layer that learns nothing goes back; a frozen A or B is not computed."""
    adaptation = Chain((LORA, Frozen(top=1)))
    ours, plain = both(lambda: adapted("bert", torch.float64, adaptation))
    back: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        whole = Weights.backward

        def count(self: Weights, grads: Any, *rest: Any) -> Any:
            found = whole(self, grads, *rest)
            if found[0] is not None:
                back.append(len(self.sizes))
            return found

        patch.setattr(Weights, "backward", count)
        weighted(ours(batch_of(step=1))).backward()
    weighted(plain(batch_of(step=1))).backward()
    assert back == [1] * (len(back)), "the inputs of the lowest layer that learns need no gradient"
    assert gradient_error(ours.model, plain.model) < 1e-9
    frozen = [p for n, p in ours.model.named_parameters() if ".layer.0." in n]
    assert frozen and all(p.grad is None for p in frozen)


@pytest.mark.parametrize("missing", [(), (0,), (1, 2)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_gradients_beside_plain_products(dtype: torch.dtype, bias: bool, missing: tuple[int, ...]) -> None:
    """Outputs that nobody uses leave zeros in the others' gradients, in both ways of computing."""
    generator = torch.Generator().manual_seed(0)
    kept = torch.float32 if dtype == torch.bfloat16 else dtype

    def drawn(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=kept).requires_grad_()

    bases = [nn.Linear(8, n, bias=bias, dtype=kept).requires_grad_(False) for n in (8, 6, 10)]
    downs, ups, x = [drawn(r, 8) for r in (2, 3, 1)], [drawn(8, 2), drawn(6, 3), drawn(10, 1)], drawn(2, 9, 8)
    scales, weights = [2.0, 0.5, 1.0], of_bases(bases, dtype)
    assert isinstance(weights, Cast) == (dtype == torch.bfloat16)
    outs = low_rank._LowRank.apply(x, weights, scales, *downs, *ups)
    truth = [
        base(x) + scale * (x @ down.t() @ up.t())
        for base, down, up, scale in zip(bases, downs, ups, scales, strict=True)
    ]
    bound = 0.03 if dtype == torch.bfloat16 else 1e-12
    learnt = [x, *downs, *ups]
    sums = [sum(o.to(kept).square().sum() for i, o in enumerate(each) if i not in missing) for each in (outs, truth)]
    found, right = (torch.autograd.grad(total, learnt, allow_unused=True) for total in sums)
    for one, other in [*zip(outs, truth, strict=True), *zip(found, right, strict=True)]:
        if one is None or other is None:
            assert other is None and (one is None or not one.any())
        else:
            assert float((one - other).detach().abs().max()) <= bound * float(other.detach().abs().max())


def test_less_is_kept_for_the_backward_pass() -> None:
    def kept(side: ModelForward) -> int:
        found: dict[int, int] = {}

        def pack(x: Tensor) -> Tensor:
            found[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            scores = side(batch_of((30,) * 20, step=1))
        assert scores.requires_grad
        return sum(found.values())

    ours, plain = (kept(side) for side in both(lambda: adapted("llama"), precision="bfloat16"))
    assert ours < 0.95 * plain
