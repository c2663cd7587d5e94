"""Whatever adapts a model: keeping what lies below what learns changes no score and no gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_adaptations import BERT, TABLE, learn
from torch import Tensor, nn
from toy_batches import batch, rows

from tunewright.adaptations import Chain, Frozen
from tunewright.core.errors import RecipeError
from tunewright.models.forward import ModelForward
from tunewright.models.kept import Keeping

CASES = [
    pytest.param(adaptation, id=f"{name}-{i}")
    for name, cases in TABLE.items()
    for i, (adaptation, subject, _) in enumerate(cases)
    if subject is BERT
]


def gradients(forward: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """Of a batch whose texts were seen before and one that were not, with dropout."""
    forward.model.zero_grad()
    scores = torch.cat([forward(batch(texts, seed=5)) for texts in (rows(6), rows(9), rows(6))])
    scores.square().sum().backward()
    return scores.detach(), {n: p.grad for n, p in forward.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("top", [None, 1, 0])
@pytest.mark.parametrize("adaptation", CASES)
def test_kept_or_not(adaptation: Any, top: int | None) -> None:
    """By itself, and with all frozen but the top layer, or but what stands on the layers."""

    def model() -> nn.Module:
        parts = getattr(adaptation, "parts", (adaptation,))
        whole = adaptation if top is None else Chain((*parts, Frozen(top=top)))
        return whole.attach(BERT.model(), 0)

    try:
        learnt = model()
    except (RecipeError, ValueError):
        pytest.skip("nothing learns any more, or these two do not go together")
    learn(BERT, learnt)
    wanted = ModelForward(learnt.train())
    trunk = wanted.trunk
    if not getattr(adaptation, "identity", True):
        assert trunk is None, "virtual tokens learn below every layer"
        return
    assert trunk is not None
    depth = trunk.frozen()
    for module in trunk.layers.below(depth):
        module.eval()
    wanted.trunk = None
    right = gradients(wanted)
    kept = ModelForward(learnt.train(), keep=Keeping(1 << 30))
    found = gradients(kept)
    assert kept.trunk is not None
    assert kept.trunk.computed == (len({tuple(r) for r in _texts()}) if depth else 0)
    under = any(p.requires_grad for p in trunk.layers._under)
    assert top is None or depth or under or wanted.virtual.virtual, "layers are frozen and nothing learns under them"
    assert torch.allclose(found[0], right[0], atol=1e-5)
    assert found[1].keys() == right[1].keys()
    for name, gradient in found[1].items():
        assert torch.allclose(gradient, right[1][name], atol=1e-4, rtol=1e-4), name


def _texts() -> list[list[int]]:
    whole = batch(rows(9), seed=5)
    return [part.tolist() for part in whole.tokens.split(list(whole.lengths))]  # type: ignore[no-untyped-call]
