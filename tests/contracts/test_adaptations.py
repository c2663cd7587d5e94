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
from tunewright.adaptations import Bias, Bottleneck, Chain, Frozen, Full, Head, Lora, Quantized, stores_of
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


ADDED: Learns = lambda name: any(part in name for part in ("lora_", "bottleneck_", "modules_to_save"))  # noqa: E731
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
    ],
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
WITHOUT: dict[str, dict[str, str]] = {"head": {"llama": "its output is its embeddings"}}
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


@every
def test_attaching_changes_no_score(adaptation: Any, subject: Subject, learns: Learns) -> None:
    """Quantization cannot keep the scores: what is put on top of it keeps those of the quantized model, and these are near."""
    plain = scores(subject, subject.model())
    stores = stores_of(adaptation)
    before = plain if stores is None else scores(subject, stores.merge(stores.attach(subject.model(), 0)))
    assert torch.equal(scores(subject, adaptation.attach(subject.model(), 0)), before)
    if stores is not None:
        error = float((before - plain).norm() / (plain - plain.mean()).norm())
        assert 0 < error < (0.05 if stores.kind == "int8" else 0.5)


@every
def test_only_its_own_parameters_learn(adaptation: Any, subject: Subject, learns: Learns) -> None:
    base = subject.model()
    was = {name: (p, p.detach().clone()) for name, p in base.named_parameters()}
    buffers = {name: b.clone() for name, b in base.named_buffers()}
    model = adaptation.attach(base, 0)
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
    fresh = adaptation.attach(subject.model(), 9)
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
    drawn = [name for name in a if "lora_A" in name or ("bottleneck_down" in name and name.endswith("weight"))]
    assert all(not torch.equal(a[name], c[name]) for name in drawn)


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
        (Frozen(bottom=5), ["frozen.bottom", "0 to 2"]),
        (Lora(targets=("q_proj",)), ["lora.targets", "q_proj", "all-linear"]),
        (Lora(rank=10**9), ["lora.rank", "1,000,000,000", "1 to 32", "choose"]),
        (Bottleneck(width=33), ["bottleneck.width", "33", "1 to 32", "choose"]),
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


def test_a_second_forward_over_a_model_has_its_own_draws() -> None:
    """The keyed dropouts that the first one installed must read the second one's batch."""
    other = batch(rows(4, seed=8), seed=5)
    expected = ModelForward(BERT.model().train())(other)
    model = BERT.model().train()
    ModelForward(model)(BATCH)
    assert torch.equal(ModelForward(model)(other), expected)
