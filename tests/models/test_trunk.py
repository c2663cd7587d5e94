"""What frozen layers make of a text is computed once: scores, gradients and what is learnt stay as they were."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import test_token_units as token_units
import torch
from tiny_families import CASES, batch_of, build, config_of, padded, part, plain_scores, weighted
from torch import Tensor, nn

from tunewright.adaptations import Chain, Frozen, Lora
from tunewright.core.seeds import key
from tunewright.core.tensors import Batch
from tunewright.models.forward import ModelForward
from tunewright.models.kept import Keeping

EVERYTHING = Keeping(1 << 30)
BATCH = batch_of((5, 1, 9, 5, 17, 3, 2, 9), step=1)  # no two alike
DEPTH = {name: 4 if "modernbert" in name else 3 for name in CASES}


def frozen(model: nn.Module, top: int) -> nn.Module:
    return Frozen(top=top).attach(model, 0)


def lora(model: nn.Module, top: int) -> nn.Module:
    """LoRA with dropout of its own in the top layers, its products no longer zero."""
    dtype = next(model.parameters()).dtype
    model = Chain((Lora(rank=2, dropout=0.3), Frozen(top=top))).attach(model, 0).to(dtype)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    return model


def norm_too(model: nn.Module, top: int) -> nn.Module:
    """Nothing that stands above the layers learns but the score itself."""
    model = frozen(model, top)
    for name in ("ln_f", "final_norm", "norm"):
        norm = getattr(model.base_model, name, None)
        if norm is not None:
            norm.requires_grad_(False)
    return model


def plainly(forward: ModelForward, top: int) -> ModelForward:
    """The reference: nothing known of any trunk, the frozen modules put into evaluation mode one by one."""
    assert forward.trunk is not None
    for module in forward.trunk.layers.below(forward.trunk.layers.frozen()):
        module.eval()
    forward.trunk = None
    return forward


def gradients(forward: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    forward.model.zero_grad()
    scores = forward(batch)
    weighted(scores).backward()
    return scores.detach(), {n: p.grad.clone() for n, p in forward.model.named_parameters() if p.grad is not None}


def same(found: tuple[Tensor, dict[str, Tensor]], wanted: tuple[Tensor, dict[str, Tensor]], bound: float) -> None:
    assert torch.allclose(found[0], wanted[0], atol=bound, rtol=bound)
    assert found[1].keys() == wanted[1].keys() and found[1]
    for name, gradient in found[1].items():
        assert torch.allclose(gradient, wanted[1][name], atol=bound, rtol=bound), name


@pytest.mark.parametrize("attach", [frozen, lora, norm_too])
@pytest.mark.parametrize("top", [0, 1, 2])
@pytest.mark.parametrize("case", sorted(CASES))
def test_from_what_is_kept_as_from_the_tokens(
    case: str, top: int, attach: Callable[[nn.Module, int], nn.Module]
) -> None:
    """Dropout above draws what it would have drawn; sub-batches are made of what other batches left."""

    def made(keep: Keeping | None) -> ModelForward:
        model = attach(build(config_of(case), torch.float64), top)
        return ModelForward(model.train(), layout="packed", keep=keep)

    keeping, computing, wanted = made(EVERYTHING), made(None), plainly(made(None), top)
    batches = [part(BATCH, [0, 2, 4]), BATCH, part(BATCH, [6, 1, 4, 3]), replace(BATCH, keys=BATCH.keys + 1)]  # type: ignore[operator]
    seen = []
    for batch in batches:
        right = gradients(wanted, batch)
        same(gradients(keeping, batch), right, 1e-10)
        same(gradients(computing, batch), right, 1e-10)
        seen.append(right[0])
    assert keeping.trunk is not None and computing.trunk is not None
    assert keeping.trunk.depth() == DEPTH[case] - top
    assert keeping.trunk.computed == len(BATCH.ids)
    assert computing.trunk.computed == sum(len(batch.ids) for batch in batches)
    drops = any(type(m).__name__ == "KeyedDropout" and m.p and m.training for m in wanted.model.modules())
    assert torch.equal(seen[1], seen[3]) == (not drops)


@pytest.mark.parametrize("top", [0, 1])
@pytest.mark.parametrize("case", sorted(CASES))
def test_training_is_that_of_plain_transformers(case: str, top: int) -> None:
    """With frozen layers and without dropout, over three epochs of two batches."""
    changes = {n: 0.0 for n in vars(config_of(case)) if ("drop" in n or n.endswith("pdrop")) and "classifier" not in n}
    if hasattr(config_of(case), "classifier_dropout"):
        changes["classifier_dropout"] = 0.0
    ours = frozen(build(config_of(case, **changes)), top)
    plain = frozen(build(config_of(case, **changes), attention="eager"), top)
    forward = ModelForward(ours.train(), layout="packed", keep=EVERYTHING)
    sides = []
    for model, scores in ((ours, forward), (plain.train(), lambda batch: plain_scores(plain, batch))):
        update = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.05)
        for _ in range(3):
            for batch in (part(BATCH, [0, 1, 2, 3]), part(BATCH, [4, 5, 6, 7])):
                update.zero_grad()
                torch.nn.functional.cross_entropy(scores(batch), batch.targets).backward()
                update.step()
        sides.append({name: p.detach() for name, p in model.named_parameters()})
    start = dict(build(config_of(case, **changes)).named_parameters())
    moved = [name for name, p in sides[0].items() if not torch.equal(p, start[name])]
    assert moved and not any(".0." in name for name in moved)
    for name, p in sides[0].items():
        assert torch.allclose(p, sides[1][name], atol=2e-5), name
    assert forward.trunk is not None and forward.trunk.computed == len(BATCH.ids)


@pytest.mark.parametrize("top", [0, 1])
@pytest.mark.parametrize(
    ("kind", "case"),
    [("TokenClassification", c) for c in token_units.TAGGERS]
    + [("CausalLM", c) for c in token_units.CAUSAL]
    + [("MaskedLM", c) for c in token_units.MASKED],
)
def test_of_tokens(kind: str, case: str, top: int) -> None:
    """Where tokens are supervised: a text with others of its tokens supervised is no other text below the head."""

    def made(keep: Keeping | None) -> ModelForward:
        model = frozen(token_units.build(kind, case, tie_word_embeddings=False), top)
        return ModelForward(model.train(), layout="packed", keep=keep)

    keeping, wanted = made(EVERYTHING), plainly(made(None), top)
    batch = token_units.sample(keys=True, classes=3)
    others = replace(batch, positions=batch.positions[1::2].clone(), targets=batch.targets[1::2])
    turned = replace(batch, positions=batch.positions.flip(0), targets=batch.targets.flip(0))
    for one in (batch, others, batch, turned):
        same(gradients(keeping, one), gradients(wanted, one), 1e-5)
    assert torch.allclose(keeping.losses(batch), wanted.losses(batch), atol=1e-5)
    assert keeping.trunk is not None
    n = keeping.trunk.computed
    assert n == len(batch.ids) if top else len(batch.ids) < n < 2 * len(batch.ids)  # some have the same places in both


def test_prompts_that_are_shared() -> None:
    """Sequences with one beginning are read once above the trunk; what is kept is each one's own."""
    prompt = torch.randint(3, 50, (24,), generator=torch.Generator().manual_seed(3))
    ends = [torch.tensor([5 + i, 6, 7 + i, 2]) for i in range(3)]
    places = [28 * i + p for i in range(3) for p in (23, 25, 26)]
    batch = Batch(
        ids=("a", "b", "c"), tokens=torch.cat([x for end in ends for x in (prompt, end)]), lengths=(28,) * 3,
        targets=torch.randint(3, 50, (9,)), positions=torch.tensor(places), unit="token",
    )  # fmt: skip

    def made(keep: Keeping | None) -> ModelForward:
        model = token_units.build("CausalLM", "llama", tie_word_embeddings=False).float()
        return ModelForward(frozen(model, 1).train(), keep=keep)

    keeping, computing, wanted = made(EVERYTHING), made(None), plainly(made(None), 1)
    wanted.sharing = False
    right = gradients(wanted, batch)
    for forward in (keeping, keeping, computing):
        assert forward._sharing(batch) is not None
        same(gradients(forward, batch), right, 1e-5)


