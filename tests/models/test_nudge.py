"""A nudge is added to the token embeddings, wherever the layout puts them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_families import batch_of, padded, pair, weighted

from tunewright.models import rows

CASES = ["bert", "roberta", "distilbert", "electra", "modernbert-mean-even", "gpt2", "llama"]


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("case", CASES)
def test_a_nudge_is_an_addition_to_inputs_embeds(case: str, layout: Any) -> None:
    forward, plain = pair(case, layout, torch.float64)
    batch = batch_of((5, 1, 9, 5))
    zero = forward.nudge_like(batch)
    assert zero.shape == (20, plain.get_input_embeddings().embedding_dim)
    assert zero.dtype == torch.float64
    assert not zero.any()
    nudge = torch.randn(zero.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours, theirs = nudge.clone().requires_grad_(), nudge.clone().requires_grad_()

    scores = forward(batch, ours)
    tokens, mask = padded(batch, plain.config.pad_token_id or 0)
    spread, _ = padded(batch, 0, theirs)
    if case in ("gpt2", "llama"):  # with embeddings given, transformers reads the last place, padding or not
        embeddings = plain.get_input_embeddings()(batch.tokens) + theirs
        expected = torch.cat([plain(inputs_embeds=part[None]).logits for part in embeddings.split(list(batch.lengths))])
    else:
        embeddings = plain.get_input_embeddings()(tokens) + spread
        expected = plain(inputs_embeds=embeddings, attention_mask=mask).logits
    assert torch.allclose(scores, expected, atol=1e-9)
    weighted(scores).backward()
    weighted(expected).backward()
    assert ours.grad is not None and theirs.grad is not None
    assert float(theirs.grad.abs().max()) > 1e-3
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-9)

    with torch.no_grad():  # and it is gone afterwards
        assert torch.equal(forward(batch), forward(batch, zero))
        assert not torch.allclose(forward(batch), scores)


def test_a_nudge_reaches_embeddings_that_were_replaced_after() -> None:
    forward, _ = pair("bert", "packed")
    batch = batch_of()
    nudge = torch.ones_like(forward.nudge_like(batch))
    expected = forward(batch, nudge)
    assert rows.install(forward.model, [torch.tensor([4, 5])]) is not None
    assert torch.equal(forward(batch, nudge), expected)
    assert forward.nudge_like(batch).shape == nudge.shape


def test_a_failed_call_leaves_no_nudge_behind() -> None:
    forward, _ = pair("bert", "packed")
    batch = batch_of()
    expected = forward(batch)
    with pytest.raises(RuntimeError):
        forward(batch, torch.ones(3, 5))
    assert torch.equal(forward(batch), expected)


def test_t5_is_nudged_in_its_encoder_alone() -> None:
    forward, _ = pair("t5", None, torch.float64)
    batch = batch_of((5, 4))
    nudge = forward.nudge_like(batch).requires_grad_()
    forward(batch, nudge).sum().backward()
    assert nudge.grad is not None and nudge.grad.any()
