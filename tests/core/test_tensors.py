"""Batches count and own what they hold; terms are sums."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tunewright.core.tensors import Batch, Term, summed, total


def tokens() -> Batch:
    """Three examples of 2, 1 and 3 tokens; supervised: both tokens of the first, the last one of the third."""
    return Batch(
        ("a", "b", "c"), torch.arange(6), (2, 1, 3), torch.tensor([0, 1, 2]), torch.tensor([0, 1, 5]), "token",
        keys=torch.tensor([5, 6, 7]), weights=torch.tensor([1.0, 2.0, 4.0]),
    )  # fmt: skip


def test_a_batch_knows_whose_units_are_whose() -> None:
    batch = tokens()
    assert batch.ends().tolist() == [2, 3, 6] and batch.owners().tolist() == [0, 0, 2]
    assert batch.counts() == {"token": 3, "example": 2, "step": 1}
    whole = replace(batch, unit="example", positions=torch.tensor([0, 2]), targets=torch.tensor([1, 1]))
    assert whole.owners().tolist() == [0, 2] and whole.counts() == {"example": 2, "step": 1}
    none = replace(batch, positions=torch.tensor([], dtype=torch.int64))
    assert none.counts() == {"token": 0, "example": 0, "step": 1}


def test_a_view_has_other_draws_and_nothing_else() -> None:
    batch = tokens()
    view = batch.view(1)
    assert view.keys is not None and batch.keys is not None and not (view.keys == batch.keys).any()
    assert torch.equal(view.keys, tokens().view(1).keys) and not torch.equal(view.keys, batch.view(2).keys)
    assert view.tokens is batch.tokens and view.ids == batch.ids
    alone = replace(batch, ids=("c",), keys=batch.keys[2:]).view(1)
    assert torch.equal(alone.keys, view.keys[2:]), "a view's keys are of each example, not of the batch"
    still = replace(batch, keys=None)
    assert still.view(1) is still


def test_summed_sums_and_keeps_each_examples_mean() -> None:
    losses = torch.tensor([1.0, 3.0, 0.5], requires_grad=True)
    term = summed("x", losses, tokens(), scale=0.5)
    assert (term.name, term.unit, term.scale) == ("x", "token", 0.5)
    assert term.total.item() == pytest.approx(1 + 6 + 2)
    assert term.rows is not None and term.rows.tolist() == pytest.approx([3.5, 0.0, 2.0])
    assert not term.rows.requires_grad and term.total.requires_grad
    plain = summed("x", losses, replace(tokens(), weights=None))
    assert plain.total.item() == pytest.approx(4.5)


def test_total_weighs_terms() -> None:
    assert total([Term("a", torch.tensor(2.0), "token", 3.0), Term("b", torch.tensor(1.0), "step")]).item() == 7.0


def test_moving_moves_every_tensor() -> None:
    moved = replace(tokens(), types=torch.zeros(6, dtype=torch.int64)).to(torch.device("meta"))
    fields = (moved.tokens, moved.targets, moved.positions, moved.keys, moved.types, moved.weights)
    assert all(t is not None and t.device.type == "meta" for t in fields)
