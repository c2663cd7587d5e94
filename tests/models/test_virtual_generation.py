"""Texts of models with prompts and prefixes: peft's own token by token where it can, else the model's full forwards."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from generation_cases import DECODERS, END, SOURCES, model_of, ours, prompts_of
from test_virtual_tokens import cases
from tiny_families import batch_of, gradient_error, padded, weighted

from tunewright.adaptations import PrefixTuning, PromptTuning, PTuning, PTuningV2
from tunewright.core.errors import DataError
from tunewright.core.tensors import Batch, Decoder
from tunewright.models.forward import ModelForward
from tunewright.models.generation import Prompt

P = 4
KINDS = [PromptTuning(tokens=P), PTuningV2(tokens=P)]
ALL = [*KINDS, PTuning(tokens=P), PrefixTuning(tokens=P, projection=8)]


def attached(case: str, adaptation: Any, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    """A wrapped model whose virtual tokens matter."""
    model = adaptation.attach(model_of(case, **changes), 3)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p += 0.4 * torch.randn(p.shape, generator=generator)
    return model.to(dtype).eval()


def theirs(model: Any, prompt: Prompt, beams: int = 1) -> tuple[int, ...]:
    """peft's own `generate`, without the prompt and the end."""
    tokens = torch.as_tensor(prompt.tokens)[None]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Position ids are not supported", category=UserWarning)
        out = model.generate(
            input_ids=tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=12, do_sample=False,
            num_beams=beams, eos_token_id=list(END), pad_token_id=0,
        )[0].tolist()  # fmt: skip
    new = out[1:] if model.get_base_model().config.is_encoder_decoder else out[len(prompt.tokens) :]
    return tuple(new[: new.index(END[0])] if END[0] in new else new)


def stepped(model: Any, prompt: Prompt) -> tuple[int, ...]:
    """Greedy by a full forward a step, through the forward that training has."""
    forward, found = ModelForward(model, layout="padded"), list[int]()
    read = torch.as_tensor(prompt.tokens)
    both = model.get_base_model().config.is_encoder_decoder
    start = model.get_base_model().config.decoder_start_token_id if both else None
    while len(found) < 12 and END[0] not in found:
        written = torch.tensor([*([start] if both else []), *found], dtype=torch.int64)
        decoder = Decoder(written, (len(written),)) if both else None
        tokens = read if both else torch.cat([read, written])
        last = torch.tensor([len(written if both else tokens) - 1])
        with torch.no_grad():
            found.append(
                int(forward(Batch(("a",), tokens, (len(tokens),), last, last, "token", decoder=decoder)).argmax())
            )
    return tuple(t for t in found if t != END[0])


@pytest.mark.parametrize("beams", [1, 3])
@cases([(case, one) for case in DECODERS for one in KINDS] + [("llama", one) for one in ALL[2:]])
def test_a_decoders_texts_are_pefts(case: str, adaptation: Any, beams: int) -> None:
    model, prompts = attached(case, adaptation), prompts_of()
    expected = [theirs(model, prompt, beams) for prompt in prompts]
    options: dict[str, Any] = {"max_new_tokens": 12} | ({"method": "beam", "beams": beams} if beams > 1 else {})
    for budget in (32768, 60):
        assert [text.tokens for text in ours(model, prompts, batch_tokens=budget, **options)] == expected
    assert len({*expected}) > 1
    assert expected != [theirs_plain(model, prompt, beams) for prompt in prompts]


def theirs_plain(model: Any, prompt: Prompt, beams: int) -> tuple[int, ...]:
    (text,) = ours(model.get_base_model(), [prompt], max_new_tokens=12,
                   **({"method": "beam", "beams": beams} if beams > 1 else {}))  # fmt: skip
    return text.tokens


@cases([(case, one) for case in [*DECODERS, *SOURCES] for one in KINDS])
def test_greedy_is_the_full_forward_of_each_step(case: str, adaptation: Any) -> None:
    model, prompts = attached(case, adaptation), prompts_of((5, 1, 9))
    found = [text.tokens for text in ours(model, prompts, max_new_tokens=12)]
    assert found == [stepped(model, prompt) for prompt in prompts]


