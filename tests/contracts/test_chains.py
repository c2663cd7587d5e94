"""Several adaptations one after the other: what a recipe's list means, and which orders there are."""

from __future__ import annotations

import pytest
import torch

import tunewright.adaptations
from tunewright.adaptations import Chain, Frozen, Lora
from tunewright.core.errors import RecipeError
from tunewright.core.registry import build, dump, name_of
from tunewright.core.tensors import trainable
from tunewright.models.forward import ModelForward
from tunewright.models.toy import toy_bert

assert tunewright.adaptations.__all__


def test_a_list_is_a_chain_and_a_list_of_one_is_that_one() -> None:
    spec = [{"lora": {"rank": 4}}, {"frozen": {"top": 1}}]
    chain = build("adaptation", spec)
    assert chain == Chain((Lora(rank=4), Frozen(top=1)))
    assert name_of(chain) == "lora + frozen"
    assert build("adaptation", dump(chain)) == chain
    assert build("adaptation", [{"lora": {"rank": 4}}]) == Lora(rank=4)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ([], ["empty list"]),
        (["lora", "lora"], ["lora and lora together", "at most"]),
        (["frozen", "lora"], ["the order frozen, lora: write lora, frozen"]),
        ([{"lora": {"rank": 0}}, "frosen"], ["adaptation[0].lora.rank", "adaptation[1]", "frozen"]),
    ],
)
def test_what_is_no_chain_is_explained(spec: object, words: list[str]) -> None:
    with pytest.raises(RecipeError) as error:
        build("adaptation", spec)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_lora_and_then_only_the_top_layer_of_it() -> None:
    model = Chain((Lora(rank=2), Frozen(top=1))).attach(toy_bert(3, seed=1)[0], 0)
    names = set(trainable(model))
    assert names and all("layer.1." in n or "classifier" in n or "pooler" in n for n in names)
    assert any("lora_A" in n for n in names)


def test_a_chain_merges_back_to_the_plain_model() -> None:
    chain = Chain((Lora(rank=2), Frozen(top=1)))
    plain = toy_bert(3, seed=1)[0]
    model = chain.attach(toy_bert(3, seed=1)[0], 0)
    for name, parameter in trainable(model).items():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    ModelForward(model).release()
    merged = chain.merge(model)
    assert [n for n, _ in merged.named_parameters()] == [n for n, _ in plain.named_parameters()]
    moved = {n for n, p in merged.named_parameters() if not torch.equal(p, dict(plain.named_parameters())[n])}
    assert moved and all("layer.1." in n or "pooler" in n for n in moved)
