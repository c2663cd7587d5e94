"""What every registered update must do. Registering one without a row in `TABLE` fails."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tunewright.updates
from tunewright.core.errors import RecipeError
from tunewright.core.registry import build, dump, members
from tunewright.core.tensors import At, BoundUpdate, Gradient, Report
from tunewright.schedules import Linear, Scaled
from tunewright.updates import AdamW, AdamW8bit, Clip, Layerwise, LoraPlus

assert tunewright.updates.__all__

TABLE: dict[str, list[Any]] = {
    "adamw": [
        AdamW(rate=0.05),
        AdamW(rate=Scaled(0.05, Linear(warmup=0.1)), decay=0.1, beta1=0.8, beta2=0.95, epsilon=1e-6),
        AdamW(rate=0.05, decay=Linear(floor=0.01)),
    ],
    "adamw_8bit": [
        AdamW8bit(rate=0.05, on_cpu=True),
        AdamW8bit(rate=0.05, least=1, on_cpu=True),
        AdamW8bit(rate=Scaled(0.05, Linear(warmup=0.1)), decay=0.1, beta1=0.8, beta2=0.95, least=1, on_cpu=True),
    ],
    "clip": [
        Clip(norm=0.5, inner=AdamW(rate=0.05)),
        Clip(norm=Linear(floor=0.1), inner=AdamW(rate=0.05)),
        Clip(norm=1e9, inner=Clip(norm=0.3, inner=AdamW(rate=0.05))),
    ],
    "layerwise": [
        Layerwise(decay=0.9, inner=AdamW(rate=0.08)),
        Layerwise(decay=0.9, unfreeze=0.3, inner=Clip(norm=5.0, inner=AdamW(rate=0.08))),
        Clip(norm=5.0, inner=Layerwise(decay=0.95, inner=LoraPlus(ratio=1.5, inner=AdamW(rate=0.08)))).inner,
    ],
    "lora_plus": [
        LoraPlus(inner=AdamW(rate=0.05)),
        LoraPlus(ratio=4.0, inner=AdamW(rate=Scaled(0.05, Linear(warmup=0.1)))),
    ],
}
CASES = [pytest.param(update, id=f"{name}-{i}") for name, cases in TABLE.items() for i, update in enumerate(cases)]
every = pytest.mark.parametrize("update", CASES)
SHAPES = {"layer.weight": (4, 3), "layer.bias": (4,), "norm.weight": (3,), "embed.weight": (6, 3)}


def parameters(dtype: torch.dtype = torch.float32) -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return {n: nn.Parameter(torch.randn(s, generator=generator).to(dtype)) for n, s in SHAPES.items()}


def quadratic(ps: dict[str, nn.Parameter], calls: list[int] | None = None, scale: float = 1.0) -> Gradient:
    """The closure of 0.5 |p - 1|^2, as the loop makes it: clears, fills .grad, measures the norm."""

    def gradient() -> Report:
        loss = torch.zeros(())
        for p in ps.values():
            p.grad = None
            loss = loss + 0.5 * scale * (p - 1).square().sum()
        loss.backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in ps.values() if p.grad is not None])
        if calls is not None:
            calls.append(1)
        return Report(0, float(loss.detach()), {"q": float(loss.detach())}, {"step": 1}, {}, float(norm))

    return gradient


def run(bound: BoundUpdate, ps: dict[str, nn.Parameter], start: int, stop: int, scale: float = 1.0) -> list[float]:
    return [bound.step(quadratic(ps, scale=scale), At(step, 40)).loss for step in range(start, stop)]


def test_every_registered_update_is_here() -> None:
    assert set(TABLE) == set(members("update"))
    assert all(type(u) is members("update")[name] for name, cases in TABLE.items() for u in cases)


@every
def test_steps_go_down_a_quadratic(update: Any) -> None:
    ps = parameters()
    losses = run(update.bind(ps), ps, 0, 40)
    assert losses[1] < losses[0] and losses[-1] < 0.3 * losses[0]


@every
def test_the_report_of_the_closure_comes_back_with_the_rate(update: Any) -> None:
    ps, calls, others = parameters(), list[int](), parameters()
    report = update.bind(ps).step(quadratic(ps, calls), At(0, 40))
    for name, p in others.items():
        p.requires_grad_(ps[name].requires_grad)  # layers that do not learn yet have no gradient
    expected = quadratic(others)()
    assert len(calls) >= 1
    assert (report.loss, dict(report.parts), dict(report.totals)) == (expected.loss, expected.parts, expected.totals)
    assert report.gradient_norm == expected.gradient_norm, "the norm that is reported is the one before clipping"
    assert report.rate > 0


@every
def test_a_gradient_that_raises_changes_nothing(update: Any) -> None:
    ps = parameters()
    bound = update.bind(ps)
    run(bound, ps, 0, 2)
    before = {n: p.detach().clone() for n, p in ps.items()}
    tensors = {n: t.clone() for n, t in bound.state()["tensors"].items()}

    def raises() -> Report:
        quadratic(ps)()
        raise FloatingPointError

    with pytest.raises(FloatingPointError):
        bound.step(raises, At(2, 40))
    assert all(torch.equal(p, before[n]) for n, p in ps.items())
    assert all(torch.equal(t, tensors[n]) for n, t in bound.state()["tensors"].items())


@pytest.mark.parametrize("at", [0, 1, 7])
@every
def test_a_resumed_update_goes_on_bit_for_bit(update: Any, at: int) -> None:
    ps = parameters()
    kept = update.bind(ps)
    run(kept, ps, 0, at)
    state, weights = copy.deepcopy(kept.state()), copy.deepcopy(ps)
    expected = run(kept, ps, at, at + 6)
    other = {n: nn.Parameter(p.detach().clone()) for n, p in weights.items()}
    fresh = update.bind(other)
    fresh.load(state)
    assert run(fresh, other, at, at + 6) == expected
    assert all(torch.equal(p, ps[n]) for n, p in other.items())
    assert fresh.state()["tensors"].keys() == kept.state()["tensors"].keys()
    assert all(torch.equal(t, kept.state()["tensors"][n]) for n, t in fresh.state()["tensors"].items())


@every
def test_loading_copies(update: Any) -> None:
    """Going on after a load must not write into what was loaded."""
    ps = parameters()
    bound = update.bind(ps)
    run(bound, ps, 0, 3)
    state = copy.deepcopy(bound.state())
    before = copy.deepcopy(state)
    other = parameters()
    fresh = update.bind(other)
    fresh.load(state)
    run(fresh, other, 3, 5)
    assert all(torch.equal(t, before["tensors"][n]) for n, t in state["tensors"].items())


@every
def test_state_is_tensors_by_name_and_plain_numbers(update: Any) -> None:
    ps = parameters()
    bound = update.bind(ps)
    run(bound, ps, 0, 1)
    state = bound.state()
    assert all(isinstance(t, Tensor) for t in state.pop("tensors").values())
    json.dumps(state, allow_nan=False)


@every
def test_it_is_a_value_that_can_be_written_and_read(update: Any) -> None:
    assert build("update", json.loads(json.dumps(dump(update)))) == update


# Members, each against the slow and obvious form.


def plain_adamw(
    ps: dict[str, Tensor], steps: int, rate: Callable[[int], float], decay: float, b1: float, b2: float, eps: float
) -> dict[str, Tensor]:
    """Loshchilov and Hutter 2019, algorithm 2, on the quadratic, one number after another."""
    ps = {n: p.clone() for n, p in ps.items()}
    m, v = ({n: torch.zeros_like(p) for n, p in ps.items()} for _ in range(2))
    for t in range(1, steps + 1):
        for n, p in ps.items():
            g = p - 1
            m[n] = b1 * m[n] + (1 - b1) * g
            v[n] = b2 * v[n] + (1 - b2) * g * g
            shrunk = p * (1 - rate(t - 1) * (decay if p.ndim >= 2 else 0.0))
            ps[n] = shrunk - rate(t - 1) * (m[n] / (1 - b1**t)) / ((v[n] / (1 - b2**t)).sqrt() + eps)
    return ps


@pytest.mark.parametrize("reference", ["torch", "paper"])
def test_adamw_is_adamw(reference: str) -> None:
    schedule = Scaled(0.03, Linear(warmup=0.2))
    ps = parameters(torch.float64)
    start = {n: p.detach().clone() for n, p in ps.items()}
    bound = AdamW(rate=schedule, decay=0.1, beta1=0.8, beta2=0.95, epsilon=1e-6).bind(ps)
    for step in range(20):
        bound.step(quadratic(ps), At(step, 20))
    if reference == "paper":
        expected = plain_adamw(start, 20, lambda s: schedule(At(s, 20)), 0.1, 0.8, 0.95, 1e-6)
    else:
        theirs = {n: nn.Parameter(p) for n, p in start.items()}
        groups = [
            {"params": [p for p in theirs.values() if p.ndim >= 2], "weight_decay": 0.1},
            {"params": [p for p in theirs.values() if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.8, 0.95), eps=1e-6, foreach=False, fused=False)
        for step in range(20):
            for group in optimizer.param_groups:
                group["lr"] = schedule(At(step, 20))
            quadratic(theirs)()
            optimizer.step()
        expected = {n: p.detach() for n, p in theirs.items()}
    assert all(torch.allclose(p, expected[n], rtol=1e-9, atol=1e-12) for n, p in ps.items())


def test_decay_shrinks_matrices_and_spares_biases_and_norms() -> None:
    ps = parameters()
    start = {n: p.detach().clone() for n, p in ps.items()}

    def flat() -> Report:
        for p in ps.values():
            p.grad = torch.zeros_like(p)
        return Report(0, 0.0, {}, {})

    AdamW(rate=0.1, decay=0.5).bind(ps).step(flat, At(0, 1))
    for n, p in ps.items():
        assert torch.allclose(p, start[n] * (1 - 0.1 * 0.5) if p.ndim >= 2 else start[n], rtol=1e-6, atol=0)


@pytest.mark.parametrize("share", [0.001, 0.5, 0.99, 1.01, 1e6])
def test_clip_is_clip_grad_norm(share: float) -> None:
    seen: dict[str, Tensor] = {}

    class Seeing:
        def step(self, gradient: Gradient, at: At) -> Report:
            report = gradient()
            seen.update({n: p.grad.clone() for n, p in ours.items() if p.grad is not None})
            return report

        def bind(self, parameters: Any) -> Any:
            return self

    ours, theirs = parameters(torch.float64), parameters(torch.float64)
    limit = share * quadratic(theirs)().gradient_norm
    Clip(norm=limit, inner=Seeing()).bind(ours).step(quadratic(ours), At(0, 1))
    quadratic(theirs)()
    before = float(torch.nn.utils.clip_grad_norm_(theirs.values(), limit))
    for n, p in theirs.items():
        assert p.grad is not None and torch.allclose(seen[n], p.grad, rtol=2e-6 / min(before, 1), atol=1e-12)
    after = float(torch.nn.utils.get_total_norm(list(seen.values())))
    assert after == pytest.approx(min(limit, before))


@pytest.mark.parametrize(
    "spec",
    [
        {"adamw": {"rate": -1e-3}},
        {"adamw": {"rate": float("nan")}},
        {"adamw": {"rate": float("inf")}},
        {"adamw": {"decay": -0.1}},
        {"adamw": {"beta1": 1.0}},
        {"adamw_8bit": {"rate": -1.0}},
        {"adamw_8bit": {"least": 0}},
        {"clip": {"norm": 0}},
        {"clip": {"norm": -1.0, "inner": "adamw"}},
    ],
)
def test_what_would_unlearn_is_refused(spec: Any) -> None:
    with pytest.raises(RecipeError):
        build("update", spec)


def test_adamw_8bit_goes_where_adamw_goes_on_a_quarter_of_its_memory() -> None:
    generator = torch.Generator().manual_seed(0)
    start, aim = (torch.randn(64, 96, generator=generator) for _ in range(2))
    ended, held = {}, {}
    for update in (AdamW(rate=0.02, decay=0.1), AdamW8bit(rate=0.02, decay=0.1, on_cpu=True)):
        p = nn.Parameter(start.clone())
        bound = update.bind({"w.weight": p})

        def gradient(p: nn.Parameter = p) -> Report:
            p.grad = (p - aim).detach()
            return Report(0, float(p.grad.square().sum()), {}, {})

        for step in range(30):
            bound.step(gradient, At(step, 30))
        ended[type(update)] = p.detach()
        held[type(update)] = sum(t.numel() * t.element_size() for t in bound.state()["tensors"].values()) / p.numel()
    moved = ended[AdamW] - start
    assert (ended[AdamW8bit] - ended[AdamW]).norm() < 0.05 * moved.norm()
    assert 8 <= held[AdamW] < 8.01 and 2 <= held[AdamW8bit] < 2.1


def test_adamw_8bit_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match=r"(?s)model on a CPU.*on_cpu: true.*training\.update: adamw"):
        AdamW8bit().bind(parameters())
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(RecipeError, match=r"(?s)bitsandbytes is not installed.*tunewright\[quantized\]"):
        AdamW8bit(on_cpu=True).bind(parameters())


DEEP = {
    "bert.embeddings.word.weight": 3, "bert.encoder.layer.0.dense.weight": 2, "bert.encoder.layer.1.dense.weight": 1,
    "classifier.weight": 0,
}  # fmt: skip


def deep() -> dict[str, nn.Parameter]:
    return {n: nn.Parameter(torch.full((2, 2), 3.0)) for n in DEEP}


def test_a_layers_rate_is_that_of_the_one_above_times_the_decay() -> None:
    """AdamW's first step is the rate itself, whatever the gradient's size."""
    ps = deep()
    report = Layerwise(decay=0.5, inner=AdamW(rate=0.1, decay=0.0)).bind(ps).step(quadratic(ps), At(0, 10))
    for name, below in DEEP.items():
        assert ps[name].detach() == pytest.approx(3.0 - 0.1 * 0.5**below, abs=1e-5), name
    assert report.rate == pytest.approx(0.1)


def test_layers_begin_one_after_another_and_need_no_gradient_before() -> None:
    ps = deep()
    bound = Layerwise(decay=1.0, unfreeze=0.6, inner=AdamW(rate=0.1)).bind(ps)
    begun: dict[str, int] = {}
    for step in range(20):
        before = {n: p.detach().clone() for n, p in ps.items()}
        bound.step(quadratic(ps), At(step, 20))
        moved = {n for n, p in ps.items() if not torch.equal(p, before[n])}
        assert moved == {n for n, p in ps.items() if p.requires_grad}
        for name in moved:
            begun.setdefault(name, step)
    assert begun == {n: round(0.6 * below / 3 * 20) for n, below in DEEP.items()}


def test_an_adapters_layers_are_found_by_their_numbers() -> None:
    ps = {n: nn.Parameter(torch.full((2, 2), 3.0)) for n in (
        "base_model.model.model.layers.0.q_proj.lora_A.default.weight", "base_model.model.model.layers.3.q_proj.lora_A.default.weight",
    )}  # fmt: skip
    Layerwise(decay=0.5, inner=AdamW(rate=0.1, decay=0.0)).bind(ps).step(quadratic(ps), At(0, 10))
    low, top = (float(p.detach()[0, 0]) for p in ps.values())
    assert (3.0 - low, 3.0 - top) == pytest.approx((0.1 * 0.5**4, 0.1 * 0.5), rel=1e-3)


def test_loras_second_matrix_has_the_higher_rate() -> None:
    names = ("layers.0.q.lora_A.default.weight", "layers.0.q.lora_B.default.weight", "classifier.weight")
    ps = {n: nn.Parameter(torch.full((2, 2), 3.0)) for n in names}
    LoraPlus(ratio=8.0, inner=AdamW(rate=0.01, decay=0.0)).bind(ps).step(quadratic(ps), At(0, 10))
    assert [3.0 - float(p.detach()[0, 0]) for p in ps.values()] == pytest.approx([0.01, 0.08, 0.01], rel=1e-4)


def test_a_clip_inside_groups_goes_by_the_whole_gradient() -> None:
    inside, outside = deep(), deep()
    Layerwise(decay=1.0, inner=Clip(norm=0.1, inner=AdamW(rate=0.1, epsilon=1.0))).bind(inside).step(
        quadratic(inside), At(0, 1)
    )
    Clip(norm=0.1, inner=Layerwise(decay=1.0, inner=AdamW(rate=0.1, epsilon=1.0))).bind(outside).step(
        quadratic(outside), At(0, 1)
    )
    assert all(torch.allclose(p, outside[n], rtol=1e-6) for n, p in inside.items())
