"""Weights in few bits: what they are, what passes through them, how they are read, saved, opened elsewhere and merged."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import norm
from tiny_families import CASES, batch_of, build, config_of, plain_scores
from torch import Tensor, nn

from tunewright.adaptations import Chain, Frozen, Full, Lora, Quantized
from tunewright.adaptations.quantized import dequantized
from tunewright.adaptations.stored import StoredLinear, WideEmbedding, WideLinear, is_quantized
from tunewright.adaptations.wrapping import unwrapped, wrap
from tunewright.core.errors import RecipeError
from tunewright.core.registry import build as component
from tunewright.core.registry import dump
from tunewright.core.tensors import parameters_of, trainable
from tunewright.fitting import attached
from tunewright.models import products
from tunewright.models.forward import ModelForward
from tunewright.models.loading import Loaded, find, load
from tunewright.models.saving import open_saved, save
from tunewright.models.toy import toy_bert, toy_llama

LABELS = ("negative", "neutral", "positive")
QLORA = Chain((Quantized("nf4"), Lora(rank=3, dropout=0.1)))
FAMILIES = ["bert", "roberta", "distilbert", "modernbert-mean-even", "gpt2", "llama"]
SHAPES = [(8, 64), (16, 16), (3, 34), (5, 100), (40, 192), (300, 96)]


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))) * 0.05


def nf4_levels() -> Tensor:
    """Dettmers et al. 2023, section 3: quantiles of N(0, 1), eight above 0 and seven below, 0 itself, scaled to [-1, 1]."""
    end = 0.9677083
    above = norm.ppf(torch.linspace(end, 0.5, 9)[:-1].double().numpy())
    below = -norm.ppf(torch.linspace(end, 0.5, 8)[:-1].double().numpy())
    levels = torch.tensor(sorted([*above, 0.0, *below]))
    return levels / levels.abs().max()


def fp4_levels() -> Tensor:
    """A sign, two bits of exponent and one of mantissa, scaled to [-1, 1]."""
    above = torch.tensor([0.0625, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0]) / 12
    return torch.cat([-above.flip(0), torch.zeros(1), above])


def slow(weight: Tensor, levels: Tensor, block: int) -> Tensor:
    """Each block's numbers at the nearest level times its largest magnitude, one block after another."""
    flat, out = weight.double().flatten(), []
    for numbers in flat.split(block):
        scale = numbers.abs().max()
        nearest = (numbers[:, None] / scale - levels.double()[None]).abs().argmin(1)
        out.append(levels.double()[nearest] * scale)
    return torch.cat(out).view_as(weight)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("block", [64, 128, 1024])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_four_bits_are_the_paper_s(kind: Any, block: int, shape: tuple[int, int]) -> None:
    weight = drawn(*shape)
    wanted = slow(weight, nf4_levels() if kind == "nf4" else fp4_levels(), block).float()
    scale = float(weight.abs().max())
    plain = StoredLinear(weight, None, kind, False, block)
    off = (plain.weight - wanted).abs() > 1e-5 * scale
    assert off.float().mean() < 0.01, "more than a tie here and there"
    twice = StoredLinear(weight, None, kind, True, block)
    assert torch.allclose(twice.weight, plain.weight, atol=0.02 * scale)
    assert torch.equal(twice.packed, plain.packed)
    for dtype in (torch.bfloat16, torch.float64):
        assert torch.allclose(plain.values(dtype).float(), plain.weight, rtol=2**-7, atol=0)
        assert plain.values(dtype).dtype == dtype


@pytest.mark.parametrize("shape", SHAPES)
def test_eight_bits_are_a_scale_for_each_row(shape: tuple[int, int]) -> None:
    weight = drawn(*shape).half().float()
    scale = weight.abs().amax(1, keepdim=True)
    layer = StoredLinear(weight, None, "int8", True, 64)
    assert torch.allclose(
        layer.weight, (weight * 127 / scale).round() * scale / 127, atol=float(scale.max()) / 127 * 1.01
    )
    assert ((layer.weight - weight).abs() <= 0.51 * scale / 127).all()


