"""What every registered adaptation must do, on the plain toy, and on a small BERT and a small Llama behind the packed
forward: a classifier with a new head, and a causal language model.

Registering one without rows in `TABLE` fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy_batches import CLASSES, batch, rows

import tunewright.adaptations
from tunewright.adaptations import (
    IA3,
    Bias,
    Bottleneck,
    Chain,
    Frozen,
    Full,
    Head,
    Lora,
    PrefixTuning,
    PromptTuning,
    PTuning,
    PTuningV2,
    Quantized,
    Vera,
    stores_of,
)
from tunewright.core.errors import RecipeError
from tunewright.core.registry import build, dump, members
from tunewright.core.tensors import Batch, Report, trainable
from tunewright.models.forward import ModelForward
from tunewright.models.toy import Toy, toy_bert, toy_llama
from tunewright.objectives import CrossEntropy
from tunewright.training.checkpoint import restore
from tunewright.training.loop import train
from tunewright.updates import AdamW

assert tunewright.adaptations.__all__
Learns = Callable[[str], bool]


@dataclass(frozen=True)
class Subject:
    """A model to adapt and a way to call it."""

    name: str

    def model(self) -> nn.Module:
        if self.name == "llama":
            llama: nn.Module = toy_llama(seed=1)[0]
            return llama
        return Toy(CLASSES, seed=1) if self.name == "toy" else toy_bert(CLASSES, seed=1)[0]

    def forward(self, model: nn.Module) -> Any:
        return model if self.name == "toy" else ModelForward(model)

    @property
    def batch(self) -> Batch:
        """What it learns from: a class of each text, or the next tokens of some."""
        return TEXTS if self.name == "llama" else BATCH

    @property
    def has_head(self) -> bool:
        return self.name != "llama"


def layer(name: str, *numbers: int) -> bool:
    return any(f".{n}." in name for n in numbers)


PARTS = ("lora_", "bottleneck_", "ia3_l", "vera_lambda", "modules_to_save")
ADDED: Learns = lambda name: any(part in name for part in PARTS)  # noqa: E731
VIRTUAL: Learns = lambda name: "prompt_encoder" in name or "modules_to_save" in name  # noqa: E731
HEAD: Learns = lambda name: "classifier" in name  # noqa: E731
TOY, BERT, LLAMA = Subject("toy"), Subject("bert"), Subject("llama")

# member -> (configuration, where it is tried, which of the adapted model's parameters learn)
TABLE: dict[str, list[tuple[Any, Subject, Learns]]] = {
    "full": [(Full(), TOY, lambda name: True), (Full(), BERT, lambda name: True), (Full(), LLAMA, lambda name: True)],
    "frozen": [
        (Frozen(top=1), TOY, lambda n: not layer(n, 0) and "embed" not in n),
        (Frozen(top=0), BERT, lambda n: "pooler" in n or "classifier" in n),
        (Frozen(top=2), BERT, lambda n: "embeddings" not in n),
        (Frozen(layers=(1,), embeddings=False), BERT, lambda n: not layer(n, 1)),
        (Frozen(patterns=("*attention*", "*pooler*")), BERT,
         lambda n: not any(part in n for part in ("attention", "pooler", "embeddings"))),
        (Frozen(bottom=1), BERT, lambda n: "embeddings" not in n and not layer(n, 0)),
        (Frozen(top=1, patterns=("*norm1*",), embeddings=False), TOY, lambda n: not layer(n, 0) and "norm1" not in n),
        (Frozen(top=1), LLAMA, lambda n: not layer(n, 0) and "embed" not in n),
    ],
    "bias": [
        (Bias(), TOY, lambda n: n.endswith("bias") or "classifier" in n),
        (Bias(), BERT, lambda n: n.endswith("bias") or "classifier" in n),
        (Bias(norms=True), BERT, lambda n: n.endswith("bias") or "LayerNorm" in n or "classifier" in n),
        (Bias(norms=True), LLAMA, lambda n: "norm" in n),
    ],
    "head": [
        (Head(), TOY, lambda n: "classifier" in n),
        (Head(), BERT, lambda n: "classifier" in n),
        (Head(pooler=True), BERT, lambda n: "classifier" in n or "pooler" in n),
    ],
    "bottleneck": [
        (Bottleneck(reduction=2), TOY, ADDED),
        (Bottleneck("houlsby", reduction=2, activation="tanh"), TOY, ADDED),
        (Bottleneck("parallel", reduction=2, activation="gelu"), TOY, ADDED),
        (Bottleneck("houlsby", width=8, activation="swish"), BERT, ADDED),
        (Bottleneck("pfeiffer", reduction=2.5, activation="gelu", dropout=0.2, scale=2.0), BERT, ADDED),
        (Bottleneck("parallel", reduction=2), BERT, ADDED),
        (Bottleneck("houlsby", reduction=2), LLAMA, ADDED),
        (Bottleneck("parallel", reduction=4, activation="silu"), LLAMA, ADDED),
    ],
    "lora": [
        (Lora(rank=4, targets=("query", "value")), TOY, ADDED),
        (Lora(rank=4), BERT, ADDED),
        (Lora(rank=2, alpha=8.0, targets=("query", "dense"), rank_stabilised=True), BERT, ADDED),
        (Lora(rank=2, dropout=0.2), BERT, ADDED),
        (Lora(rank=2), LLAMA, ADDED),
        (Lora(rank=4, dropout=0.1, targets=("q_proj", "v_proj")), LLAMA, ADDED),
        (Lora(rank=4, dora=True), BERT, ADDED),
        (Lora(rank=2, dora=True, dropout=0.1, layers=(1,)), LLAMA, lambda n: ADDED(n) and layer(n, 1)),
        (Lora(rank=4, init="orthogonal"), BERT, ADDED),
        (Lora(rank=4, init="pissa", targets=("query", "value")), TOY, ADDED),
        (Lora(rank=4, init="pissa"), BERT, ADDED),
        (Lora(rank=4, init="pissa", dora=True, rank_stabilised=True, rank_pattern={"value": 2}), BERT, ADDED),
        (Lora(rank=2, init="pissa"), LLAMA, ADDED),
        (Lora(rank=4, init="olora"), BERT, ADDED),
        (Lora(rank=4, init="eva"), BERT, ADDED),
        (Lora(rank=4, top=1, rank_pattern={"value": 2}, alpha_pattern={"*.output.dense": 4.0}), BERT,
         lambda n: ADDED(n) and (layer(n, 1) or "classifier" in n)),
    ],
    "ia3": [
        (IA3(keys_values=("key", "value"), feed_forward=("down",)), TOY, ADDED),
        (IA3(), BERT, ADDED),
        (IA3(), LLAMA, ADDED),
    ],
    "vera": [
        (Vera(rank=8, targets=("query", "value")), TOY, ADDED),
        (Vera(rank=64), BERT, ADDED),
        (Vera(rank=64, dropout=0.1), LLAMA, ADDED),
    ],
    "prompt_tuning": [
        (PromptTuning(tokens=5), BERT, VIRTUAL),
        (PromptTuning(tokens=3, start="random"), BERT, VIRTUAL),
        (PromptTuning(tokens=4), LLAMA, VIRTUAL),
    ],
    "p_tuning": [(PTuning(tokens=5), BERT, VIRTUAL), (PTuning(tokens=3, encoder="lstm", hidden=8), BERT, VIRTUAL),
                 (PTuning(tokens=4), LLAMA, VIRTUAL)],
    "prefix_tuning": [
        (PrefixTuning(tokens=5, projection=8), BERT, VIRTUAL),
        (PrefixTuning(tokens=3, projection=None), BERT, VIRTUAL),
        (PrefixTuning(tokens=3, projection=8), LLAMA, VIRTUAL),
    ],
    "p_tuning_v2": [(PTuningV2(tokens=5), BERT, VIRTUAL), (PTuningV2(tokens=4), LLAMA, VIRTUAL)],
    "quantized": [
        (Quantized(), TOY, HEAD),
        (Quantized("int8"), BERT, HEAD),
        (Chain((Quantized("int8"), Lora(rank=4, targets=("query", "value")))), TOY, ADDED),
        (Chain((Quantized("nf4"), Lora(rank=4))), BERT, ADDED),
        (Chain((Quantized("fp4", double=False, block=128), Lora(rank=2, dropout=0.2))), BERT, ADDED),
        (Chain((Quantized("nf4"), Lora(rank=4))), LLAMA, ADDED),
        (Chain((Quantized("int8"), Lora(rank=4))), LLAMA, ADDED),
        (Chain((Quantized(), Bottleneck("houlsby", reduction=2))), LLAMA, ADDED),
        (Chain((Quantized(), Bottleneck("parallel", reduction=2))), BERT, ADDED),
        (Chain((Quantized(), Bias())), BERT, lambda n: n.endswith("bias") or "classifier" in n),
        (Chain((Quantized(), Head())), BERT, HEAD),
        (Chain((Quantized(), Frozen(top=1))), LLAMA, lambda n: layer(n, 1) or n == "model.norm.weight"),
    ],
}  # fmt: skip
WITHOUT: dict[str, dict[str, str]] = {
    "head": {"llama": "its output is its embeddings"},
    **{
        name: {"toy": "it is no model of transformers"}
        for name in ("prompt_tuning", "p_tuning", "prefix_tuning", "p_tuning_v2")
    },
}
"""Subjects that a member is not tried on, each with the reason."""
CASES = [pytest.param(*case, id=f"{name}-{i}") for name, cases in TABLE.items() for i, case in enumerate(cases)]
every = pytest.mark.parametrize(("adaptation", "subject", "learns"), CASES)
BATCH = batch(rows(6), seed=5)
TEXTS = batch(rows(6, "vocabulary"), "vocabulary", seed=5)


@torch.no_grad()
def scores(subject: Subject, model: nn.Module) -> Tensor:
    model.eval()
    out: Tensor = subject.forward(model)(subject.batch)
    return out.clone()


def learn(subject: Subject, model: nn.Module, steps: int = 3) -> list[Report]:
    model.train()
    forward, parameters = subject.forward(model), trainable(model)
    windows = iter(lambda: [subject.batch], None)
    return list(train(forward, windows, CrossEntropy(), AdamW(rate=0.02).bind(parameters), parameters, steps=steps))


def test_every_registered_adaptation_is_here() -> None:
    assert set(TABLE) == set(members("adaptation"))
    for name, cases in TABLE.items():
        parts = [getattr(adaptation, "parts", (adaptation,)) for adaptation, _, _ in cases]
        assert all(members("adaptation")[name] in map(type, some) for some in parts)
        tried = {subject.name for _, subject, _ in cases} | set(WITHOUT.get(name, {}))
        assert tried == {"toy", "bert", "llama"}, f"{name} is to be tried on all of them"


def identity(adaptation: Any) -> bool:
    """Whether attaching changes nothing: all but virtual tokens, which the model reads, and the toy cannot."""
    return bool(getattr(adaptation, "identity", True))


def start(adaptation: Any) -> str:
    """Where LoRA's matrices start; empty for the others."""
    return getattr(adaptation, "init", "")