@pytest.mark.parametrize("case", ["bert", "modernbert-cls-odd", "gpt2", "qwen3"])
def test_a_nudge_reaches_the_embeddings(case: str) -> None:
    forward = ModelForward(frozen(build(config_of(case), torch.float64), 1).train(), layout="packed", keep=EVERYTHING)
    before = forward(BATCH)
    nudge = forward.nudge_like(BATCH).requires_grad_()
    scores = forward(BATCH, nudge)
    assert torch.allclose(scores, before, atol=1e-10)
    weighted(scores).backward()
    assert nudge.grad is not None and float(nudge.grad.abs().min(1).values.max()) > 0
    assert torch.equal(forward(BATCH), before)


def test_layers_that_begin_to_learn() -> None:
    """Gradual unfreezing: from the head down. Each time what was kept goes, and dropout comes back above."""
    model = frozen(build(config_of("bert"), torch.float64), 0)
    forward = ModelForward(model.train(), keep=EVERYTHING)
    layers = model.bert.encoder.layer
    for learns in (2, 1, 0):
        gradients(forward, BATCH)
        assert forward.trunk is not None and forward.trunk.computed == len(BATCH.ids) * (3 - learns)
        for parameter in layers[learns].parameters():
            parameter.requires_grad_(True)
        scores, found = gradients(forward, BATCH)
        assert [layer.training for layer in layers] == [i >= learns for i in range(3)]
        assert model.bert.embeddings.training == (learns == 0)
        other = build(config_of("bert"), torch.float64)
        for p, q in zip(other.parameters(), model.parameters(), strict=True):
            p.requires_grad_(q.requires_grad)
        same((scores, found), gradients(plainly(ModelForward(other.train()), 0), BATCH), 1e-10)
    assert model.bert.embeddings.dropout.training


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("top", [0, 1])
@pytest.mark.parametrize("case", ["bert", "distilbert", "modernbert-mean-even", "gpt2", "llama"])
def test_predictions_from_what_is_kept(case: str, top: int, precision: Any) -> None:
    """In the midst of a training; within the rounding of the products, which laying out and cutting batches changes."""

    def made(keep: Keeping | None) -> ModelForward:
        return ModelForward(frozen(build(config_of(case)), top).train(), precision=precision, keep=keep)

    keeping, wanted = made(EVERYTHING), made(None)
    keeping(part(BATCH, [1, 4]))
    bound = 1e-5 if precision == "float32" else 0.06
    for forward in (keeping, wanted):
        forward.model.zero_grad()
    for batch in (BATCH, part(BATCH, [0, 2]), BATCH):
        with wanted.evaluating():
            right = wanted(batch)
        with keeping.evaluating():
            found = keeping(batch)
        assert torch.allclose(found, right, atol=bound * max(1.0, float(right.abs().max())))
    assert keeping.model.training and keeping.trunk is not None and keeping.trunk.computed == len(BATCH.ids)
    scores, learnt = gradients(keeping, BATCH)  # what a prediction has kept serves a training
    right = gradients(wanted, BATCH)
    assert torch.allclose(scores, right[0], atol=bound * max(1.0, float(right[0].abs().max())))
    assert learnt.keys() == right[1].keys()


