"""Bottleneck adapters: where they stand in each family, what they compute, and that they are saved as peft saves."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from generation_cases import SOURCES, model_of, ours, prompts_of, theirs
from tiny_families import batch_of, build, config_of
from torch import Tensor, nn

from tunewright.adaptations import Bottleneck, Chain, Frozen, sublayers
from tunewright.adaptations.bottleneck_layers import BesidePair, BesideSum, BottleneckLayer
from tunewright.core.errors import RecipeError
from tunewright.core.tensors import Batch, Decoder, trainable
from tunewright.models.forward import ModelForward
from tunewright.models.loading import find, load
from tunewright.models.saving import open_saved, save
from tunewright.models.toy import toy_bert

PLACEMENTS = ("houlsby", "pfeiffer", "parallel")
FAMILIES = ["bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "modernbert-mean-even", "gpt2", "llama",
            "mistral", "qwen2", "qwen3"]  # fmt: skip


def adapted(model: Any, placement: Any, spread: float = 0.3, **options: Any) -> Any:
    """With bottlenecks that change something."""
    model = Bottleneck(placement, reduction=2, **options).attach(model, 0)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "bottleneck_up" in name or ("bottleneck_down" in name and name.endswith("bias")):
            nn.init.normal_(parameter, 0.0, spread, generator=generator)
    return model


def layers(model: Any) -> list[Any]:
    return [m for m in model.modules() if isinstance(m, BottleneckLayer)]


def scored(model: Any, batch: Batch | None = None, **options: Any) -> Tensor:
    forward = ModelForward(model, **options)
    with forward.evaluating():
        return forward(batch or batch_of()).clone()


@pytest.mark.parametrize("case", [*FAMILIES, "t5", "t5-gated-untied", "mt5", "bart"])
def test_the_structure_says_what_the_family_says(case: str) -> None:
    """T5 alone has its parts in lists of their own, which the structure cannot tell to be one layer."""
    model = model_of(case) if case in SOURCES else build(config_of(case))
    family = sublayers.ends(model)
    assert family is not None
    if case not in SOURCES or case == "bart":
        assert sublayers.by_structure(model) == family
    depth, sides = len(family.feed_forwards), 2 if case in SOURCES else 1
    crossed = {"bart": 3}.get(case, 2 * (sides - 1))  # an encoder-decoder's decoder attends twice
    assert len(family.attentions) == depth + crossed
    assert all(sublayers.beside(model, end) for end in family.feed_forwards)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("case", [*FAMILIES, "albert", "deberta-v2", "bart"])
def test_identity_then_learning(case: str, placement: Any) -> None:
    """Families that are named, and two that the structure alone tells."""
    model = build(config_of(case))
    ends = sublayers.ends(model)
    assert ends is not None
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    plain = scored(model)
    ModelForward(model).release()
    model = Bottleneck(placement, reduction=2).attach(model, 0)
    assert torch.equal(scored(model), plain)
    assert len(layers(model)) == len(ends.feed_forwards) + (len(ends.attentions) if placement == "houlsby" else 0)
    learn(model, batch_of(step=0))
    assert not torch.allclose(scored(model), plain, atol=1e-3)
    base = {n.replace("base_model.model.", "").replace(".base_layer.", ".").replace(".original_module.", "."): p
            for n, p in model.named_parameters() if "bottleneck_" not in n and "modules_to_save" not in n}  # fmt: skip
    assert base.keys() == before.keys()
    assert all(torch.equal(p, before[name]) for name, p in base.items())


def learn(model: Any, batch: Batch, steps: int = 12) -> list[float]:
    forward = ModelForward(model.train())
    optimizer = torch.optim.AdamW(list(trainable(model).values()), lr=2e-2)
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = forward.losses(batch).mean()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    assert found[-1] < found[0]
    return found


def language_batch(model: Any) -> Batch:
    batch = batch_of(step=0)
    read = None
    if model.config.is_encoder_decoder:
        read = Decoder(batch.tokens.clone(), batch.lengths)
    every = torch.arange(len(batch.tokens))
    return replace(batch, targets=batch.tokens.roll(-1), positions=every, unit="token", decoder=read)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("case", ["t5", "mt5", "bart", "llama", "gpt2", "qwen3"])
def test_models_that_write(case: str, placement: Any) -> None:
    plain = model_of(case)
    batch = language_batch(plain)
    before = scored(plain, batch)
    model = Bottleneck(placement, reduction=2).attach(model_of(case), 0)
    assert torch.equal(scored(model, batch), before)
    learn(model, batch)
    ModelForward(model).release()
    model.eval()
    for prompt, found in zip(prompts_of(), ours(model, prompts_of(), max_new_tokens=6), strict=True):
        assert found.tokens == theirs(model.get_base_model(), prompt, max_new_tokens=6)


def by_hand(layer: Any, x: Tensor, scale: float) -> Tensor:
    down, up = layer.bottleneck_down["default"], layer.bottleneck_up["default"]
    return scale * (F.relu(x @ down.weight.T + down.bias) @ up.weight.T + up.bias)


def test_parallel_is_the_formula() -> None:
    """h + s f(x W_down) W_up, x what the feed-forward reads, h what it gives; before the sum and its norm in BERT."""
    torch.manual_seed(0)
    x = torch.randn(2, 5, 16)
    llama = adapted(build(config_of("llama")), "parallel").get_base_model().model.layers[0].mlp
    assert torch.allclose(llama(x), llama.base_layer(x) + by_hand(llama, x, 4.0), atol=1e-6)
    bert = adapted(build(config_of("bert")), "parallel", scale=0.5).get_base_model().bert.encoder.layer[1]
    inner = bert.output.base_layer
    assert type(bert.output) is BesideSum
    total = inner.dense(bert.intermediate(x)) + x + by_hand(bert.output, x, 0.5)
    assert torch.allclose(bert.feed_forward_chunk(x), inner.LayerNorm(total), atol=1e-6)
    bart = adapted(model_of("bart"), "parallel").get_base_model().model.encoder.layers[0]
    assert type(bart.fc2) is BesidePair
    hidden = bart.activation_fn(bart.fc1(x))
    assert torch.allclose(bart.fc2(hidden), bart.fc2.base_layer(hidden) + by_hand(bart.fc2, x, 4.0), atol=1e-6)


def test_after_is_the_formula_and_houlsby_adds_the_attention() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 16)
    model = adapted(build(config_of("bert")), "houlsby").get_base_model()
    layer = model.bert.encoder.layer[0]
    for part in (layer.attention.output, layer.output):
        read = x if part is layer.attention.output else torch.randn(2, 5, 24)
        y = part.dense.base_layer(read)
        assert torch.allclose(part.dense(read), y + by_hand(part.dense, y, 1.0), atol=1e-6)
    assert not isinstance(adapted(build(config_of("bert")), "pfeiffer").get_base_model()
                          .bert.encoder.layer[0].attention.output.dense, BottleneckLayer)  # fmt: skip


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_packed_as_padded_cut_or_whole_and_in_bfloat16(placement: Any) -> None:
    for case in ("bert", "gpt2", "modernbert-mean-even"):
        padded = scored(adapted(build(config_of(case), torch.float64), placement).double(), layout="padded")
        packed = scored(adapted(build(config_of(case), torch.float64), placement).double(), layout="packed")
        assert torch.allclose(packed, padded, atol=1e-6)
        plain, narrow = (
            scored(adapted(build(config_of(case)), placement), precision=p) for p in ("float32", "bfloat16")
        )
        assert torch.allclose(narrow, plain, atol=0.06 * float(plain.abs().max()))


def test_training_in_bfloat16_keeps_what_passes_narrow() -> None:
    model = adapted(build(config_of("bert")), "houlsby")
    seen = set[torch.dtype]()
    for layer in layers(model):
        layer.register_forward_hook(lambda module, args, out: seen.add(out.dtype))
    ModelForward(model.train(), precision="bfloat16")(batch_of(step=0)).sum().backward()
    assert seen == {torch.bfloat16}


def test_a_base_kept_in_bfloat16() -> None:
    """Without autocast: adapters compute in float32, and give what the base gives."""
    model = adapted(build(config_of("llama"), torch.bfloat16), "parallel")
    layer = layers(model)[0]
    assert layer.bottleneck_down["default"].weight.dtype == torch.float32
    assert layer(torch.randn(1, 3, 16).bfloat16()).dtype == torch.bfloat16


def test_its_dropout_is_keyed_by_example() -> None:
    model = adapted(build(config_of("bert", hidden_dropout_prob=0.0)), "pfeiffer", dropout=0.5).train()
    forward = ModelForward(model)
    batch = batch_of(step=3)
    assert torch.equal(forward(batch), forward(batch))
    assert not torch.allclose(forward(batch), forward(batch_of(step=4)), atol=1e-3)
    padded = adapted(build(config_of("bert", hidden_dropout_prob=0.0)), "pfeiffer", dropout=0.5).train()
    assert torch.allclose(ModelForward(padded, layout="padded")(batch), forward(batch), atol=1e-5)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_saved_as_peft_saves_and_opened_by_us_and_by_peft(placement: Any, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    _, tokenizer = toy_bert()
    build(config_of("bert", vocab_size=len(tokenizer))).base_model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    loaded = load(find(str(tmp_path / "base")), ("a", "b", "c"), 0)
    model = adapted(loaded.model, placement, activation="gelu", dropout=0.1)
    batch = batch_of(step=0)
    batch.tokens.clamp_(max=20)  # the toy tokenizer has few words
    learn(model, batch, 3)
    scores = scored(ModelForward(model).release(), batch)
    save(loaded, ModelForward(model).release(), tmp_path / "model", adaptation_name="bottleneck", extra={})
    said = json.loads((tmp_path / "model" / "adapter_config.json").read_text())
    assert said["peft_type"] == "TUNEWRIGHT_BOTTLENECK" and said["width"] == 8 and said["activation"] == "gelu"
    assert said["modules_to_save"] and not (tmp_path / "model" / "model.safetensors").exists()
    assert torch.allclose(scored(open_saved(tmp_path / "model").model, batch), scores, atol=1e-6)
    torch.manual_seed(99)
    base = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base", num_labels=3, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        theirs = PeftModel.from_pretrained(base, str(tmp_path / "model"))
    assert torch.allclose(scored(theirs, batch), scores, atol=1e-6)
    with theirs.disable_adapter():
        assert not torch.allclose(scored(theirs, batch), scores, atol=1e-2)
    assert [type(m) for m in theirs.unload().modules()] == [type(m) for m in base.modules()]


def test_unloading_leaves_no_hook_behind() -> None:
    model = adapted(model_of("bart"), "parallel")
    plain = model.unload()
    assert not any(m._forward_pre_hooks for m in plain.modules())


def test_in_a_chain_the_top_layers_alone_learn() -> None:
    model = Chain((Bottleneck(reduction=2), Frozen(top=1))).attach(toy_bert(3, seed=1)[0], 0)
    names = set(trainable(model))
    assert any("layer.1.output.dense.bottleneck_up" in n for n in names)
    assert not any("layer.0." in n for n in names)


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(RecipeError) as error:
        Bottleneck().attach(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 4)), 0)
    assert all(word in str(error.value) for word in ("can be told", "Sequential", "llama", "lora"))