def rewrites(adaptation: Any) -> bool:
    """Whether attaching moves a part of the base's weights into what learns, so that scores stay equal to rounding.

    What is saved gives it back: `test_adapters` opens it on the base as it was.
    """
    return start(adaptation) in ("pissa", "olora")


@every
def test_attaching_changes_no_score(adaptation: Any, subject: Subject, learns: Learns) -> None:
    """Quantization cannot keep the scores: what is put on top of it keeps those of the quantized model, and these are near."""
    plain = scores(subject, subject.model())
    stores = stores_of(adaptation)
    before = plain if stores is None else scores(subject, stores.merge(stores.attach(subject.model(), 0)))
    after = scores(subject, adaptation.attach(subject.model(), 0))
    if stores is not None:
        error = float((before - plain).norm() / (plain - plain.mean()).norm())
        assert 0 < error < (0.05 if stores.kind == "int8" else 0.5)
    if not identity(adaptation):
        assert not torch.allclose(after, before), "virtual tokens that nothing reads"
        base = adaptation.attach(subject.model(), 0).get_base_model()
        assert torch.equal(scores(subject, base), before), "without them it is the base model"
    elif rewrites(adaptation) or start(adaptation) == "orthogonal":  # B A is 0 to rounding there
        assert torch.allclose(after, before, atol=2e-6)
    else:
        assert torch.equal(after, before)