def test_what_is_foreseen_is_computed_at_once() -> None:
    forward = ModelForward(frozen(build(config_of("bert")), 1).train(), keep=EVERYTHING)
    trunk = forward.trunk
    assert trunk is not None
    trunk.foresee(lambda: [part(BATCH, [0, 1, 2, 3]), part(BATCH, [4, 5, 6, 7])])
    forward(part(BATCH, [5]))
    assert trunk.computed == len(BATCH.ids)
    forward(BATCH)
    assert trunk.computed == len(BATCH.ids)


def test_token_types_and_lengths_tell_texts_apart() -> None:
    """One row of tokens with other types, or cut elsewhere, is another text."""
    forward = ModelForward(frozen(build(config_of("bert"), torch.float64), 1).eval(), keep=EVERYTHING)
    plain = build(config_of("bert"), torch.float64)
    tokens = torch.tensor([7, 8, 9, 10])
    cut = [Batch(("x",), tokens, (4,), torch.zeros(1), torch.arange(1)),
           Batch(("x",), tokens, (4,), torch.zeros(1), torch.arange(1), types=torch.tensor([0, 1, 0, 1])),
           Batch(("x", "y"), tokens, (1, 3), torch.zeros(2), torch.arange(2)),
           Batch(("x", "y"), tokens, (3, 1), torch.zeros(2), torch.arange(2))]  # fmt: skip
    for batch in cut * 2:
        assert torch.allclose(forward(batch), plain_scores(plain, batch), atol=1e-9)


