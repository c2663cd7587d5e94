"""Prompts and prefixes against peft's own forward: scores, gradients, places; packed and padded; saved and opened."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_families import batch_of, build, config_of, gradient_error, padded, weighted
from torch import Tensor

from tunewright.adaptations import PrefixTuning, PromptTuning, PTuning, PTuningV2
from tunewright.core.errors import RecipeError
from tunewright.core.tensors import Batch
from tunewright.models import attention, blocks, places
from tunewright.models.forward import ModelForward
from tunewright.models.saving import open_saved, save

P = 4
PROMPTS = [PromptTuning(tokens=P), PTuning(tokens=P), PTuning(tokens=P, encoder="lstm", hidden=8)]
PREFIXES = [PTuningV2(tokens=P), PrefixTuning(tokens=P, projection=8)]
ENCODERS = ["bert", "roberta", "xlm-roberta", "electra", "distilbert", "modernbert-cls-odd", "modernbert-mean-even"]
DECODERS = ["gpt2", "llama", "mistral", "qwen2", "qwen2-sliding", "qwen3"]
UNKNOWN_TO_PEFT = ("distilbert", "modernbert-cls-odd", "modernbert-mean-even")
"""peft has no prefixes for these."""
BOTH = [(case, one) for case in [*ENCODERS, *DECODERS] for one in PROMPTS[:1] + PREFIXES[:1]]
BOTH += [("bert", one) for one in PROMPTS[1:] + PREFIXES[1:]] + [("llama", one) for one in PROMPTS[1:] + PREFIXES[1:]]
IN_PEFT = [(c, one) for c, one in BOTH if isinstance(one, (PromptTuning, PTuning)) or c not in UNKNOWN_TO_PEFT]
LENGTHS = (5, 1, 9, 5, 17, 2)


def name(case: Any) -> str:
    return case if isinstance(case, str) else type(case).__name__


def cases(chosen: list[tuple[str, Any]]) -> Any:
    return pytest.mark.parametrize(("case", "adaptation"), chosen, ids=name)


def attached(case: str, adaptation: Any, dtype: torch.dtype = torch.float64, auto: str = "", **changes: Any) -> Any:
    """A wrapped model whose virtual tokens, and head, are far from where they begin."""
    import transformers

    config = config_of(case, **changes)
    if auto:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            base = getattr(transformers, f"AutoModelFor{auto}").from_config(config, attn_implementation="sdpa")
    else:
        base = build(config)
    model = adaptation.attach(base, 3)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p += 0.3 * torch.randn(p.shape, generator=generator)
    return model.to(dtype).eval()


def theirs(model: Any, batch: Batch, each: bool) -> Tensor:
    """peft's own scores (B, C); `each`: one row at a time, as a decoder's head finds the last place of embeddings."""
    if each:
        rows = batch.tokens.split(list(batch.lengths))
        return torch.cat([model(input_ids=r[None], attention_mask=torch.ones_like(r[None])).logits for r in rows])
    tokens, mask = padded(batch, model.get_base_model().config.pad_token_id or 0)
    more = {} if batch.types is None else {"token_type_ids": padded(batch, 0, batch.types)[0]}
    scores: Tensor = model(input_ids=tokens, attention_mask=mask, **more).logits
    return scores


@pytest.mark.parametrize("layout", ["packed", "padded"])
@cases(IN_PEFT)
def test_scores_and_gradients_are_pefts(case: str, adaptation: Any, layout: Any) -> None:
    model = attached(case, adaptation)
    plain = copy.deepcopy(model)
    batch = batch_of(LENGTHS, types=case in ("bert", "electra"))
    scores = ModelForward(model, layout=layout)(batch)
    expected = theirs(plain, batch, case in DECODERS)
    torch.testing.assert_close(scores, expected, atol=1e-9, rtol=1e-9)
    weighted(scores).backward()
    weighted(expected).backward()
    assert gradient_error(model, plain) < 1e-6
    assert any("prompt_encoder" in n and p.grad is not None and p.grad.any() for n, p in model.named_parameters())


@cases([(case, one) for case in UNKNOWN_TO_PEFT for one in PREFIXES])
def test_prefixes_that_peft_has_not_are_the_same_packed_and_padded(case: str, adaptation: Any) -> None:
    model = attached(case, adaptation)
    other, batch = copy.deepcopy(model), batch_of(LENGTHS)
    packed, laid = ModelForward(model)(batch), ModelForward(other, layout="padded")(batch)
    torch.testing.assert_close(packed, laid, atol=1e-9, rtol=1e-9)
    weighted(packed).backward()
    weighted(laid).backward()
    assert gradient_error(model, other) < 1e-6
    one = ModelForward(copy.deepcopy(model))(batch_of(LENGTHS[:1]))
    assert not torch.allclose(ModelForward(build(config_of(case)).double())(batch_of(LENGTHS[:1])), one)


def test_a_prefix_in_distilbert_is_attention_by_hand() -> None:
    """One layer, computed from its weights."""
    model = attached("distilbert", PTuningV2(tokens=P), n_layers=1)
    inner, batch = model.get_base_model(), batch_of((6,))
    body = inner.distilbert
    layer = body.transformer.layer[0]
    x = body.embeddings(batch.tokens[None], position_ids=torch.arange(P, P + 6)[None])
    learnt = model.prompt_encoder["default"].embedding.weight.view(P, 2, 2, 8)  # P, keys and values, heads, width

    def heads(states: Tensor) -> Tensor:
        return states.view(6, 2, 8).transpose(0, 1)

    q, k, v = (heads(f(x)[0]) for f in (layer.attention.q_lin, layer.attention.k_lin, layer.attention.v_lin))
    k, v = (torch.cat([learnt[:, i].transpose(0, 1), own], 1) for i, own in enumerate((k, v)))
    seen = ((q @ k.transpose(1, 2)) * 8**-0.5).softmax(-1) @ v
    y = layer.sa_layer_norm(layer.attention.out_lin(seen.transpose(0, 1).reshape(1, 6, 16)) + x)
    y = layer.output_layer_norm(layer.ffn(y) + y)[:, 0]
    expected = inner.classifier(inner.pre_classifier(y).relu())
    torch.testing.assert_close(ModelForward(model)(batch), expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("way", ["blocks", "flash", "public", "bfloat16"])
@pytest.mark.parametrize("lengths", [LENGTHS, (140, 3, 150)], ids=["short", "long"])
@cases([(case, one) for case in ("bert", "llama", "gpt2") for one in (PTuningV2(tokens=P), PromptTuning(tokens=P))])
def test_every_kernel_gives_the_same(
    case: str, adaptation: Any, lengths: tuple[int, ...], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"n_positions" if case == "gpt2" else "max_position_embeddings": 200}
    truth = attached(case, adaptation, **changes)
    batch = batch_of(lengths)
    wanted = ModelForward(truth, layout="padded")(batch)
    weighted(wanted).backward()
    if way in ("flash", "public"):
        monkeypatch.setattr(blocks, "take", lambda *args: False)
    if way == "public":
        monkeypatch.setattr(attention, "flash_works", lambda: False)
    model = attached(case, adaptation, torch.float32, **changes)
    scores = ModelForward(model, precision="bfloat16" if way == "bfloat16" else "float32")(batch)
    weighted(scores).backward()
    near = {"atol": 0.2, "rtol": 0.1} if way == "bfloat16" else {"atol": 2e-4, "rtol": 1e-4}
    torch.testing.assert_close(scores.double(), wanted, **near)
    assert gradient_error(model.double(), truth) < (0.3 if way == "bfloat16" else 2e-3)


def test_what_fills_up_a_block_leaves_nothing_in_the_prefix() -> None:
    """One token in a block of 32: the places beside it must not be in the gradients of keys that all see."""
    truth, model = (attached("bert", PTuningV2(tokens=P), kind) for kind in (torch.float64, torch.float32))
    batch = batch_of((1,))
    weighted(ModelForward(truth, layout="padded")(batch)).backward()
    weighted(ModelForward(model)(batch)).backward()
    assert gradient_error(model.double(), truth) < 1e-3


@pytest.mark.parametrize("layout", ["packed", "padded"])
@cases([("gpt2", one) for one in PROMPTS[:1] + PREFIXES[:1]] + [("bert", one) for one in PROMPTS[:1] + PREFIXES[:1]])
def test_what_is_dropped_depends_on_the_example_alone(case: str, adaptation: Any, layout: Any) -> None:
    changes = {"resid_pdrop": 0.3, "embd_pdrop": 0.3} if case == "gpt2" else {"hidden_dropout_prob": 0.3}
    model = attached(case, adaptation, **changes).train()
    batch = batch_of(LENGTHS, step=5)
    whole = ModelForward(model)(batch)
    assert not torch.allclose(ModelForward(model)(replace(batch, keys=None)), whole)
    torch.testing.assert_close(ModelForward(model, layout=layout)(batch), whole, atol=1e-9, rtol=1e-9)


def tokens_of(batch: Batch) -> Batch:
    """Every second token is supervised."""
    places = torch.arange(0, len(batch.tokens), 2)
    return replace(batch, unit="token", positions=places, targets=batch.tokens[places] % 3)


@pytest.mark.parametrize("layout", ["packed", "padded"])
@cases([(c, one) for c in ("bert", "roberta", "electra", "distilbert", "llama") for one in PROMPTS[:1] + PREFIXES[:1]])
def test_tags_are_those_of_their_own_tokens(case: str, adaptation: Any, layout: Any) -> None:
    model = attached(case, adaptation, auto="TokenClassification")
    batch, ours = tokens_of(batch_of(LENGTHS)), copy.deepcopy(model)
    scores = ModelForward(ours, layout=layout)(batch)
    if case in UNKNOWN_TO_PEFT and isinstance(adaptation, PTuningV2):
        assert scores.shape == (len(batch.positions), 3)
        return
    tokens, mask = padded(batch, model.get_base_model().config.pad_token_id or 0)
    whole = model(input_ids=tokens, attention_mask=mask).logits
    expected = whole[:, -tokens.shape[1] :][mask.bool()][batch.positions]  # behind the virtual ones
    torch.testing.assert_close(scores, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize(
    ("case", "auto"), [("llama", "CausalLM"), ("gpt2", "CausalLM"), ("mistral", "CausalLM"), ("bert", "MaskedLM")]
)
def test_losses_are_the_plain_models_with_the_tokens_before(case: str, auto: str, layout: Any) -> None:
    """A prompt that is tokens 7, 11, 13, 17 costs what these tokens cost, unit by unit."""
    before = torch.tensor([7, 11, 13, 17])
    model = attached(case, PromptTuning(tokens=P), auto=auto)
    inner = model.get_base_model()
    with torch.no_grad():
        model.prompt_encoder["default"].embedding.weight.copy_(inner.get_input_embeddings().weight[before])
    batch = tokens_of(batch_of(LENGTHS))
    rows = [torch.cat([before, row]) for row in batch.tokens.split(list(batch.lengths))]
    moved = replace(batch, tokens=torch.cat(rows), lengths=tuple(map(len, rows)),
                    positions=batch.positions + P * (batch.sequences() + 1))  # fmt: skip
    expected = ModelForward(copy.deepcopy(inner)).losses(moved)
    torch.testing.assert_close(ModelForward(model, layout=layout).losses(batch), expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("layout", ["packed", "padded"])
@cases([(case, one) for case in DECODERS for one in PROMPTS[:1] + PREFIXES])
def test_next_tokens_are_pefts(case: str, adaptation: Any, layout: Any) -> None:
    model = attached(case, adaptation, auto="CausalLM")
    plain, batch = copy.deepcopy(model), tokens_of(batch_of(LENGTHS))
    scores = ModelForward(model, layout=layout)(batch)
    tokens, mask = padded(batch, 0)
    expected = plain(input_ids=tokens, attention_mask=mask).logits[:, -tokens.shape[1] :][mask.bool()][batch.positions]
    torch.testing.assert_close(scores, expected, atol=1e-9, rtol=1e-9)
    weighted(scores).backward()
    weighted(expected).backward()
    assert gradient_error(model, plain) < 1e-6


def test_a_prompt_that_all_sequences_begin_with_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = attached("llama", PromptTuning(tokens=18), torch.float32, auto="CausalLM")
    batch = tokens_of(batch_of(LENGTHS))
    read = list[int]()
    handle = model.get_base_model().model.layers[0].register_forward_hook(lambda m, a, out: read.append(a[0].shape[1]))
    losses = ModelForward(model).losses(batch)
    losses.sum().backward()
    handle.remove()
    assert read == [sum(LENGTHS) + 18]
    grad = model.prompt_encoder["default"].embedding.weight.grad.clone()
    model.zero_grad()
    forward = ModelForward(model)
    forward.sharing = False
    whole = forward.losses(batch)
    whole.sum().backward()
    torch.testing.assert_close(losses, whole, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(model.prompt_encoder["default"].embedding.weight.grad, grad, atol=1e-4, rtol=1e-3)


def test_a_prefix_goes_with_prompts_that_are_read_once() -> None:
    model = attached("llama", PTuningV2(tokens=P), torch.float32, auto="CausalLM")
    begin = batch_of((20,)).tokens
    rows = [torch.cat([begin, row]) for row in batch_of(LENGTHS, seed=3).tokens.split(list(LENGTHS))]
    batch = tokens_of(replace(batch_of(LENGTHS), tokens=torch.cat(rows), lengths=tuple(map(len, rows))))
    found = []
    for sharing in (True, False):
        forward = ModelForward(model)
        forward.sharing = sharing
        assert (forward._sharing(batch) is not None) == sharing
        model.zero_grad()
        losses = forward.losses(batch)
        losses.sum().backward()
        found.append((losses.detach(), model.prompt_encoder["default"].embedding.weight.grad.clone()))
    torch.testing.assert_close(*(losses for losses, _ in found), atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(*(grad for _, grad in found), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("layout", ["packed", "padded"])
@cases([(case, one) for case in ("bert", "llama") for one in PROMPTS[:1] + PREFIXES[:1]])
def test_a_nudge_moves_the_texts_own_tokens(case: str, adaptation: Any, layout: Any) -> None:
    """Its slope along a direction is the scores' difference, and the virtual tokens stay where they are."""
    forward = ModelForward(attached(case, adaptation), layout=layout)
    batch = batch_of(LENGTHS)
    zero = forward.nudge_like(batch).requires_grad_()
    assert zero.shape[0] == sum(LENGTHS)
    weighted(forward(batch, zero)).backward()
    assert zero.grad is not None and zero.grad.abs().amin(1).max() > 0
    step = 1e-4 * torch.randn(zero.shape, generator=torch.Generator().manual_seed(2), dtype=zero.dtype)
    with torch.no_grad():
        apart = weighted(forward(batch, step)) - weighted(forward(batch, -step))
    torch.testing.assert_close(apart / 2, (zero.grad * step).sum(), atol=1e-6, rtol=1e-2)