@pytest.mark.parametrize("beams", [1, 3])
@cases([(case, one) for case in SOURCES for one in ALL])
def test_an_encoder_decoders_texts_are_pefts(case: str, adaptation: Any, beams: int) -> None:
    model, prompts = attached(case, adaptation), prompts_of()
    expected = [theirs(model, prompt, beams) for prompt in prompts]
    options: dict[str, Any] = {"max_new_tokens": 12} | ({"method": "beam", "beams": beams} if beams > 1 else {})
    for budget in (32768, 60):
        assert [text.tokens for text in ours(model, prompts, batch_tokens=budget, **options)] == expected
    assert len({*expected}) > 1


@cases([(case, one) for case in SOURCES for one in ALL])
def test_an_encoder_decoders_losses_and_gradients_are_pefts(case: str, adaptation: Any) -> None:
    model, plain = (attached(case, adaptation, torch.float64) for _ in range(2))
    source, target = batch_of((5, 1, 9)), batch_of((4, 7, 2), seed=1)
    places = torch.arange(len(target.tokens))
    batch = replace(source, unit="token", positions=places, targets=target.tokens,
                    decoder=Decoder(target.tokens, target.lengths))  # fmt: skip
    scores = ModelForward(model)(batch)
    tokens, mask = padded(source, 0)
    read, asked = padded(target, 0)
    expected = plain(
        input_ids=tokens, attention_mask=mask, decoder_input_ids=read, decoder_attention_mask=asked
    ).logits[asked.bool()]
    torch.testing.assert_close(scores, expected, atol=1e-9, rtol=1e-9)
    weighted(scores).backward()
    weighted(expected).backward()
    assert gradient_error(model, plain) < 1e-6


@pytest.mark.parametrize("case", ["llama", "t5", "bart"])
@pytest.mark.parametrize("adaptation", KINDS, ids=["prompt", "prefix"])
@pytest.mark.parametrize("options", [{"method": "beam", "beams": 3}, {"method": "sampling"}], ids=str)
def test_order_and_company_change_nothing(case: str, adaptation: Any, options: dict[str, Any]) -> None:
    model, prompts = attached(case, adaptation), prompts_of((4, 8, 2, 6, 3, 11))
    options = {**options, "max_new_tokens": 10, "repetition_penalty": 1.2}
    whole = {text.id: text.tokens for text in ours(model, prompts, **options)}
    for budget, some in [(60, prompts[::-1]), (1, prompts[:2]), (32768, prompts[3:4])]:
        found = ours(model, some, batch_tokens=budget, **options)
        assert {text.id: text.tokens for text in found} == {p.id: whole[p.id] for p in some}


@pytest.mark.parametrize("adaptation", KINDS, ids=["prompt", "prefix"])
def test_the_context_ends_where_the_virtual_tokens_leave_off(adaptation: Any) -> None:
    model = attached("gpt2", adaptation)  # 40 places
    (text,) = ours(model, prompts_of((30,)), max_new_tokens=20, end=())
    assert len(text.tokens) == 40 - P - 30
    with pytest.raises(DataError, match="36 tokens"):
        ours(model, prompts_of((36,)), max_new_tokens=2)
    bart = attached("bart", adaptation)  # 64 places on each side
    (text,) = ours(bart, prompts_of((5,)), max_new_tokens=99, end=())
    assert len(text.tokens) == 63 - (P if isinstance(adaptation, PTuningV2) else 0)


@cases([("llama", one) for one in KINDS])
def test_bfloat16_writes_as_well(case: str, adaptation: Any) -> None:
    model, prompts = attached(case, adaptation), prompts_of()
    near = ours(model, prompts, precision="bfloat16", max_new_tokens=1)
    far = ours(model, prompts, max_new_tokens=1)
    assert sum(a.tokens == b.tokens for a, b in zip(near, far, strict=True)) >= len(prompts) - 2
