"""LoRA that begins from what its layers read: which directions those are, and that whoever trains lets it look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tunewright.adaptations import Chain, Frozen, Lora, Quantized, eva
from tunewright.adaptations.eva import largest
from tunewright.core.tensors import trainable
from tunewright.encoding import Example
from tunewright.models.forward import ModelForward
from tunewright.models.looking import TOKENS, show
from tunewright.models.scoring import laid
from tunewright.models.toy import toy_bert, toy_llama
from tunewright.recipe import families, parse
from tunewright.selftesting import toys
from tunewright.selftesting.subjects import subject

EVA = Lora(rank=4, init="eva")


def texts(count: int, words: int = 40, seed: int = 0) -> list[Example]:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(4, words, (count, 12), generator=generator).numpy()
    return [Example(f"{seed}-{i}", row, 0, len(row)) for i, row in enumerate(tokens)]


def starts(model: nn.Module) -> dict[str, Tensor]:
    return {n: p.detach().clone() for n, p in trainable(model).items() if "lora_A" in n}


def shown(adaptation: Any, seed: int = 0, *rows: list[Example]) -> nn.Module:
    model = adaptation.attach(toy_bert(3, 1)[0], 0)
    show(adaptation, [(model, own) for own in rows or (texts(8),)], None, seed)
    return model


def test_the_directions_are_the_right_singular_vectors() -> None:
    generator = torch.Generator().manual_seed(0)
    for n, k in ((40, 7), (7, 40)):
        rows = torch.randn(n, k, generator=generator, dtype=torch.float64) * torch.arange(1, k + 1)
        _, values, right = torch.linalg.svd(rows, full_matrices=False)
        found = largest(rows, 3)
        assert torch.allclose(found.norm(dim=1), values[:3])
        assert torch.allclose(
            (found / found.norm(dim=1, keepdim=True) @ right[:3].T).abs(), torch.eye(3, dtype=torch.float64)
        )
    together = largest(torch.cat([largest(rows[:4], 4), rows[4:]]), 3)
    assert torch.allclose(together.norm(dim=1), values[:3]), "batch after batch"


def test_a_layer_begins_from_what_it_reads() -> None:
    """Against the inputs that a hook of our own sees; after the last attention that is one row a text."""
    model = shown(EVA)
    read: dict[str, Tensor] = {}
    plain = toy_bert(3, 1)[0]
    for name, module in plain.named_modules():
        if isinstance(module, nn.Linear) and ".encoder." in name:
            module.register_forward_pre_hook(
                lambda m, args, n=name: read.__setitem__(n, args[0].flatten(0, -2).double())
            )  # type: ignore[misc]
    forward = ModelForward(plain)
    with forward.evaluating():
        for _, batch in laid(texts(8)):
            forward(batch)
    assert len(read) == 12
    for name, rows in read.items():
        _, _, right = torch.linalg.svd(rows.clone(), full_matrices=False)
        a = model.get_submodule(f"base_model.model.{name}").lora_A["default"].weight.double()  # type: ignore[index,union-attr]
        assert torch.allclose(a @ a.T, torch.eye(4, dtype=torch.float64), atol=1e-5)
        assert torch.allclose((a @ right[:4].T).abs(), torch.eye(4, dtype=torch.float64), atol=1e-3), name


def test_nothing_else_changes_and_the_same_texts_give_the_same_start() -> None:
    state = torch.get_rng_state()
    before = EVA.attach(toy_bert(3, 1)[0], 0)
    one, two, turned = shown(EVA), shown(EVA), shown(EVA, 0, texts(8)[::-1])
    assert torch.equal(torch.get_rng_state(), state)
    fixed = {n: p for n, p in before.named_parameters() if "lora_A" not in n}
    assert all(torch.equal(dict(one.named_parameters())[n], p) for n, p in fixed.items())
    for other in (two, turned):
        assert all(torch.equal(p, starts(other)[n]) for n, p in starts(one).items())
    assert any(not torch.allclose(p, starts(before)[n]) for n, p in starts(one).items())
    apart = shown(EVA, 0, texts(8, seed=1))
    assert not any(torch.allclose(p, starts(apart)[n], atol=1e-4) for n, p in starts(one).items())
    names = {type(m).__name__ for m in one.modules()}
    assert "KeyedDropout" not in names and not any(m._forward_pre_hooks for m in one.modules())


def test_few_texts_of_many_are_read_chosen_by_the_seed() -> None:
    many = texts(400)
    assert sum(len(e) for e in many) > 3 * TOKENS
    one, same, other = (starts(shown(EVA, seed, many)) for seed in (0, 0, 5))
    assert all(torch.equal(p, same[n]) for n, p in one.items())
    assert any(not torch.equal(p, other[n]) for n, p in one.items())


def test_directions_that_the_texts_do_not_have_stay_as_drawn() -> None:
    """One text: after the last attention a classifier reads a single row."""
    before, after = starts(EVA.attach(toy_bert(3, 1)[0], 0)), starts(shown(EVA, 0, texts(1)))
    name = next(n for n in before if "layer.1.intermediate" in n)
    assert torch.equal(before[name][1:], after[name][1:]) and not torch.equal(before[name][0], after[name][0])


def test_in_a_chain_and_over_several_models() -> None:
    chain = Chain((Quantized("int8"), EVA, Frozen(top=1)))
    assert chain.looks and not Chain((Quantized("int8"), Lora(rank=4))).looks
    model = shown(chain, 0, texts(6), texts(6, seed=2))
    for a in starts(model).values():
        assert torch.allclose(a @ a.T, torch.eye(4), atol=1e-5)


def test_a_language_model_makes_no_scores_of_its_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    model = EVA.attach(toy_llama(1)[0], 0)
    monkeypatch.setattr(ModelForward, "__call__", lambda *_: pytest.fail("scores were made"))
    rows = [Example(f"t{i}", row.tokens, row.tokens, len(row), unit="token") for i, row in enumerate(texts(6))]
    show(EVA, [(model, rows)], None, 0)
    assert all(torch.allclose(a @ a.T, torch.eye(4), atol=1e-5) for a in starts(model).values())


@pytest.mark.parametrize("task", ["classification", "chat", "seq2seq, encoder-decoder", "preference"])
def test_a_training_lets_it_look(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Tensor] = {}
    look = eva.look

    def seeing(model: nn.Module, run: Any) -> None:
        look(model, run)
        found.update(starts(model))

    monkeypatch.setattr(eva, "look", seeing)
    families()
    plain = dict(toys.recipes(tmp_path))[task].dump()
    with subject(parse({**plain, "adaptation": {"lora": {"rank": 2, "init": "eva"}}}), tmp_path):
        near = [torch.allclose(a @ a.T, torch.eye(2), atol=1e-4) for a in found.values()]
    assert len(near) > 10 and all(near)
