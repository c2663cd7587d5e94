"""Tiny models that write, one or more for each family, prompts for them, and transformers' own answers."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from tiny_families import CASES, VOCABULARY

from tunewright.models.generation import Generated, Generation, Prompt, generate

END = (2,)
LENGTHS = (5, 1, 9, 5, 17, 2, 9, 3)  # unsorted, with single tokens

_SEQ2SEQ: dict[str, Any] = {
    "vocab_size": VOCABULARY, "d_model": 16, "pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 0,
}  # fmt: skip
_T5: dict[str, Any] = {
    **_SEQ2SEQ, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 2,
    "initializer_factor": 2.5,
}  # fmt: skip
SOURCES: dict[str, tuple[str, dict[str, Any]]] = {
    "t5": ("t5", _T5),
    "t5-gated-untied": ("t5", {**_T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "mt5": ("mt5", {**_T5, "feed_forward_proj": "gated-gelu"}),
    "bart": (
        "bart",
        {**_SEQ2SEQ, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 2, "bos_token_id": 1,
         "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "init_std": 0.5,
         "max_position_embeddings": 64, "forced_eos_token_id": None, "decoder_start_token_id": 2},
    ),
}  # fmt: skip
DECODERS = ("gpt2", "gpt2-scaled-by-layer", "llama", "mistral", "qwen2", "qwen2-sliding", "qwen3")


class Spelling:
    """A tokenizer in which token t is one letter, and what is special is nothing."""

    def decode(self, tokens: list[int], **options: Any) -> str:
        return "".join(chr(ord("0") + t) for t in tokens if t > 2)


def model_of(case: str, seed: int = 0, **changes: Any) -> Any:
    """A model with random weights; equal seeds give equal ones."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    family, options = SOURCES[case] if case in SOURCES else CASES[case]
    options = copy.deepcopy({**options, **changes})
    options.pop("num_labels", None)
    config = AutoConfig.for_model(family, **options)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        auto = AutoModelForSeq2SeqLM if case in SOURCES else AutoModelForCausalLM
        model = auto.from_config(config, attn_implementation="sdpa")
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("bias"):
                    parameter.normal_(0.0, 0.3)
    return model.eval()


def prompts_of(lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> list[Prompt]:
    """Random tokens, none of them special."""
    random = np.random.default_rng(seed)
    return [Prompt(f"row{i}", random.integers(3, VOCABULARY, n)) for i, n in enumerate(lengths)]


def ours(
    model: Any, prompts: list[Prompt], seed: int = 0, end: tuple[int, ...] = END, **options: Any
) -> list[Generated]:
    """With a tokenizer of letters; `batch_tokens`, `precision` and `between` go to `generate`."""
    names = ("batch_tokens", "precision", "between", "tokenizer")
    more = {name: options.pop(name) for name in names if name in options}
    more.setdefault("tokenizer", Spelling())
    return generate(model, prompts, Generation(**options), seed=seed, end=end, **more)


def theirs(model: Any, prompt: Prompt, end: tuple[int, ...] = END, **options: Any) -> tuple[int, ...]:
    """What `model.generate` gives for one prompt alone, without the end token and what fills."""
    names = {"no_repeat_ngram": "no_repeat_ngram_size", "beams": "num_beams"}
    given = {names.get(name, name): value for name, value in options.items()}
    tokens = torch.as_tensor(prompt.tokens)[None]
    out = model.generate(
        tokens, attention_mask=torch.ones_like(tokens), do_sample=False, eos_token_id=list(end) or None,
        pad_token_id=0, **given,
    )[0]  # fmt: skip
    found = out[1:] if model.config.is_encoder_decoder else out[tokens.shape[1] :]
    kept = []
    for token in found.tolist():
        if token in end:
            break
        kept.append(token)
    return tuple(kept)