def test_what_an_adaptation_keeps_beside_the_model_lies_below() -> None:
    """Prompts, say: there is no telling where a parameter outside of the model is used."""

    class Around(nn.Module):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner, self.prompt = inner, nn.Parameter(torch.zeros(2))

        def get_base_model(self) -> Any:
            return self.inner

    around = Around(frozen(build(config_of("bert")), 1)).train()
    forward = ModelForward(around, keep=EVERYTHING)
    assert forward.trunk is not None and forward.trunk.depth() == 0
    around.prompt.requires_grad_(False)
    assert forward.trunk.depth() == 2


def test_a_tied_head_that_learns_keeps_the_embeddings_learning() -> None:
    for tied in (True, False):
        model = token_units.build("CausalLM", "llama", tie_word_embeddings=tied)
        model.model.requires_grad_(False)
        model.lm_head.requires_grad_(True)
        forward = ModelForward(model.train())
        assert forward.trunk is not None and forward.trunk.depth() == (0 if tied else 3)


# what is kept


def rows(n: int, start: int = 0) -> tuple[list[bytes], Tensor, list[int]]:
    """So many entries of two rows of four numbers: 32 bytes each."""
    keys = [key("rows", i).to_bytes(16, "little") for i in range(start, start + n)]
    return keys, torch.arange(8.0 * n).view(2 * n, 4) + 100 * start, [2] * n


def test_memory_is_bounded() -> None:
    kept = Keeping(32 * 5).opened("")
    kept.put(*rows(3))
    assert not kept.full and kept.used == 96
    keys, values, counts = rows(4, 3)
    kept.put(keys, values, counts)
    assert kept.full and kept.used == 160 and len(kept) == 5
    assert torch.equal(kept.get(keys[1]), values[2:4]) and kept.get(keys[2]) is None  # type: ignore[arg-type]


def test_what_does_not_fit_is_computed_each_time() -> None:
    model = build(config_of("bert"), torch.float64)
    forward = ModelForward(frozen(model, 1).train(), keep=Keeping(20 * 16 * 8))
    wanted = plainly(ModelForward(frozen(build(config_of("bert"), torch.float64), 1).train()), 1)
    trunk = forward.trunk
    assert trunk is not None
    trunk.foresee(lambda: [part(BATCH, [0, 1, 2, 3]), part(BATCH, [4, 5, 6, 7])])  # 20 tokens, then 31
    for _ in range(2):
        same(gradients(forward, BATCH), gradients(wanted, BATCH), 1e-10)
    assert trunk.kept is not None and len(trunk.kept) == 4
    assert trunk.computed == 4 + 4 + 2 * 4


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.safetensors"))


def on_disk(folder: Path, limit: int = 1 << 30, changed: bool = False) -> ModelForward:
    model = frozen(build(config_of("bert")), 1)
    if changed:
        with torch.no_grad():
            model.bert.embeddings.LayerNorm.bias[3] += 1e-3
    return ModelForward(model.train(), keep=Keeping(limit, folder))


def learn(forward: ModelForward) -> tuple[Tensor, dict[str, Tensor]]:
    assert forward.trunk is not None
    forward.trunk.foresee(lambda: [BATCH])
    return gradients(forward, BATCH)


