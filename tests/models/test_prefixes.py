"""Prompts computed once: the same losses and gradients as every sequence computed whole, from fewer tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_families import VOCABULARY, config_of
from torch import Tensor

from tunewright.core.tensors import Batch
from tunewright.models import attention, prefixes
from tunewright.models.forward import ModelForward
from tunewright.models.prefixes import shared

PROMPT, OTHER = list(range(3, 25)), list(range(30, 49))


def batch_of(sequences: list[list[int]], keys: list[int] | None = None, sides: int = 1) -> Batch:
    tokens = torch.tensor([t for s in sequences for t in s])
    lengths = tuple(map(len, sequences))
    last = torch.tensor(lengths).cumsum(0) - 1
    places = torch.tensor([p for p in range(len(tokens)) if p not in set(last.tolist())])
    return Batch(
        tuple(f"e{i}" for i in range(len(sequences) // sides)), tokens, lengths, tokens[places + 1], places, "token",
        None if keys is None else torch.tensor(keys), sides=sides,
    )  # fmt: skip


def build(case: str, **changes: Any) -> Any:
    import transformers

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.AutoModelForCausalLM.from_config(config_of(case, **changes)).float().eval()


def measured(model: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor], list[int]]:
    """Losses, gradients, and how many tokens the model read."""
    read = list[int]()
    handle = model.get_input_embeddings().register_forward_hook(lambda m, args, out: read.append(args[0].numel()))
    model.zero_grad()
    losses = ModelForward(model).losses(batch)
    (losses * torch.linspace(0.5, 2, len(losses))).sum().backward()
    handle.remove()
    return losses.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}, read


def compare(model: Any, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    losses, grads, read = measured(model, batch)
    with monkeypatch.context() as patched:
        patched.setattr("tunewright.models.forward.shared", lambda *args: None)
        wanted, right, whole = measured(model, batch)
    torch.testing.assert_close(losses, wanted, atol=2e-5, rtol=1e-5)
    for name, grad in right.items():
        torch.testing.assert_close(grads[name], grad, atol=1e-4, rtol=1e-3, msg=name)
    return read[0], whole[0]


MIXED = [[*PROMPT, 5, 6, 7], [*OTHER, 1, 2], [*PROMPT, 9], [4, 4, 4], [*PROMPT, 5, 6, 8, 9, 10], [*OTHER, 2]]


@pytest.mark.parametrize("case", ["llama", "qwen2", "qwen3", "gpt2"])
def test_losses_and_gradients_are_those_of_whole_sequences(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0} if case == "gpt2" else {}
    read, whole = compare(build(case, **changes), batch_of(MIXED), monkeypatch)
    assert (read, whole) == (sum(map(len, MIXED)) - 2 * len(PROMPT) - len(OTHER), sum(map(len, MIXED)))


def test_with_dropout_only_the_sides_of_one_example_share(monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = [[*PROMPT, 5, 6], [*PROMPT, 7], [*PROMPT, 8], [*PROMPT, 9, 9]]
    model = build("gpt2", resid_pdrop=0.3, embd_pdrop=0.3).train()
    read, whole = compare(model, batch_of(sequences, [1, 2], sides=2), monkeypatch)
    assert whole - read == 2 * len(PROMPT)


def test_a_sliding_window_reads_every_sequence_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    read, whole = compare(build("mistral"), batch_of(MIXED), monkeypatch)
    assert read == whole


def test_bfloat16_is_as_near_to_the_truth_as_whole_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = build("llama"), batch_of(MIXED)
    truth = ModelForward(build("llama").double()).losses(batch)
    ours = ModelForward(model, precision="bfloat16").losses(batch)
    monkeypatch.setattr("tunewright.models.forward.shared", lambda *args: None)
    plain = ModelForward(model, precision="bfloat16").losses(batch)
    assert (ours - truth).abs().mean() < 1.5 * (plain - truth).abs().mean() + 1e-3


def test_equal_sequences_keep_a_token_of_their_own() -> None:
    found = shared(torch.tensor([*PROMPT, *PROMPT]), [len(PROMPT)] * 2)
    assert found is not None and found.segments == (len(PROMPT) - 1, 1, 1)


def test_too_little_to_spare_is_not_shared() -> None:
    short = PROMPT[: prefixes.LEAST - 1]
    assert shared(torch.tensor([*short, 1, *short, 2]), [len(short) + 1] * 2) is None
    assert shared(torch.tensor([*PROMPT, *PROMPT, 1, *([7] * 999)]), [len(PROMPT), len(PROMPT) + 1, 999]) is None


@given(
    st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 3), min_size=1, max_size=6)), min_size=2, max_size=9)
)
@settings(max_examples=60, deadline=None)
def test_every_token_is_read_and_stands_where_it_did(made: list[tuple[int, list[int]]]) -> None:
    heads = [[], PROMPT, OTHER, PROMPT[:18]]
    sequences = [heads[i] + tail for i, tail in made]
    tokens, lengths = torch.tensor([t for s in sequences for t in s]), [len(s) for s in sequences]
    found = shared(tokens, lengths)
    if found is None:
        return
    places = torch.cat([torch.arange(n) for n in lengths])
    assert torch.equal(tokens[found.take][found.of], tokens)
    assert torch.equal(found.places[found.of], places)
    assert sum(found.segments) == len(found.take) < len(tokens)
    ends = torch.tensor(found.segments).cumsum(0)
    for cross in found.crosses:
        assert {cross.asking, cross.seen} <= {0, *ends.tolist()} and found.places[cross.asking] == cross.sees


def test_the_kernel_is_tried_with_shared_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyTorch's private kernel gives other sums than we take them for, it is not used."""
    right = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu

    def wrong(*args: Any, **named: Any) -> Any:
        out, sums = right(*args, **named)
        return out, sums + 0.1

    attention.flash_works.cache_clear()
    monkeypatch.setattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", wrong)
    assert not attention.flash_works()
    attention.flash_works.cache_clear()
    monkeypatch.undo()
    assert attention.flash_works()


VOCABULARY_IS_ENOUGH = max(*PROMPT, *OTHER) < VOCABULARY
assert VOCABULARY_IS_ENOUGH
