"""Tokens as units: scores and losses of language models and taggers are transformers' own, packed or padded."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_families import CASES, UNPACKED, VOCABULARY, config_of
from torch import Tensor

from tunewright.core.seeds import key
from tunewright.core.tensors import Batch, Decoder
from tunewright.models.forward import ModelForward

LENGTHS = (5, 1, 9, 5, 17, 2)
DECODED = (3, 4, 1, 6, 2, 2)
CAUSAL = [name for name in CASES if CASES[name][0] in ("gpt2", "llama", "mistral", "qwen2", "qwen3")]
MASKED = ["bert", "roberta", "xlm-roberta", "distilbert", "electra", "modernbert-cls-odd"]
TAGGERS = ["bert", "roberta", "distilbert", "electra", "modernbert-cls-odd", "gpt2", "llama", "qwen3"]


def build(kind: str, case: str, **changes: Any) -> Any:
    import transformers

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, f"AutoModelFor{kind}").from_config(config_of(case, **changes))
    return model.double().eval()


def sample(lengths: tuple[int, ...] = LENGTHS, keys: bool = False, classes: int = VOCABULARY) -> Batch:
    draw = torch.Generator().manual_seed(1)
    n = sum(lengths)
    places = torch.randperm(n, generator=draw)[: n // 3].sort().values
    return Batch(
        ids=tuple(f"e{i}" for i in range(len(lengths))),
        tokens=torch.randint(3, VOCABULARY, (n,), generator=draw),
        lengths=lengths,
        targets=torch.randint(0, classes, (len(places),), generator=draw),
        positions=places,
        unit="token",
        keys=torch.tensor([key(7, i) for i in range(len(lengths))]) if keys else None,
    )


def one_by_one(model: Any, batch: Batch) -> Tensor:
    """(T, C) scores of each example alone, as transformers makes them."""
    bounds = torch.tensor((0, *batch.lengths)).cumsum(0).tolist()
    with torch.no_grad():
        parts = [model(input_ids=batch.tokens[a:b][None]).logits[0] for a, b in itertools.pairwise(bounds)]
    return torch.cat(parts)


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize(
    ("kind", "case"),
    [("CausalLM", c) for c in CAUSAL]
    + [("MaskedLM", c) for c in MASKED]
    + [("TokenClassification", c) for c in TAGGERS],
)
def test_scores_and_losses_are_those_of_transformers(kind: str, case: str, layout: Any) -> None:
    model = build(kind, case)
    batch = sample(classes=3)
    wanted = one_by_one(model, batch)[batch.positions]
    forward = ModelForward(model, layout=layout)
    torch.testing.assert_close(forward(batch), wanted, atol=1e-5, rtol=0)
    for smoothing in (0.0, 0.1):
        found = forward.losses(batch, smoothing=smoothing)
        right = F.cross_entropy(wanted, batch.targets, label_smoothing=smoothing, reduction="none")
        torch.testing.assert_close(found.double(), right, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "case"),
    [("CausalLM", "llama"), ("MaskedLM", "bert"), ("MaskedLM", "roberta"), ("TokenClassification", "bert")],
)
def test_scores_and_losses_can_be_made_in_two_steps(kind: str, case: str) -> None:
    """First the states, then what they say: of all units or of some."""
    batch = sample(keys=True, classes=3)
    forward = ModelForward(build(kind, case).train())
    states = forward.states(batch)
    torch.testing.assert_close(forward.scores(states), forward(batch))
    torch.testing.assert_close(forward.scores(states[2:5]), forward(batch)[2:5])
    torch.testing.assert_close(forward.cost(states, batch.targets, 0.1), forward.losses(batch, smoothing=0.1))
    torch.testing.assert_close(forward.cost(states[3:], batch.targets[3:]), forward.losses(batch)[3:])
    assert len(states) == len(batch.positions) and forward.embeddings().shape == (VOCABULARY, 16)


@pytest.mark.parametrize("kind", ["CausalLM", "MaskedLM"])
def test_losses_are_transformers_own_with_labels(kind: str) -> None:
    """What a model of transformers says its loss is, with IGNORED where nothing is supervised."""
    model = build(kind, "llama" if kind == "CausalLM" else "bert")
    tokens = torch.randint(3, VOCABULARY, (9,), generator=torch.Generator().manual_seed(2))
    supervised = torch.tensor([2, 3, 7])
    labels = torch.full((9,), -100)
    labels[supervised] = tokens[supervised]
    with torch.no_grad():
        right = model(input_ids=tokens[None], labels=labels[None]).loss
    at = supervised - 1 if kind == "CausalLM" else supervised
    batch = Batch(("a",), tokens, (9,), tokens[supervised], at, "token")
    torch.testing.assert_close(ModelForward(model).losses(batch).mean().double(), right.double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("case", ["t5", "bart"])
def test_an_encoder_decoder_gives_what_transformers_gives(case: str) -> None:
    import transformers

    family, options = UNPACKED[case]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.AutoConfig.for_model(family, **{**options, "num_labels": 2})
        model = transformers.AutoModelForSeq2SeqLM.from_config(config).double().eval()
    batch, read = sample(), torch.randint(3, VOCABULARY, (sum(DECODED),), generator=torch.Generator().manual_seed(4))
    places = torch.tensor([0, 2, 3, 8, 13, sum(DECODED) - 1])
    batch = replace(batch, decoder=Decoder(read, DECODED), positions=places, targets=read[places])
    parts, a, b = [], 0, 0
    with torch.no_grad():
        for n, m in zip(LENGTHS, DECODED, strict=True):
            asked = {"input_ids": batch.tokens[a : a + n][None], "decoder_input_ids": read[b : b + m][None]}
            parts.append(model(**asked).logits[0])
            a, b = a + n, b + m
    wanted = torch.cat(parts)[places]
    forward = ModelForward(model)
    torch.testing.assert_close(forward(batch), wanted, atol=1e-5, rtol=0)
    right = F.cross_entropy(wanted, batch.targets, reduction="none")
    torch.testing.assert_close(forward.losses(batch).double(), right, atol=1e-5, rtol=0)
    assert batch.owners().tolist() == [0, 0, 1, 3, 3, 5]


def gradients(forward: ModelForward, batch: Batch) -> dict[str, Tensor]:
    forward.model.zero_grad()
    forward.losses(batch).sum().backward()
    return {n: p.grad.clone() for n, p in forward.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("kind", "case"), [("CausalLM", "gpt2"), ("MaskedLM", "bert"), ("TokenClassification", "bert")]
)
def test_with_dropout_packed_and_padded_have_the_same_gradients(kind: str, case: str) -> None:
    """Dropout is keyed by the example, also in the head, which sees the supervised rows alone."""
    found = []
    for layout in ("packed", "padded"):
        model = build(kind, case).train()
        found.append(gradients(ModelForward(model, layout=layout), sample(keys=True, classes=3)))  # type: ignore[arg-type]
    for name, grad in found[0].items():
        torch.testing.assert_close(grad, found[1][name], atol=1e-5, rtol=0, msg=name)


def test_both_sides_of_an_example_draw_alike() -> None:
    """Two sequences that begin with the same tokens have the same hidden states there, dropout included."""
    model = build("CausalLM", "gpt2").train()
    tokens = torch.tensor([5, 6, 7, 8, 5, 6, 7, 9])
    batch = Batch(
        ("a",), tokens, (4, 4), tokens[[1, 2, 5, 6]], torch.tensor([0, 1, 4, 5]), "token", torch.tensor([3]), sides=2
    )
    found = ModelForward(model).losses(batch)
    torch.testing.assert_close(found[:2], found[2:])
    assert batch.owners().tolist() == [0, 0, 0, 0] and batch.sequences().tolist() == [0, 0, 1, 1]
    assert batch.counts() == {"token": 4, "example": 1, "pair": 1, "chosen": 2, "step": 1}