def test_a_later_run_reads_what_an_earlier_one_kept(tmp_path: Path) -> None:
    first, second = on_disk(tmp_path), on_disk(tmp_path)
    wanted = learn(first)
    assert len(shards(tmp_path)) == 1
    found = learn(second)
    assert torch.equal(found[0], wanted[0]) and all(torch.equal(found[1][n], g) for n, g in wanted[1].items())
    assert second.trunk is not None and second.trunk.computed == 0
    third = on_disk(tmp_path, changed=True)  # other weights: another owner
    same(learn(third), learn(ModelForward(third.model, keep=None)), 1e-6)
    assert third.trunk is not None and third.trunk.computed == len(BATCH.ids)
    assert len(shards(tmp_path)) == 2
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(".part")]


def flipped(path: Path) -> None:
    """One bit of the rows, which lie at the end or in the middle of the file."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) - 2000] ^= 4
    path.write_bytes(raw)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def no_file_of_ours(path: Path) -> None:
    path.write_bytes(b"\x10\0\0\0\0\0\0\0not json at all!")


@pytest.mark.parametrize("damage", [flipped, cut, emptied, no_file_of_ours])
def test_a_damaged_file_is_made_again(damage: Callable[[Path], None], tmp_path: Path) -> None:
    wanted = learn(on_disk(tmp_path))
    (path,) = shards(tmp_path)
    damage(path)
    after = on_disk(tmp_path)
    same(learn(after), wanted, 1e-6)
    assert after.trunk is not None and after.trunk.computed > 0 and after.trunk.facts()["damaged_files"] == 1
    again = on_disk(tmp_path)
    same(learn(again), wanted, 1e-6)
    assert again.trunk is not None and again.trunk.computed == 0
    assert path not in shards(tmp_path)


def test_the_file_of_another_is_neither_read_nor_removed(tmp_path: Path) -> None:
    learn(on_disk(tmp_path))
    learn(on_disk(tmp_path, changed=True))
    one, two = shards(tmp_path)
    raw = two.read_bytes()
    one.write_bytes(raw)  # whole, and of other weights
    after = on_disk(tmp_path)
    wanted = learn(ModelForward(on_disk(tmp_path).model))
    same(learn(after), wanted, 1e-6)
    other = on_disk(tmp_path, changed=True)
    same(learn(other), learn(ModelForward(on_disk(tmp_path, changed=True).model)), 1e-6)
    assert one.read_bytes() == raw


def test_the_folder_is_bounded_and_the_longest_unused_go(tmp_path: Path) -> None:
    first = Keeping(1 << 20, tmp_path).opened("a")
    first.put(*rows(10))
    first.flush()
    (path,) = (tmp_path / "a").glob("*")
    limit = 4 * path.stat().st_size
    for i, owner in enumerate("abc"):
        if owner != "a":
            kept = Keeping(limit, tmp_path).opened(owner)
            kept.put(*rows(10))
            kept.flush()
        (path,) = (tmp_path / owner).glob("*")
        os.utime(path, (1000 + i, 1000 + i))
    Keeping(limit, tmp_path).opened("a")  # used last
    kept = Keeping(limit, tmp_path).opened("d")
    kept.put(*rows(10))
    kept.flush()
    assert sum(p.stat().st_size for p in tmp_path.glob("*/*")) <= limit
    assert list((tmp_path / "a").glob("*")) and list((tmp_path / "d").glob("*"))
    assert not list((tmp_path / "b").glob("*"))
    small = Keeping(100, tmp_path).opened("e")
    small.put(*rows(10))
    small.flush()
    assert small.full and not (tmp_path / "e").exists() and small.get(rows(1)[0][0]) is None


def test_padded_models_drop_nothing_below_either() -> None:
    """How a batch is laid out changes nothing, below as above."""
    case = "bert"
    sides = [ModelForward(frozen(build(config_of(case), torch.float64), 1).train(), layout=layout)  # type: ignore[arg-type]
             for layout in ("packed", "padded")]  # fmt: skip
    same(gradients(sides[0], BATCH), gradients(sides[1], BATCH), 1e-9)
    assert padded(BATCH, 0)[0].shape[0] == len(BATCH.ids)