@every
def test_only_its_own_parameters_learn(adaptation: Any, subject: Subject, learns: Learns) -> None:
    base = subject.model()
    was = {name: (p, p.detach().clone()) for name, p in base.named_parameters()}
    buffers = {name: b.clone() for name, b in base.named_buffers()}
    model = adaptation.attach(base, 0)
    if rewrites(adaptation):
        moved_at_once = {name for name, (p, kept) in was.items() if not torch.equal(p, kept)}
        assert moved_at_once and all(name.endswith("weight") for name in moved_at_once)
        was = {name: (p, p.detach().clone()) for name, (p, _) in was.items()}
    named = {name for name, _ in model.named_parameters() if learns(name)}
    assert set(trainable(model)) == named
    assert not subject.has_head or any("classifier" in name for name in named), "a new head that does not learn"
    start = {name: p.detach().clone() for name, p in trainable(model).items()}
    reports = learn(subject, model, 4)
    assert reports[-1].loss < reports[0].loss
    assert all(torch.equal(p, kept) for p, kept in was.values() if not p.requires_grad), "a frozen weight has moved"
    assert all(torch.equal(dict(base.named_buffers())[name], b) for name, b in buffers.items())
    moved = {name for name, p in trainable(model).items() if not torch.equal(p, start[name])}
    assert len(moved) > 0.8 * len(start), f"these did not learn: {sorted(set(start) - moved)}"


