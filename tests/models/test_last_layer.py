"""The last layer goes on with the rows that the head reads; that changes nothing but the work."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_families import batch_of, build, config_of, gradient_error, weighted
from torch import nn

from tunewright.adaptations import Lora
from tunewright.models.forward import ModelForward

CUT = ["bert", "roberta", "xlm-roberta", "camembert", "electra"]


def whole(model: nn.Module, **options: Any) -> ModelForward:
    """A forward without the cut, as one of a family that the head reads by its mean is."""
    forward = ModelForward(model, **options)
    assert forward._last is not None and forward.head is not None
    forward._last.remove()
    forward._last = None
    return forward


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("case", CUT)
def test_the_cut_equals_the_whole(case: str, lora: bool) -> None:
    sides = []
    for kind in (ModelForward, whole):
        model = build(config_of(case), torch.float64)
        model = Lora(rank=2, dropout=0.3).attach(model, 0).double() if lora else model
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
        sides.append(kind(model.train(), layout="packed"))
    seen: list[int] = []
    for side in sides:
        last = side.inner.base_model.encoder.layer[-1]
        for module in (last.attention.self.query, last.attention.self.key, last.intermediate):
            module.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[1]))
    batch = batch_of(step=1)
    scores = [side(batch) for side in sides]
    n, tokens = len(batch.ids), len(batch.tokens)
    assert seen == [n, tokens, n, tokens, tokens, tokens]
    assert torch.allclose(scores[0], scores[1], atol=1e-9)
    for score in scores:
        weighted(score).backward()
    assert gradient_error(sides[0].model, sides[1].model) < 1e-9


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("case", [*CUT, "distilbert", "modernbert-mean-even", "gpt2", "qwen3"])
def test_features_are_the_mean_over_every_token(case: str, layout: str) -> None:
    plain, batch = build(config_of(case), torch.float64), batch_of()
    forward = ModelForward(build(config_of(case), torch.float64), layout=layout)  # type: ignore[arg-type]
    features = forward.features(batch)
    assert not features.requires_grad
    with torch.no_grad():
        expected = [plain.base_model(t[None]).last_hidden_state[0].mean(0) for t in batch.tokens.split(batch.lengths)]
    assert torch.allclose(features, torch.stack(expected).float(), atol=1e-6)
    scores = forward(batch)  # and scoring goes on as before
    assert torch.equal(scores, forward(batch))
