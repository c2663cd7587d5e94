"""Tiny models with random weights, one or more for each family, and batches for them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from tunewright.core.seeds import key
from tunewright.core.tensors import Batch
from tunewright.models.forward import ModelForward

VOCABULARY = 50
LENGTHS = (5, 1, 9, 5, 17, 1, 2, 9)  # unsorted, with single tokens and runs of one example

_ENCODER = {
    "vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 40, "num_labels": 3, "initializer_range": 0.3,
}  # fmt: skip
_DECODER = {
    **_ENCODER, "num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0, "head_dim": 8,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_MODERN = {
    **_ENCODER, "pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2,
    "global_attn_every_n_layers": 2, "mlp_dropout": 0.1, "embedding_dropout": 0.1, "classifier_dropout": 0.1,
    "attention_dropout": 0.1, "num_hidden_layers": 4,
}  # fmt: skip

# name -> (family, configuration)
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", _ENCODER),
    "roberta": ("roberta", {**_ENCODER, "pad_token_id": 1, "type_vocab_size": 1}),
    "xlm-roberta": ("xlm-roberta", {**_ENCODER, "pad_token_id": 1, "type_vocab_size": 1}),
    "camembert": ("camembert", {**_ENCODER, "pad_token_id": 1, "type_vocab_size": 1}),
    "distilbert": (
        "distilbert",
        {"vocab_size": VOCABULARY, "dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24, "num_labels": 3,
         "max_position_embeddings": 40, "pad_token_id": 0, "initializer_range": 0.3},
    ),
    "electra": ("electra", {**_ENCODER, "embedding_size": 8}),
    "electra-same-width": ("electra", {**_ENCODER, "embedding_size": 16}),
    "modernbert-cls-odd": ("modernbert", {**_MODERN, "classifier_pooling": "cls", "local_attention": 5}),
    "modernbert-mean-even": ("modernbert", {**_MODERN, "classifier_pooling": "mean", "local_attention": 6}),
    "gpt2": (
        "gpt2",
        {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 40, "num_labels": 3,
         "pad_token_id": 0, "initializer_range": 0.3, "bos_token_id": 1, "eos_token_id": 2},
    ),
    "gpt2-scaled-by-layer": (
        "gpt2",
        {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 40, "num_labels": 3,
         "pad_token_id": 0, "initializer_range": 0.3, "scale_attn_by_inverse_layer_idx": True, "bos_token_id": 1,
         "eos_token_id": 2},
    ),
    "llama": ("llama", _DECODER),
    "mistral": ("mistral", {**_DECODER, "sliding_window": 4}),
    "qwen2": ("qwen2", {**_DECODER, "use_sliding_window": False}),
    "qwen2-sliding": (
        "qwen2", {**_DECODER, "use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}
    ),
    "qwen3": ("qwen3", _DECODER),
}  # fmt: skip
UNPACKED: dict[str, tuple[str, dict[str, Any]]] = {
    "albert": ("albert", {**_ENCODER, "embedding_size": 8, "pad_token_id": 0, "hidden_dropout_prob": 0.1}),
    "deberta-v2": (
        "deberta-v2",
        {**_ENCODER, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 8,
         "pad_token_id": 0, "type_vocab_size": 0},
    ),
    "bart": (
        "bart",
        {"vocab_size": VOCABULARY, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "num_labels": 3,
         "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24,
         "max_position_embeddings": 40, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "init_std": 0.3,
         "decoder_start_token_id": 2, "forced_eos_token_id": None},
    ),
    "t5": (
        "t5",
        {"vocab_size": VOCABULARY, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2,
         "num_labels": 3, "pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 0,
         "relative_attention_num_buckets": 8},
    ),
}  # fmt: skip


def config_of(case: str, **changes: Any) -> Any:
    from transformers import AutoConfig

    family, options = (CASES | UNPACKED)[case]
    return AutoConfig.for_model(family, **copy.deepcopy({**options, **changes}))


def build(config: Any, dtype: torch.dtype = torch.float32, attention: str = "sdpa", seed: int = 0) -> Any:
    """The plain model of a copy of `config`; equal seeds give equal weights."""
    from transformers import AutoModelForSequenceClassification

    attention = "eager" if config.model_type == "deberta-v2" else attention
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_config(copy.deepcopy(config), attn_implementation=attention)
        with torch.no_grad():  # biases too, so that a forgotten one shows
            for name, parameter in model.named_parameters():
                if name.endswith("bias"):
                    parameter.normal_(0.0, 0.1)
    return model.to(dtype).eval()


def pair(case: str, layout: Any, dtype: torch.dtype = torch.float32, attention: str = "sdpa", **changes: Any) -> Any:
    """(ours, the plain model) with equal weights."""
    config = config_of(case, **changes)
    plain = build(config, dtype, attention)
    return ModelForward(build(config, dtype), layout=layout), plain


def batch_of(
    lengths: tuple[int, ...] = LENGTHS, *, seed: int = 0, step: int | None = None, types: bool = False
) -> Batch:
    """Random tokens that are neither padding nor special, save that each text ends with token 2."""
    generator = torch.Generator().manual_seed(seed)
    n = sum(lengths)
    tokens = torch.randint(4, VOCABULARY, (n,), generator=generator)
    tokens[torch.tensor(lengths).cumsum(0) - 1] = 2
    ids = tuple(f"row{i}" for i in range(len(lengths)))
    return Batch(
        ids=ids,
        tokens=tokens,
        lengths=tuple(lengths),
        targets=torch.randint(0, 3, (len(lengths),), generator=generator),
        positions=torch.arange(len(lengths)),
        keys=None if step is None else torch.tensor([key(seed, step, i) for i in ids]),
        types=torch.randint(0, 2, (n,), generator=generator) if types else None,
    )


def part(batch: Batch, rows: list[int]) -> Batch:
    """Some examples of a batch, in the order of `rows`."""
    tokens = batch.tokens.split(list(batch.lengths))
    return Batch(
        ids=tuple(batch.ids[i] for i in rows),
        tokens=torch.cat([tokens[i] for i in rows]),
        lengths=tuple(batch.lengths[i] for i in rows),
        targets=batch.targets[rows],
        positions=torch.arange(len(rows)),
        keys=None if batch.keys is None else batch.keys[rows],
        types=None if batch.types is None else torch.cat([batch.types.split(list(batch.lengths))[i] for i in rows]),
    )


def padded(batch: Batch, padding: int, values: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Right-padded (values or token ids, mask), made apart from the code under test."""
    values = batch.tokens if values is None else values
    rows = values.split(list(batch.lengths))
    out = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=padding)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(r), dtype=torch.int64) for r in rows], batch_first=True)
    return out, mask