@every
def test_what_it_learnt_can_be_saved_and_loaded(adaptation: Any, subject: Subject, learns: Learns) -> None:
    model = adaptation.attach(subject.model(), 0)
    learn(subject, model)
    learnt = scores(subject, model)
    weights = {name: p.detach().clone() for name, p in trainable(model).items()}
    seed = 0 if isinstance(adaptation, Vera) else 9  # its matrices are drawn, and learn nothing that could be restored
    fresh = adaptation.attach(subject.model(), seed)
    assert not torch.allclose(scores(subject, fresh), learnt, atol=1e-3)
    restore(trainable(fresh), weights)
    assert torch.equal(scores(subject, fresh), learnt)


@every
def test_merging_keeps_the_scores(adaptation: Any, subject: Subject, learns: Learns) -> None:
    if not getattr(adaptation, "merges", True):  # no weight of the base can hold what it adds
        with pytest.raises(RecipeError, match="cannot be merged"):
            adaptation.merge(adaptation.attach(subject.model(), 0))
        return
    model = adaptation.attach(subject.model(), 0)
    learn(subject, model)
    learnt = scores(subject, model)
    plain = subject.model()
    if subject is not TOY:
        ModelForward(model).release()
    merged = adaptation.merge(model)
    assert type(merged) is type(plain)
    assert [(n, p.shape) for n, p in merged.named_parameters()] == [(n, p.shape) for n, p in plain.named_parameters()]
    assert torch.allclose(scores(subject, merged), learnt, atol=1e-5)
    plain.load_state_dict(merged.state_dict())
    assert torch.allclose(scores(subject, plain), learnt, atol=1e-5)


