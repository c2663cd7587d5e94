"""bfloat16: as near to the float32 truth as transformers is under the same autocast, and attention stays float32."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from tiny_families import batch_of, build, config_of, plain_scores

from tunewright.models import attention, blocks, precision
from tunewright.models.forward import ModelForward

CASES = ["bert", "roberta", "electra", "distilbert", "modernbert-cls-odd", "modernbert-mean-even", "gpt2", "qwen3"]


@pytest.mark.parametrize("predicting", [False, True])
@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("case", CASES)
def test_no_further_from_the_truth_than_transformers(case: str, layout: Any, predicting: bool) -> None:
    plain = build(config_of(case))
    forward = ModelForward(build(config_of(case)), layout=layout, precision="bfloat16")
    ours, naive, size = [], [], []
    with torch.no_grad():
        for seed in range(4):
            batch = batch_of(seed=seed)
            truth = plain_scores(plain, batch)
            with torch.autocast("cpu", torch.bfloat16):
                theirs = plain_scores(plain, batch).float()
            with forward.evaluating() if predicting else nullcontext():
                scores = forward(batch)
            assert scores.dtype == torch.float32
            ours.append((scores - truth).square().mean())
            naive.append((theirs - truth).square().mean())
            size.append(truth.square().mean())
    error, bound, norm = (float(torch.stack(x).mean().sqrt()) for x in (ours, naive, size))
    assert 0 < error < 0.03 * norm
    assert error < 1.5 * bound


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_attention_of_long_examples_runs_in_float32(layout: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "take", lambda longest, dtype: False)
    seen = set()
    whole = torch.nn.functional.scaled_dot_product_attention

    def spy(q: Any, k: Any, v: Any, **options: Any) -> Any:
        seen.add((q.dtype, k.dtype, v.dtype))
        return whole(q, k, v, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    monkeypatch.setattr(attention, "flash_works", lambda: False)
    forward = ModelForward(build(config_of("llama")), layout=layout, precision="bfloat16")
    forward(batch_of())
    assert seen == {(torch.float32,) * 3}


def test_training_under_bfloat16_leaves_float32_gradients() -> None:
    forward = ModelForward(build(config_of("bert")).train(), precision="bfloat16")
    forward(batch_of(step=0)).sum().backward()
    assert {p.grad.dtype for p in forward.model.parameters() if p.grad is not None} == {torch.float32}


@pytest.mark.parametrize("native", [True, False])
def test_chosen(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bfloat16_is_native", lambda kind: native)
    assert precision.chosen("auto") == ("bfloat16" if native else "float32")
    assert precision.chosen("float32") == "float32"
    assert precision.chosen("bfloat16") == "bfloat16"


@pytest.mark.parametrize(
    ("capability", "bf16", "amx", "expected"),
    [("AVX512", True, False, True), ("AVX512", False, True, True), ("AVX512", False, False, False),
     ("AVX2", False, False, False), ("AVX2", True, False, False)],
)  # fmt: skip
def test_what_the_processor_says(
    capability: str, bf16: bool, amx: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(precision, "_maker", lambda: "AMD EPYC")
    assert precision.bfloat16_is_native.__wrapped__() is expected  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("maker", "instruction", "tiles", "native"),
    [
        ("AMD EPYC", True, False, True),
        ("Intel Xeon", True, True, True),
        ("Intel Xeon", True, False, False),  # a virtual machine that hides AMX: half the rate of float32
        ("AMD EPYC", False, False, False),
    ],
)
def test_bfloat16_where_its_products_are_the_faster_ones(
    maker: str, instruction: bool, tiles: bool, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": maker}, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instruction)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert precision.bfloat16_is_native.__wrapped__("cpu") is native
