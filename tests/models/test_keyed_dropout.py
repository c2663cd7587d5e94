"""Dropout depends on seed, step and example, and on nothing else about a batch."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from tiny_families import CASES, UNPACKED, batch_of, build, config_of, gradient_error, pair, part, weighted
from torch import nn

from tunewright.adaptations import Lora
from tunewright.models.dropout import Draws, KeyedDropout, install, remove
from tunewright.models.forward import ModelForward

BOUND = 1e-9


def training(case: str, layout: Any) -> ModelForward:
    forward = ModelForward(build(config_of(case), torch.float64), layout=layout)
    forward.model.train()
    return forward


def has_dropout(case: str) -> bool:
    return any(isinstance(m, nn.Dropout) and m.p > 0 for m in build(config_of(case)).modules())


@pytest.mark.parametrize("case", sorted(c for c in CASES if has_dropout(c)))
def test_the_same_masks_however_the_batch_is_laid_out(case: str) -> None:
    packed, padded = training(case, "packed"), training(case, "padded")
    batch = batch_of(step=3)
    reference = packed(batch)
    packed.model.eval()
    assert float((packed(batch) - reference).detach().abs().max()) > 1e-3, "nothing is dropped"
    packed.model.train()

    scores = padded(batch)
    assert torch.allclose(scores, reference, atol=BOUND)
    weighted(reference).backward()
    weighted(scores).backward()
    assert gradient_error(packed.model, padded.model) < BOUND

    order = [4, 0, 7, 2, 6, 1, 5, 3]
    for forward in (packed, padded):
        with torch.no_grad():
            assert torch.allclose(forward(part(batch, order)), reference[order], atol=BOUND)
            pieces = [forward(part(batch, rows)) for rows in ([0, 1, 2], [3], [4, 5, 6, 7])]
        assert torch.allclose(torch.cat(pieces), reference, atol=BOUND)


@pytest.mark.parametrize("case", sorted(UNPACKED))
def test_unpacked_families_split_and_repeat(case: str) -> None:
    forward = training(case, None)
    batch = batch_of((5, 4, 9, 5), step=1)
    with torch.no_grad():
        torch.manual_seed(1)
        whole = forward(batch)
        state = torch.random.get_rng_state()
        torch.manual_seed(2)
        assert torch.equal(forward(batch), whole)
        torch.manual_seed(1)
        assert torch.equal(torch.random.get_rng_state(), state), "the forward used the global random state"
        if case != "bart":  # BART drops in function calls, which are keyed by the batch
            pieces = [forward(part(batch, rows)) for rows in ([0, 1], [2, 3])]
            assert torch.allclose(torch.cat(pieces), whole, atol=BOUND)
    forward.model.eval()
    assert not torch.allclose(forward(batch), whole)


def test_other_steps_seeds_and_views_draw_otherwise() -> None:
    forward = training("bert", "packed")
    batch = batch_of(step=3)
    with torch.no_grad():
        first = forward(batch)
        assert torch.equal(forward(batch), first)
        assert torch.equal(forward(batch.view(1)), forward(batch.view(1)))
        others = [forward(batch_of(step=4)), forward(batch.view(1)), forward(batch.view(2))]
    for i, one in enumerate([first, *others]):
        for other in [first, *others][i + 1 :]:
            assert ((one - other).abs().amax(1) > 1e-6).all()


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_without_keys_or_in_evaluation_nothing_is_dropped(layout: Any) -> None:
    forward, plain = pair("bert", layout)
    with torch.no_grad():
        expected = forward(batch_of())
        assert torch.equal(forward(batch_of(step=1)), expected)
        forward.model.train()
        assert torch.equal(forward(batch_of()), expected)
    assert plain.training is False


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_the_share_that_is_kept_is_right_at_every_site(p: float) -> None:
    """Of 64 * 16 * 200 elements the kept share lies within 5 sigma at each of 12 sites, as for independent draws."""
    draws = Draws()
    n, width, length = 64, 200, 16
    x = torch.ones(n * length, width)
    seen = []
    for site in range(12):
        layer = KeyedDropout(p, site, draws)
        draws.begin(batch_of((length,) * n, step=0).keys, torch.arange(n).repeat_interleave(length),
                    torch.arange(length).repeat(n))  # fmt: skip
        out = layer(x)
        kept = out != 0
        assert torch.allclose(out[kept], torch.tensor(1 / (1 - p)))
        sigma = (p * (1 - p) / x.numel()) ** 0.5
        assert abs(float(kept.float().mean()) - (1 - p)) < 5 * sigma
        seen.append(kept)
    for one, other in itertools.pairwise(seen):  # sites draw apart from one another
        agree = float((one == other).float().mean())
        assert abs(agree - (p * p + (1 - p) ** 2)) < 0.01


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_lora_dropout_is_keyed(layout: Any) -> None:
    model = build(config_of("bert", hidden_dropout_prob=0.0), torch.float64)
    wrapped = Lora(rank=2, dropout=0.5).attach(model, 0).double()
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(0))
    forward = ModelForward(wrapped, layout=layout)
    assert not any(type(m) is nn.Dropout for m in wrapped.modules())
    batch = batch_of(step=1)
    wrapped.eval()
    calm = forward(batch)
    wrapped.train()
    with torch.no_grad():
        whole = forward(batch)
        assert not torch.allclose(whole, calm)
        pieces = [forward(part(batch, rows)) for rows in ([3, 2, 1, 0], [4, 5, 6, 7])]
    assert torch.allclose(torch.cat(pieces)[[3, 2, 1, 0, 4, 5, 6, 7]], whole, atol=BOUND)


def test_lora_dropout_packed_equals_padded() -> None:
    scores = []
    for layout in ("packed", "padded"):
        wrapped = Lora(rank=2, dropout=0.5).attach(build(config_of("llama"), torch.float64), 0).double().train()
        with torch.no_grad():
            for name, parameter in wrapped.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(generator=torch.Generator().manual_seed(0))
        scores.append(ModelForward(wrapped, layout=layout)(batch_of(step=1)))  # type: ignore[arg-type]
    assert torch.allclose(*scores, atol=BOUND)


def test_install_and_remove() -> None:
    model = build(config_of("bert", hidden_dropout_prob=0.2)).train()
    plain = str(model)
    found = sum(isinstance(m, nn.Dropout) for m in model.modules())
    assert install(model, Draws()) == found
    assert not any(isinstance(m, nn.Dropout) for m in model.modules())
    model.eval()
    remove(model)
    assert str(model) == plain
    assert not any(m.training for m in model.modules())