def plain_scores(model: Any, batch: Batch) -> Tensor:
    """What transformers itself says."""
    tokens, mask = padded(batch, model.config.pad_token_id or 0)
    more = {} if batch.types is None else {"token_type_ids": padded(batch, 0, batch.types)[0]}
    scores: Tensor = model(input_ids=tokens, attention_mask=mask, **more).logits
    return scores


def weighted(scores: Tensor) -> Tensor:
    """A loss whose gradient differs for every score."""
    return (scores * torch.linspace(-1.0, 1.0, scores.numel(), dtype=scores.dtype).view_as(scores)).sum() + (
        scores.square().sum() / 3
    )


def gradient_error(ours: Any, plain: Any) -> float:
    """The largest difference of gradients, relative to each parameter's largest.

    With a floor: the gradient of a key's bias is 0 but for rounding.
    """
    named = dict(plain.named_parameters())
    floor = 2e-2 * max(float(p.grad.abs().max()) for p in named.values() if p.grad is not None)
    worst = 0.0
    for name, parameter in ours.named_parameters():
        theirs = named[name].grad
        if theirs is None and parameter.grad is None:
            continue
        assert theirs is not None and parameter.grad is not None, f"{name}: only one side has a gradient"
        worst = max(worst, float((parameter.grad - theirs).abs().max()) / max(float(theirs.abs().max()), floor))
    return worst
