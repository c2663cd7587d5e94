"""Batches filled up to few numbers of tokens: the same scores and gradients, and fewer products to compile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import test_token_units as tokens
import torch
from tiny_families import CASES, batch_of, build, config_of, gradient_error, weighted

from tunewright.adaptations import Lora
from tunewright.models import shapes
from tunewright.models.forward import ModelForward


def test_a_filled_batch_is_round_and_begins_with_the_batch() -> None:
    batch = batch_of(step=1, types=True)
    filled = shapes.filled(batch)
    n = len(batch.tokens)
    assert len(filled.tokens) == sum(filled.lengths) == shapes.rounded(n) > n
    assert filled.lengths[: len(batch.lengths)] == batch.lengths
    assert max(filled.lengths) == max(batch.lengths)  # none makes attention wider
    assert filled.keys is not None and len(filled.keys) == len(filled.lengths)
    assert filled.types is not None and batch.types is not None
    assert torch.equal(filled.tokens[:n], batch.tokens) and torch.equal(filled.types[:n], batch.types)
    assert filled.targets is batch.targets and filled.positions is batch.positions and filled.ids == batch.ids


def test_short_texts_are_followed_by_several_short_ones() -> None:
    batch = batch_of((3,) * 11)
    assert shapes.filled(batch).lengths[11:] == (3, 3, 3, 3, 3)
    assert shapes.rounded(33) == 48


def test_round_batches_and_pairs_stay() -> None:
    batch = batch_of((5, 11))
    assert shapes.filled(batch) is batch
    pairs = replace(batch_of((5, 4)), sides=2)
    assert shapes.filled(pairs) is pairs


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("case", sorted(CASES))
def test_filling_changes_neither_scores_nor_gradients(case: str, lora: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sides = []
    for _ in range(2):
        model = build(config_of(case), torch.float64)
        model = Lora(rank=2).attach(model, 0).double() if lora else model
        sides.append(ModelForward(model.train(), layout="packed"))
    batch, scores = batch_of(step=3), []
    widths: list[int] = []
    sides[0].inner.get_input_embeddings().register_forward_hook(lambda m, args, out: widths.append(args[0].shape[1]))
    for side, fills in zip(sides, (True, False), strict=True):
        monkeypatch.setattr(ModelForward, "_fills", fills)
        scores.append(side(batch))
        weighted(scores[-1]).backward()
    assert widths == [shapes.rounded(len(batch.tokens))]
    assert scores[0].shape == scores[1].shape
    assert torch.allclose(scores[0], scores[1], atol=1e-12)
    assert gradient_error(sides[0].model, sides[1].model) < 1e-12


@pytest.mark.parametrize(
    ("kind", "case"),
    [("CausalLM", "llama"), ("CausalLM", "gpt2"), ("MaskedLM", "bert"), ("TokenClassification", "distilbert")],
)
def test_filling_changes_no_token(kind: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sides = [ModelForward(tokens.build(kind, case).train(), layout="packed") for _ in range(2)]
    batch, found = tokens.sample(keys=True, classes=3), []
    for side, fills in zip(sides, (True, False), strict=True):
        monkeypatch.setattr(ModelForward, "_fills", fills)
        found.append(side.losses(batch))
        found[-1].sum().backward()
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=0)
    assert gradient_error(sides[0].model, sides[1].model) < 1e-5


def test_only_training_in_bfloat16_on_a_cpu_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(shapes, "filled", lambda batch: seen.append(batch) or batch)
    batch = batch_of(step=1)
    for precision, training in (("bfloat16", True), ("bfloat16", False), ("float32", True)):
        forward = ModelForward(build(config_of("bert")).train(training), layout="packed", precision=precision)
        forward(batch)
        assert bool(seen) is (precision == "bfloat16" and training)
        seen.clear()


def test_a_nudge_fits_the_batch_as_it_is() -> None:
    forward = ModelForward(build(config_of("bert")).train(), layout="packed", precision="bfloat16")
    batch = batch_of(step=1)
    assert len(forward(batch, forward.nudge_like(batch))) == len(batch.ids)
