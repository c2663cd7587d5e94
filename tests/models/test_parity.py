"""Our forward against the model's own right-padded output, dropout off: scores and every gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_families import (
    CASES,
    LENGTHS,
    UNPACKED,
    batch_of,
    build,
    config_of,
    gradient_error,
    pair,
    plain_scores,
    weighted,
)

from tunewright.models.forward import PACKED, ModelForward

# transformers' eager attention takes its softmax in float32 (and gives NaN for float64 with a sliding window)
KINDS = [("packed", torch.float32, "eager", 1e-5), ("packed", torch.float64, "sdpa", 1e-9),
         ("padded", torch.float32, "sdpa", 1e-5), ("padded", torch.float64, "sdpa", 1e-9)]  # fmt: skip


def check(forward: ModelForward, plain: Any, batch: Any, bound: float) -> None:
    forward.model.zero_grad(), plain.zero_grad()
    ours, theirs = forward(batch), plain_scores(plain, batch)
    assert ours.shape == (len(batch.ids), 3)
    assert ours.dtype == theirs.dtype
    assert float((ours - theirs).detach().abs().max()) <= bound * max(1.0, float(theirs.detach().abs().max()))
    assert len(batch.ids) == 1 or float(theirs.detach().std(0).max()) > 1e-3  # a constant would prove nothing
    weighted(ours).backward()
    weighted(theirs).backward()
    assert gradient_error(forward.model, plain) <= bound


def test_every_packed_family_is_covered() -> None:
    assert {family for family, _ in CASES.values()} == set(PACKED)


@pytest.mark.parametrize(("layout", "dtype", "attention", "bound"), KINDS, ids=str)
@pytest.mark.parametrize("case", sorted(CASES))
def test_parity(case: str, layout: Any, dtype: torch.dtype, attention: str, bound: float) -> None:
    forward, plain = pair(case, layout, dtype, attention)
    assert forward.layout == layout
    for lengths in (LENGTHS, (12,), (1,), (3, 3, 3), (7, 1)):
        check(forward, plain, batch_of(lengths), bound)


@pytest.mark.parametrize("width", [2, 3, 8, 9, 30])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_modernbert_windows(width: int, pooling: str) -> None:
    changes = {"local_attention": width, "classifier_pooling": pooling}
    forward, plain = pair("modernbert-cls-odd", "packed", torch.float64, **changes)
    check(forward, plain, batch_of((20, 3, 11, 1)), 1e-9)


@pytest.mark.parametrize("window", [2, 5, 16, 17, 100])
def test_causal_windows(window: int) -> None:
    forward, plain = pair("mistral", "packed", torch.float64, sliding_window=window)
    check(forward, plain, batch_of((16, 3, 17, 1)), 1e-9)


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("case", ["bert", "electra"])
def test_token_types(case: str, layout: Any) -> None:
    forward, plain = pair(case, layout, torch.float64)
    batch = batch_of(types=True)
    check(forward, plain, batch, 1e-9)
    with torch.no_grad():
        assert not torch.allclose(forward(batch), forward(batch_of()))


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("case", ["roberta", "distilbert", "llama"])
def test_types_are_left_out_where_the_model_has_none(case: str, layout: Any) -> None:
    forward, _ = pair(case, layout)
    with torch.no_grad():
        assert torch.equal(forward(batch_of(types=True)), forward(batch_of()))


@pytest.mark.parametrize("case", sorted(UNPACKED))
def test_what_cannot_be_packed_goes_padded(case: str) -> None:
    config = config_of(case)
    plain, forward = build(config, torch.float64, "eager"), ModelForward(build(config, torch.float64, "eager"))
    assert forward.layout == "padded"
    check(forward, plain, batch_of((5, 4, 9, 5, 17, 2)), 1e-8)


def test_two_models_of_one_configuration_do_not_share_their_attention() -> None:
    from transformers import AutoModelForSequenceClassification

    config = config_of("bert")
    one, other = (AutoModelForSequenceClassification.from_config(config).eval() for _ in range(2))
    assert one.config is other.config
    expected = plain_scores(other, batch_of())
    ModelForward(one)(batch_of())
    assert torch.equal(plain_scores(other, batch_of()), expected)


def test_some_units_are_supervised() -> None:
    from dataclasses import replace

    forward, plain = pair("bert", "packed")
    batch = batch_of()
    rows = torch.tensor([1, 4])
    with torch.no_grad():
        some = forward(replace(batch, positions=rows, targets=batch.targets[rows]))
        none = forward(replace(batch, positions=rows[:0], targets=rows[:0]))
    assert torch.allclose(some, plain_scores(plain, batch)[rows], atol=1e-5)
    assert none.shape == (0, 3)


def test_a_released_model_is_transformers_own() -> None:
    for case in sorted(CASES):
        forward, plain = pair(case, "packed")
        forward(batch_of())
        model = forward.release()
        assert str(model) == str(plain)
        assert model.config._attn_implementation == "sdpa"
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
        assert torch.equal(plain_scores(model, batch_of()), plain_scores(plain, batch_of()))