@pytest.mark.parametrize(
    ("kind", "double", "least", "most"),
    [("nf4", True, 0.5156, 0.518), ("nf4", False, 0.5625, 0.5626), ("int8", True, 1, 1.01)],
)
def test_bytes_a_weight(kind: Any, double: bool, least: float, most: float) -> None:
    layer = StoredLinear(drawn(512, 1024), None, kind, double, 64)
    held = sum(b.numel() * b.element_size() for name, b in layer.named_buffers() if name != "levels")
    assert least <= held / layer.stored <= most
    assert parameters_of(nn.Sequential(layer)) == layer.stored == 512 * 1024


@pytest.mark.parametrize("kind", ["nf4", "fp4", "int8"])
def test_the_product_and_its_gradient_are_those_of_the_dequantized_layer(kind: Any) -> None:
    bias = nn.Parameter(drawn(24))
    layer = StoredLinear(drawn(24, 48), bias, kind, True, 64)
    plain = nn.Linear(48, 24)
    plain.load_state_dict({"weight": layer.weight, "bias": bias.detach()})
    x, y = (drawn(2, 7, 48).requires_grad_() for _ in range(2))
    held: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: held.append(t.numel()) or t, lambda t: t):  # type: ignore[func-returns-value]
        out = layer(x)
    assert not any(n >= layer.stored for n in held), "a dequantized weight is kept for the backward pass"
    weights = drawn(2, 7, 24)
    (out * weights).sum().backward()
    (plain(y) * weights).sum().backward()
    assert torch.equal(out, plain(y))
    assert x.grad is not None and torch.allclose(x.grad, y.grad, atol=1e-6)
    assert bias.grad is not None and torch.allclose(bias.grad, plain.bias.grad, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = layer(x)
    assert narrow.dtype == torch.bfloat16 and torch.allclose(narrow.float(), out, atol=0.02)
    x.grad = None
    (narrow * weights).sum().backward()
    assert x.grad.dtype == torch.float32 and torch.allclose(x.grad, y.grad, atol=0.02)
    assert layer(x.double().detach()).dtype == torch.float64


def test_a_prediction_between_steps_changes_nothing() -> None:
    """bitsandbytes' own layers rearrange and coarsen their weights in a CPU's first prediction, and lose the gradient."""
    model = QLORA.attach(build(config_of("bert")), 0).train()
    forward = ModelForward(model, precision="bfloat16")

    def gradient() -> list[Tensor]:
        for p in model.parameters():
            p.grad = None
        F.cross_entropy(forward(batch_of(step=1)), batch_of().targets).backward()
        return [p.grad.clone() for p in trainable(model).values() if p.grad is not None]

    for name, p in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(p, std=0.1)
    before, held = gradient(), {n: b.clone() for n, b in model.named_buffers()}
    with forward.evaluating():
        forward(batch_of())
    assert all(torch.equal(b, held[n]) for n, b in model.named_buffers())
    assert all(torch.equal(a, b) for a, b in zip(gradient(), before, strict=True))
    assert len(before) == len(trainable(model))


@pytest.mark.parametrize("case", sorted(CASES))
def test_packed_and_padded_are_the_dequantized_model(case: str) -> None:
    model = Quantized().attach(build(config_of(case)), 0).eval()
    assert is_quantized(model)
    found = {}
    for layout in ("packed", "padded"):
        forward = ModelForward(model, layout=layout)  # type: ignore[arg-type]
        with forward.evaluating():
            found[layout] = forward(batch_of()).clone()
        forward.release()
    with torch.no_grad():
        plain = plain_scores(dequantized(model), batch_of())
    assert not is_quantized(model) and [type(m) for m in model.modules()] == [
        type(m) for m in build(config_of(case)).modules()
    ]
    assert all(torch.allclose(x, plain, atol=2e-5) for x in found.values())
    untouched = build(config_of(case))
    with torch.no_grad():
        assert not torch.allclose(plain_scores(untouched, batch_of()), plain, atol=1e-3)


@pytest.mark.skipif(not products.works(), reason="this PyTorch lacks oneDNN's fused linear layers")
def test_a_prediction_lays_small_models_out_and_dequantizes_large_ones_as_it_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Quantized().attach(build(config_of("llama")), 0).eval()
    forward = ModelForward(model, precision="bfloat16")
    said = []
    for spare, wanted in ((1 << 30, True), (0, False)):
        monkeypatch.setattr(products, "_SPARE", spare)
        forward._laid = None
        with forward.evaluating():
            assert forward._laid is not None
            assert any(isinstance(m, StoredLinear) for m in forward._laid.laid) is wanted
            said.append(forward(batch_of()).clone())
    assert torch.allclose(*said, atol=0.05)


# Reading, saving, opening


def base_of(
    case: str, place: Path, dtype: torch.dtype = torch.float32, adaptation: Any = QLORA, **changes: Any
) -> Loaded:
    """A base in a folder, without a head, loaded as a run loads it for the adaptation; "toy" has no folder."""
    stores = adaptation.parts[0] if isinstance(adaptation, Chain) else adaptation
    if case == "toy":
        return load(find("toy"), LABELS, 0, stores=stores)
    _, tokenizer = toy_bert()
    config = config_of(
        case, vocab_size=len(tokenizer), **({"pad_token_id": None} if case == "llama" else {}), **changes
    )
    build(config, dtype).base_model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return load(find(str(place)), LABELS, 0, stores=stores)


def batch(step: int | None = None) -> Any:
    made = batch_of((5, 9, 3, 5), step=step)
    made.tokens.clamp_(max=20)
    return made


def tuned(loaded: Loaded, adaptation: Any) -> tuple[Any, Tensor]:
    """A model after three steps, released, and its scores."""
    model = adaptation.attach(loaded.model, 0).train()
    forward = ModelForward(model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-2)
    for step in range(3):
        optimizer.zero_grad()
        F.cross_entropy(forward(batch(step)), batch().targets).backward()
        optimizer.step()
    with forward.evaluating():
        scores = forward(batch()).clone()
    return forward.release().eval(), scores


def scored(model: Any) -> Tensor:
    forward = ModelForward(model)
    with forward.evaluating():
        scores = forward(batch()).clone()
    forward.release()
    return scores


def written(
    case: str, place: Path, dtype: torch.dtype = torch.float32, adaptation: Any = QLORA, **changes: Any
) -> tuple[Path, Tensor, Any]:
    loaded = base_of(case, place / "base", dtype, adaptation, **changes)
    model, scores = tuned(loaded, adaptation)
    extra = {"precision": "float32", "adapted": dump(adaptation)}
    save(loaded, model, place / "model", adaptation_name="quantized", extra=extra)
    return place / "model", scores, model


@pytest.mark.parametrize("case", ["toy", *FAMILIES])
@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_saved_and_opened_again(case: str, kind: Any, tmp_path: Path) -> None:
    adaptation = Chain((Quantized(kind), Lora(rank=3)))
    folder, scores, model = written(case, tmp_path, adaptation=adaptation)
    assert torch.equal(scored(model), scores), "saving must not change what is predicted with next"
    again = open_saved(folder)
    assert is_quantized(again.model) is (case != "toy"), (
        "the toy has no place of its own: its base is saved dequantized"
    )
    assert torch.allclose(scored(again.model), scores, atol=1e-6)
    plain = open_saved(folder, quantized=False).model
    assert not is_quantized(plain)
    assert torch.allclose(scored(plain), scores, atol=1e-6) is (case == "toy")
    size = sum(p.stat().st_size for p in folder.glob("*.safetensors"))
    assert size < 0.5 * 4 * parameters_of(again.model)


@pytest.mark.parametrize("case", ["bert", "gpt2", "llama"])
def test_both_merges(case: str, tmp_path: Path) -> None:
    """Into the dequantized base: the same scores. Into the base as it is: a plain model, of other scores, but not far."""
    folder, scores, model = written(case, tmp_path, adaptation=Chain((Quantized(), Lora(rank=3))))
    fresh = build(config_of(case, vocab_size=40))
    names = {n for n, _ in fresh.named_parameters()}
    apart = {}
    for name, opened in (("dequantized", open_saved(folder)), ("plain", open_saved(folder, quantized=False))):
        whole = unwrapped(opened.model)
        assert {n for n, _ in whole.named_parameters()} == names and not is_quantized(whole)
        assert type(whole) is type(fresh) and {type(m) for m in whole.modules()} == {type(m) for m in fresh.modules()}
        with torch.no_grad():
            apart[name] = float((plain_scores(whole.eval(), batch()) - scores).abs().max())
    assert apart["dequantized"] < 1e-4 * float(scores.abs().max())
    assert apart["dequantized"] < 0.1 * apart["plain"]
    assert torch.allclose(scored(dequantized(model)), scores, atol=1e-5), "below the adapter, which stays"


@pytest.mark.parametrize(("case", "skip"), [("llama", ["score"]), ("bert", ["classifier", "bert.pooler.dense"])])
def test_plain_peft_on_a_base_quantized_by_transformers_gives_the_same_scores(
    case: str, skip: list[str], tmp_path: Path
) -> None:
    from bitsandbytes.nn import Linear4bit
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, BitsAndBytesConfig

    wide = {"hidden_size": 64, "intermediate_size": 128} | ({"head_dim": 16} if case == "llama" else {})
    folder, scores, _ = written(case, tmp_path, **wide)  # their CPU kernel takes no block of 64 across the end of a row
    how = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.float32,
        llm_int8_skip_modules=skip,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = AutoModelForSequenceClassification.from_pretrained(
            str(tmp_path / "base"), num_labels=3, dtype=torch.float32, quantization_config=how, device_map="cpu"
        )
        base.config.pad_token_id = AutoTokenizer.from_pretrained(folder).pad_token_id
        theirs = PeftModel.from_pretrained(base, str(folder)).eval()
    layers = [m for m in theirs.modules() if isinstance(m, Linear4bit)]
    assert layers
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False  # their rearranged weights have coarser scales
    with torch.no_grad():
        assert torch.allclose(plain_scores(theirs, batch()), scores, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("case", ["llama", "bert"])
def test_a_checkpoint_in_16_bits_is_read_as_it_is_and_counts_as_float32(
    case: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    """Tables stay in 16 bits, everything else is float32; the scores are those of the same weights read in float32."""
    narrow = base_of(case, tmp_path, dtype, Quantized()).model
    tables = [m for m in narrow.modules() if isinstance(m, nn.Embedding)]
    assert tables and all(type(m) is WideEmbedding and m.weight.dtype == dtype for m in tables)
    rest = {p.dtype for n, p in narrow.named_parameters() if not any(p is m.weight for m in tables)}
    assert rest == {torch.float32}
    wide = load(find(str(tmp_path)), LABELS, 0).model
    assert torch.equal(scored(narrow), scored(Quantized().attach(wide, 0)))


def test_a_vocabulary_in_16_bits(tmp_path: Path) -> None:
    model, tokenizer = toy_llama(3)
    model.bfloat16().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    made = batch_of((5, 9), seed=1)
    made = made.__class__(ids=made.ids, tokens=made.tokens, lengths=made.lengths, targets=made.tokens[[1, 2, 8]],
                          positions=torch.tensor([0, 1, 7]), unit="token")  # fmt: skip
    found: dict[str, list[Tensor]] = {"scores": [], "losses": []}
    for stores in (Quantized(), None):
        loaded = load(find(str(tmp_path)), (), 0, "causal_lm", stores=stores).model
        loaded = loaded if stores else Quantized().attach(loaded, 0)
        assert isinstance(loaded.lm_head, WideLinear) is (stores is not None)
        assert loaded.lm_head.weight is loaded.model.embed_tokens.weight, "they were tied"
        forward = ModelForward(loaded.eval())
        with torch.no_grad():
            found["scores"].append(forward(made))
            found["losses"].append(forward.losses(made))
        whole = dequantized(forward.release())
        assert {p.dtype for p in whole.parameters()} == {torch.float32}
        assert type(whole.lm_head) is nn.Linear and type(whole.model.embed_tokens) is nn.Embedding
        with torch.no_grad():
            rows = whole(input_ids=made.tokens[None, :5]).logits[0, :2]
        assert torch.allclose(rows, found["scores"][-1][:2], atol=1e-5)
    assert torch.equal(*found["scores"]) and torch.equal(*found["losses"])


def test_alone_it_is_saved_as_a_plain_model(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    folder, scores, _ = written("bert", tmp_path, adaptation=Chain((Quantized(), Frozen(embeddings=False))))
    again = open_saved(folder)
    assert not is_quantized(again.model) and torch.allclose(scored(again.model), scores, atol=1e-5)
    plain = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        assert torch.allclose(plain_scores(plain, batch()), scores, atol=1e-5)


# What is refused


def refused(act: Any, *words: str) -> None:
    with pytest.raises(RecipeError) as error:
        act()
    assert all(word in str(error.value) for word in words), str(error.value)


def test_what_cannot_be_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    refused(lambda: Chain((Quantized(), Full())).attach(build(config_of("bert")), 0), "cannot learn", "write lora")
    refused(lambda: Quantized().attach(nn.Sequential(nn.Linear(4, 4)), 0), "no linear layers in repeated blocks")
    refused(lambda: component("adaptation", {"quantized": "nf5"}), "quantized.kind", "'nf5'", "'nf4', 'fp4' or 'int8'")
    refused(lambda: component("adaptation", {"quantized": {"block": 65}}), "quantized.block")
    refused(lambda: component("adaptation", ["lora", "quantized"]), "write quantized, lora")
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    bert = build(config_of("bert"))
    refused(lambda: Quantized().attach(bert, 0), "bitsandbytes is not installed", "tunewright[quantized]")


def test_a_start_that_changes_the_base_is_refused() -> None:
    from peft import LoraConfig

    model = Quantized().attach(build(config_of("bert")), 0)
    config = LoraConfig(r=2, target_modules=["query"], init_lora_weights="pissa")
    refused(
        lambda: wrap(model, config, 0, "adaptation.lora.targets", ""), "adaptation.lora", "pissa", "after quantized"
    )


def test_nothing_to_learn_is_refused_with_what_to_add() -> None:
    from tunewright.recipe import families, parse

    families()
    recipe = parse({"task": "language_modeling", "data": {"train": "x.csv", "text": "text"}, "model": "toy",
                    "adaptation": {"quantized": "int8"}})  # fmt: skip
    assert recipe.stores == Quantized("int8")
    loaded = load(find("toy"), (), 0, "causal_lm", stores=recipe.stores)
    words = ("lets nothing learn", "LlamaForCausalLM", "[quantized, {lora")
    refused(lambda: attached(recipe, Quantized("int8"), loaded), *words)


def test_the_shorthand_is_written_out() -> None:
    spec = [{"quantized": "nf4"}, {"lora": {"rank": 16}}]
    chain = component("adaptation", spec)
    assert chain == Chain((Quantized("nf4"), Lora(rank=16)))
    assert dump(chain)[0] == {"quantized": {"kind": "nf4", "double": True, "block": 64}}
    assert component("adaptation", json.loads(json.dumps(dump(chain)))) == chain