@every
def test_the_same_seed_starts_alike(adaptation: Any, subject: Subject, learns: Learns) -> None:
    random = torch.get_rng_state()
    one, two, other = (adaptation.attach(subject.model(), seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), random), "attaching must not move PyTorch's own random state"
    a, b, c = (dict(m.named_parameters()) for m in (one, two, other))
    assert a.keys() == b.keys() == c.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    parts = ("bottleneck_down", "prompt_encoder", *(() if rewrites(adaptation) else ("lora_A",)))
    drawn = [name for name in a if any(part in name for part in parts) and name.endswith("weight")]
    assert all(not torch.equal(a[name], c[name]) for name in drawn)
    if isinstance(adaptation, Vera):
        x, y, z = (m.base_model.vera_A["default"] for m in (one, two, other))
        assert torch.equal(x, y) and not torch.equal(x, z)


@every
def test_same_seed_same_result(adaptation: Any, subject: Subject, learns: Learns) -> None:
    first, second = (learn(subject, adaptation.attach(subject.model(), 3)) for _ in range(2))
    assert first == second


@every
def test_it_is_a_value_that_can_be_written_and_read(adaptation: Any, subject: Subject, learns: Learns) -> None:
    assert build("adaptation", json.loads(json.dumps(dump(adaptation)))) == adaptation


@pytest.mark.parametrize(
    ("adaptation", "words"),
    [
        (Frozen(top=3), ["frozen.top", "0 to 2"]),
        (Frozen(layers=(0, 7)), ["frozen.layers", "layer 7", "0 to 1"]),
        (Frozen(patterns=("*attn*",), layers=(9,)), ["'*attn*' matches no parameter", "layer 9"]),
        (Frozen(patterns=("*",)), ["everything is frozen"]),
        (Lora(targets=("q_proj",)), ["lora.targets", "q_proj", "all-linear", "query, key, value, dense"]),
        (Lora(targets="("), ["lora.targets", "all-linear"]),
        (Lora(rank=10**9), ["lora.rank", "1,000,000,000", "1 to 32", "choose"]),
        (Lora(layers=(0, 5)), ["lora.layers", "5", "0 to 1"]),
        (Lora(top=3), ["lora.top", "1 to 2"]),
        (
            Lora(rank=64, rank_pattern={"values": 2, "key": 99}, alpha_pattern={"*.7.*": 1.0}, top=4),
            [
                "rank_pattern",
                "'values'",
                "alpha_pattern",
                "'*.7.*'",
                "rank_pattern.key",
                "99",
                "lora.rank",
                "64",
                "lora.top",
            ],
        ),
        (Lora(init="orthogonal", targets=("word_embeddings",)), ["lora.init", "embeddings", "linear"]),
        (Lora(rank=33, init="pissa"), ["lora.rank", "1 to 32", "narrowest"]),
        (IA3(keys_values=("k_proj", "key")), ["ia3.keys_values", "'k_proj'", "self.key"]),
        (IA3(keys_values=("q",), feed_forward=("x",)), ["ia3.keys_values", "ia3.feed_forward"]),
        (Vera(targets=("q_proj",)), ["vera.targets", "q_proj", "query"]),
        (Frozen(bottom=5), ["frozen.bottom", "0 to 2"]),
        (Bottleneck(width=33), ["bottleneck.width", "33", "1 to 32", "choose"]),
        (PromptTuning(tokens=60), ["prompt_tuning.tokens", "60", "1 to 56", "64 places"]),
        (PTuningV2(tokens=200), ["p_tuning_v2.tokens", "200", "1 to 56"]),
    ],
)
def test_what_the_model_does_not_have_is_explained(adaptation: Any, words: list[str]) -> None:
    with pytest.raises(RecipeError) as error:
        adaptation.attach(BERT.model(), 0)
    assert all(word in str(error.value) for word in words)


