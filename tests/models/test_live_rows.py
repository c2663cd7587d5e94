"""Training the rows that occur is training the whole table, save that the others are left alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_families import VOCABULARY, batch_of, build, config_of, weighted

from tunewright.models import rows
from tunewright.models.forward import ModelForward


def step(forward: ModelForward, batches: list[Any], fused: bool, lr: float = 1e-2) -> None:
    learn = [p for p in forward.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learn, lr=lr, weight_decay=0.0, fused=fused)
    for batch in batches:
        optimizer.zero_grad()
        weighted(forward(batch)).backward()
        optimizer.step()


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("case", ["bert", "roberta", "gpt2"])
def test_training_gives_the_same_weights(case: str, dtype: torch.dtype, bound: float, fused: bool) -> None:
    few = [batch_of((5, 3), seed=s, step=s) for s in range(4)]
    used = torch.unique(torch.cat([b.tokens for b in few]))
    assert 10 < len(used) < 0.8 * VOCABULARY
    model, whole = (build(config_of(case), dtype).train() for _ in range(2))
    before = model.get_input_embeddings().weight.detach().clone()
    plain = model.get_input_embeddings()
    live = rows.install(model, [b.tokens for b in few])
    assert live is not None
    assert sum(p.numel() for p in model.parameters()) < sum(p.numel() for p in whole.parameters())
    ours, reference = ModelForward(model), ModelForward(whole)
    step(ours, few, fused), step(reference, few, fused)

    unknown = batch_of(seed=9)  # tokens that no training text holds
    assert not set(unknown.tokens.tolist()) <= set(used.tolist())
    with ours.evaluating(), reference.evaluating():
        assert torch.allclose(ours(unknown), reference(unknown), atol=100 * bound)
    step(ours, few[:2], fused), step(reference, few[:2], fused)  # and on after an evaluation
    with ours.evaluating(), reference.evaluating():
        assert torch.allclose(ours(unknown), reference(unknown), atol=100 * bound)

    step(ours, few[2:], fused), step(reference, few[2:], fused)  # and not evaluated since
    rows.remove(model)
    assert model.get_input_embeddings() is plain
    after = plain.weight.detach()
    other = torch.ones(VOCABULARY, dtype=torch.bool)
    other[used] = False
    assert torch.equal(after[other], before[other])
    assert not torch.equal(after[used], before[used])
    wanted = dict(whole.named_parameters())
    assert list(dict(model.named_parameters())) == list(wanted)
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter, wanted[name], atol=bound), name


def test_loaded_rows_are_seen_in_evaluation() -> None:
    model = build(config_of("bert"))
    live = rows.install(model, [torch.arange(20, VOCABULARY)])
    assert live is not None
    forward = ModelForward(model)
    batch = batch_of((4,), seed=0)
    with forward.evaluating():
        before = forward(batch)
    for change in (lambda: live.rows.copy_(live.rows * 2), lambda: live.rows.data.mul_(2)):
        with torch.no_grad():
            change()
        model.train()
        with forward.evaluating():
            after = forward(batch)
        assert not torch.equal(before, after)
        before = after


def test_a_token_that_was_not_foreseen_is_read_from_the_table() -> None:
    model = build(config_of("bert")).train()
    expected = ModelForward(build(config_of("bert")).train())(batch_of())
    live = rows.install(model, [torch.arange(4, 20)])
    scores = ModelForward(model)(batch_of())
    assert torch.allclose(scores, expected, atol=1e-6)
    scores.sum().backward()
    assert live is not None and live.rows.grad is not None and live.rows.grad.any()


def test_padding_does_not_learn() -> None:
    model = build(config_of("bert", pad_token_id=4)).train()
    live = rows.install(model, [torch.arange(4, 20)])
    assert live is not None and live.padding == 0
    batch = batch_of((1, 9, 4))
    batch.tokens.copy_(torch.tensor([4, 5, 6, 7, 4, 8, 9, 10, 11, 12, 4, 13, 14, 15]))
    weighted(ModelForward(model)(batch)).backward()
    assert live.rows.grad is not None and not live.rows.grad[0].any() and live.rows.grad.any()


def test_where_it_is_of_no_use_nothing_changes() -> None:
    from transformers import BertForMaskedLM

    config = config_of("bert")
    tied = BertForMaskedLM(config)
    assert tied.get_input_embeddings().weight is tied.get_output_embeddings().weight
    frozen = build(config)
    frozen.get_input_embeddings().requires_grad_(False)
    some = [torch.arange(4, 20)]
    for model, tokens in ((tied, some), (frozen, some), (build(config), [torch.arange(4, VOCABULARY)])):
        plain = model.get_input_embeddings()
        assert rows.install(model, tokens) is None
        assert model.get_input_embeddings() is plain
        rows.remove(model)
        assert model.get_input_embeddings() is plain