@pytest.mark.parametrize("layout", ["packed", "padded"])
@cases([("bert", one) for one in PROMPTS[:1] + PREFIXES[:1]])
def test_features_are_of_the_texts_own_tokens(case: str, adaptation: Any, layout: Any) -> None:
    forward = ModelForward(attached(case, adaptation), layout=layout)
    features = forward.features(batch_of(LENGTHS))
    assert features.shape == (len(LENGTHS), 16)
    other = ModelForward(copy.deepcopy(forward.model), layout="packed").features(batch_of(LENGTHS))
    torch.testing.assert_close(features, other, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("layout", ["packed", "padded"])
@cases([("bert", one) for one in (*PROMPTS, *PREFIXES)])
def test_a_prediction_says_what_training_said(case: str, adaptation: Any, layout: Any) -> None:
    forward = ModelForward(attached(case, adaptation, torch.float32), layout=layout)
    batch = batch_of(LENGTHS)
    wanted = forward(batch)
    with forward.evaluating():
        torch.testing.assert_close(forward(batch), wanted, atol=1e-5, rtol=1e-5)


SAVED = [
    (c, one) for c in ("toy", "bert", "distilbert", "gpt2", "llama") for one in (PROMPTS[0], PROMPTS[2], *PREFIXES)
]


@cases(SAVED)
def test_it_opens_in_peft_with_the_same_scores(case: str, adaptation: Any, tmp_path: Path) -> None:
    from peft import PeftConfig, PeftModel
    from test_saving import base_of, batch, trained
    from transformers import AutoModelForSequenceClassification

    loaded = base_of(case, tmp_path / "base")
    model, scores = trained(loaded, adaptation)
    folder = tmp_path / "model"
    save(loaded, model, folder, adaptation_name="virtual", extra={"precision": "float32"})
    again = ModelForward(open_saved(folder).model, fixed=True)
    torch.testing.assert_close(again(batch()), scores, atol=1e-5, rtol=1e-5)
    place = PeftConfig.from_pretrained(str(folder)).base_model_name_or_path
    assert place == (str(folder / "base") if case == "toy" else loaded.found.place)
    torch.manual_seed(99)  # whatever the base lacks must come from the adapter
    base = AutoModelForSequenceClassification.from_pretrained(
        place, num_labels=3, dtype=torch.float32, ignore_mismatched_sizes=True
    )
    base.config.pad_token_id = loaded.tokenizer.pad_token_id
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        opened = PeftModel.from_pretrained(base, str(folder)).eval()
    if case == "distilbert" and adaptation in PREFIXES:
        with pytest.raises(ValueError, match="past key values"):
            theirs(opened, batch(), False)
        return
    with torch.no_grad():
        torch.testing.assert_close(theirs(opened, batch(), case in DECODERS), scores, atol=1e-5, rtol=1e-5)


def test_an_adapter_of_plain_peft_opens_here(tmp_path: Path) -> None:
    from peft import PeftModel, PrefixTuningConfig, PromptTuningConfig, get_peft_model

    for kind in (PrefixTuningConfig, PromptTuningConfig):
        base = build(config_of("bert"))
        with torch.random.fork_rng():
            torch.manual_seed(1)
            config = kind(num_virtual_tokens=3, task_type="SEQ_CLS")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                made = get_peft_model(copy.deepcopy(base), config).eval()
                made.save_pretrained(tmp_path / kind.__name__)
                opened = PeftModel.from_pretrained(base, str(tmp_path / kind.__name__))
        batch = batch_of(LENGTHS)
        with torch.no_grad():
            torch.testing.assert_close(ModelForward(opened)(batch), theirs(made, batch, False), atol=1e-5, rtol=1e-5)


def test_a_prompt_begins_from_its_text() -> None:
    def tokenizer(text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens
        return {"input_ids": [len(word) for word in text.split()]}

    model = build(config_of("bert"))
    table = model.get_input_embeddings().weight.detach().clone()
    prompt = PromptTuning(tokens=5, start="text", text="a bbb cc").prepare(tokenizer)
    assert torch.equal(prompt.attach(model, 0).prompt_encoder["default"].embedding.weight, table[[1, 3, 2, 1, 3]])


def test_random_prompts_are_drawn_like_the_vocabulary() -> None:
    model = build(config_of("bert"))
    table = model.get_input_embeddings().weight.detach().clone()
    drawn = PromptTuning(tokens=30, start="random").attach(model, 0).prompt_encoder["default"].embedding.weight
    assert abs(float(drawn.detach().std() / table.std()) - 1) < 0.2
    rows = PromptTuning(tokens=30).attach(build(config_of("bert")), 0).prompt_encoder["default"].embedding.weight
    assert all((table == row).all(1).any() for row in rows)


def test_the_context_has_fewer_places() -> None:
    def room(case: str, taken: int) -> int:
        return places.room(build(config_of(case)), 40, taken)

    assert [room(case, 20) for case in ("bert", "llama", "gpt2", "roberta", "t5")] == [20, 20, 20, 18, 40]
    assert room("bert", 0) == 40
    with pytest.raises(RecipeError, match="40 places in all"):
        room("bert", 33)


def test_a_prediction_in_bfloat16_reads_the_prompt_that_is_saved() -> None:
    """The network that makes it is no part of what a prediction lays out anew in bfloat16."""
    model = attached("bert", PTuning(tokens=P), torch.float32)
    forward, inside = ModelForward(model, precision="bfloat16"), list[Tensor]()
    handle = model.get_base_model().bert.embeddings.register_forward_pre_hook(
        lambda m, args, named: inside.append(named["inputs_embeds"][0, :P].clone()), with_kwargs=True
    )
    with forward.evaluating():
        forward(batch_of(LENGTHS))
    handle.remove()
    assert torch.equal(inside[0], model.get_prompt_embedding_to_save("default"))