def test_a_model_without_biases_or_head_is_explained() -> None:
    for adaptation, words in ((Bias(), "no biases"), (Head(), "no head")):
        with pytest.raises(RecipeError, match=words):
            adaptation.attach(toy_llama(0)[0], 0)
    norms = trainable(Bias(norms=True).attach(toy_llama(0)[0], 0))
    assert norms and all("norm" in name for name in norms)


@pytest.mark.parametrize("adaptation", [PromptTuning(), PTuning(), PrefixTuning(), PTuningV2()], ids=repr)
def test_virtual_tokens_need_a_family_that_is_known(adaptation: Any) -> None:
    with pytest.raises(RecipeError, match=r"Toy[\s\S]*bert"):
        adaptation.attach(TOY.model(), 0)


@pytest.mark.parametrize("options", [{"start": "text"}, {"text": "a word"}, {"start": "text", "text": " "}], ids=str)
def test_a_prompts_text_goes_with_its_start(options: Any) -> None:
    with pytest.raises(RecipeError, match="start: text"):
        build("adaptation", {"prompt_tuning": options})


def test_lora_is_the_low_rank_product() -> None:
    """W + (alpha / r) B A after merging, computed by hand; alpha / sqrt(r) where it is rank-stabilised."""
    for stabilised, factor in ((False, 8 / 4), (True, 8 / 2)):
        model = Lora(rank=4, alpha=8.0, targets=("query",), rank_stabilised=stabilised).attach(TOY.model(), 0)
        learn(TOY, model, 2)
        inner = model.get_base_model().layers[0].query
        a, b = inner.lora_A["default"].weight.detach(), inner.lora_B["default"].weight.detach()
        expected = inner.base_layer.weight.detach() + factor * b @ a
        merged = model.merge_and_unload()
        assert torch.allclose(merged.layers[0].query.weight, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rank": 3, "init": "orthogonal", "top": 1, "layers": [0]},
         ["adaptation.lora.rank", "even", "4", "adaptation.lora.top", "one of the two"]),
        ({"init": "orthogonal", "rank_pattern": {"query": 5}}, ["adaptation.lora.rank_pattern.query", "even"]),
        ({"init": "evil"}, ["adaptation.lora.init", "pissa"]),
        ({"rank_pattern": {"query": 0}}, ["adaptation.lora.rank_pattern", "query"]),
    ],
)  # fmt: skip
def test_options_of_lora_that_cannot_be(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(RecipeError) as error:
        build("adaptation", {"lora": options})
    assert all(word in str(error.value) for word in words), str(error.value)


def test_quantized_weights_give_nothing_away() -> None:
    model = TOY.model()
    query: Any = model.layers[0].query  # type: ignore[index,union-attr]
    query.weight = nn.Parameter(query.weight.detach().mul(100).to(torch.int8), requires_grad=False)
    with pytest.raises(RecipeError, match=r"lora\.init.*\n*.*pissa on quantized weights"):
        Lora(rank=2, targets=("query",), init="pissa").attach(model, 0)


def test_what_ia3_does_not_know_by_name_is_to_be_named() -> None:
    with pytest.raises(RecipeError) as error:
        IA3().attach(TOY.model(), 0)
    assert "ia3.keys_values" in str(error.value) and "ia3.feed_forward" in str(error.value)
    assert "0.query" in str(error.value) and "classifier" not in str(error.value)


def test_lora_starts_from_the_largest_singular_values() -> None:
    """PiSSA: s B A is the best approximation of W of that rank, and the base keeps W - s B A."""
    plain = TOY.model().layers[0].query.weight.detach()  # type: ignore[index,union-attr]
    model = Lora(rank=4, alpha=8.0, targets=("query",), init="pissa").attach(TOY.model(), 0)
    inner = model.get_base_model().layers[0].query
    u, s, v = torch.linalg.svd(plain)
    best = u[:, :4] @ torch.diag(s[:4]) @ v[:4]
    product = 2.0 * inner.lora_B["default"].weight @ inner.lora_A["default"].weight
    assert torch.allclose(product, best, atol=1e-5)
    assert torch.allclose(inner.base_layer.weight, plain - best, atol=1e-5)


def test_orthogonal_matrices_learn_from_the_first_step() -> None:
    model = Lora(rank=4, targets=("query",), init="orthogonal").attach(TOY.model(), 0)
    inner = model.get_base_model().layers[0].query
    a, b = inner.lora_A["default"].weight, inner.lora_B["default"].weight
    assert (b @ a).abs().max() < 1e-6 < min(a.abs().max(), b.abs().max())
    model.train()
    TOY.forward(model)(BATCH).square().sum().backward()
    assert a.grad.abs().max() > 0 and b.grad.abs().max() > 0


def test_dora_is_a_length_and_a_direction() -> None:
    model = Lora(rank=4, alpha=8.0, targets=("query",), dora=True).attach(TOY.model(), 0)
    learn(TOY, model, 2)
    inner = model.get_base_model().layers[0].query
    a, b = inner.lora_A["default"].weight.detach(), inner.lora_B["default"].weight.detach()
    length = inner.lora_magnitude_vector["default"].weight.detach()
    direction = inner.base_layer.weight.detach() + 2.0 * b @ a
    expected = length[:, None] * direction / direction.norm(dim=1, keepdim=True)
    assert torch.allclose(model.merge_and_unload().layers[0].query.weight, expected, atol=1e-6)


def test_ia3_scales_keys_values_and_what_the_feed_forward_holds() -> None:
    model = IA3(keys_values=("key",), feed_forward=("down",)).attach(TOY.model(), 0)
    learn(TOY, model, 2)
    layer0, plain = model.get_base_model().layers[0], TOY.model().layers[0]  # type: ignore[index]
    rows, columns = layer0.key.ia3_l["default"].detach(), layer0.down.ia3_l["default"].detach()
    assert rows.shape == (16, 1) and columns.shape == (1, 32) and not torch.equal(rows, torch.ones_like(rows))
    merged = model.merge_and_unload().layers[0]
    assert torch.equal(merged.key.weight, rows * plain.key.weight)
    assert torch.equal(merged.key.bias, rows[:, 0] * plain.key.bias)
    assert torch.equal(merged.down.weight, plain.down.weight * columns) and torch.equal(
        merged.down.bias, plain.down.bias
    )
    assert torch.equal(merged.value.weight, plain.value.weight)


def test_vera_scales_two_matrices_that_all_layers_share() -> None:
    model = Vera(rank=8, targets=("query", "up")).attach(TOY.model(), 0)
    learn(TOY, model, 2)
    a, b = (getattr(model.base_model, f"vera_{x}")["default"] for x in "AB")
    assert a.shape == (8, 16) and b.shape == (32, 8)
    for n, name, out in ((0, "query", 16), (1, "up", 32)):
        own = getattr(model.get_base_model().layers[n], name)
        scale_b, scale_d = own.vera_lambda_b["default"].detach(), own.vera_lambda_d["default"].detach()
        expected = own.base_layer.weight.detach() + torch.diag(scale_b) @ b[:out] @ torch.diag(scale_d) @ a
        assert torch.allclose(own.get_delta_weight("default") + own.base_layer.weight, expected, atol=1e-6)


def test_a_second_forward_over_a_model_has_its_own_draws() -> None:
    """The keyed dropouts that the first one installed must read the second one's batch."""
    other = batch(rows(4, seed=8), seed=5)
    expected = ModelForward(BERT.model().train())(other)
    model = BERT.model().train()
    ModelForward(model)(BATCH)
    assert torch.equal(ModelForward(model)(other), expected)
