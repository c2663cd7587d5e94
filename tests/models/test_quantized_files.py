"""Weights in few bits on the disk: the same ones for plain transformers, for bitsandbytes and for us, and the same scores."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers import AutoConfig

from tunewright.adaptations.stored import StoredLinear
from tunewright.core.errors import ModelError, RecipeError
from tunewright.models import quantized_files
from tunewright.models.loading import find, load
from tunewright.models.toy import byte_tokenizer

_COMMON: dict[str, Any] = {"vocab_size": 259, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_WIDE: dict[str, Any] = {**_COMMON, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
                         "num_attention_heads": 2}  # fmt: skip
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("bert", "BertForSequenceClassification", {**_WIDE, "num_labels": 3}),
    "llama": ("llama", "LlamaForCausalLM", {**_WIDE, "tie_word_embeddings": True}),
    "gpt2": ("gpt2", "GPT2LMHeadModel", {**_COMMON, "n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 64}),
    "t5": ("t5", "T5ForConditionalGeneration", {**_COMMON, "d_model": 64, "d_kv": 32, "d_ff": 128, "num_layers": 2, "num_heads": 2,
                                                "decoder_start_token_id": 0}),
}  # fmt: skip


def model_of(family: str) -> Any:
    kind, name, options = FAMILIES[family]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = getattr(transformers, name)(AutoConfig.for_model(kind, **options)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 2:
                    parameter.normal_(0, 0.05 if family == "t5" else 0.2)  # T5 does not scale its attention down
    return model


@torch.no_grad()
def scores(model: Any) -> Tensor:
    ids = torch.arange(3, 23).view(2, 10)
    more = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    return model(input_ids=ids, **more).logits.double()


def opened(folder: Path, family: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(transformers, FAMILIES[family][1]).from_pretrained(folder).eval()


@pytest.mark.parametrize("kind", quantized_files.KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_opened_is_what_was_written(family: str, kind: Any, tmp_path: Path) -> None:
    plain = scores(model_of(family))
    model = quantized_files.quantize(model_of(family), kind, torch.float32, "--quantize")
    stored = {n: m.values(torch.float32) for n, m in model.named_modules() if isinstance(m, StoredLinear)}
    said = scores(model)
    quantized_files.write(model, tmp_path)
    assert quantized_files.is_quantized(tmp_path) and torch.equal(scores(model), said)
    ours = quantized_files.taken(opened(tmp_path, family))
    again = {n: m.values(torch.float32) for n, m in ours.named_modules() if isinstance(m, StoredLinear)}
    assert again.keys() == stored.keys() and all(torch.equal(again[n], stored[n]) for n in stored)
    assert torch.allclose(scores(ours), said, atol=1e-5)
    spread = plain.std()
    error = (said - plain).std() / spread
    assert 0 < error < (0.05 if kind == "int8" else 0.6)
    there = scores(opened(tmp_path, family))  # its own products: rounded scales, or inputs rounded to 8 bits
    assert 0 < (there - said).std() / spread < 0.1


def test_what_stays_as_it_is(tmp_path: Path) -> None:
    """T5's `wo`, which transformers keeps in float32; embeddings, heads and norms; and their names in the configuration."""
    model = quantized_files.quantize(model_of("t5"), "nf4", torch.bfloat16, "--quantize")
    stored = [n for n, m in model.named_modules() if isinstance(m, StoredLinear)]
    assert stored and not any(name.endswith("wo") for name in stored)
    quantized_files.write(model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())["quantization_config"]
    assert "lm_head" in config["llm_int8_skip_modules"] and config["bnb_4bit_compute_dtype"] == "bfloat16"
    quantized_files.write(quantized_files.quantize(model_of("bert"), "nf4", torch.float32, ""), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())["quantization_config"]
    assert {n.replace("\\", "") for n in config["llm_int8_skip_modules"]} == {"bert.pooler.dense", "classifier"}


def test_a_model_too_small_for_it() -> None:
    def small() -> Any:
        return transformers.BertForSequenceClassification(
            AutoConfig.for_model("bert", **{**_WIDE, "hidden_size": 32, "intermediate_size": 48})
        )

    with pytest.raises(RecipeError, match="too small"):
        quantized_files.quantize(small(), "nf4", torch.float32, "--quantize")
    assert quantized_files.quantize(small(), "int8", torch.float32, "--quantize") is not None


def test_it_is_no_base_to_train_on(tmp_path: Path) -> None:
    quantized_files.write(quantized_files.quantize(model_of("llama"), "nf4", torch.float32, ""), tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="few bits"):
        load(find(str(tmp_path)), (), 0, "causal_lm")
