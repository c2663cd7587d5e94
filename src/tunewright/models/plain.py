"""What transformers itself makes of one example at a time, without anything of ours: the reference of `selftest`.

Every model here is as `ModelForward.release` and `rows.remove` leave it. Slow on purpose: a forward pass an example,
nothing packed, nothing padded, all scores of the vocabulary in memory.
"""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tunewright.core.tensors import IGNORED
from tunewright.encoding import Example


def scores(model: Any, example: Example) -> Tensor:
    """(C,) scores of one text, or (n, C) of each of its tokens (of the decoder's tokens, where there is a decoder)."""
    device = next(model.parameters()).device

    def row(tokens: Any) -> Tensor:
        return torch.as_tensor(tokens, dtype=torch.int64, device=device)[None]

    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    given: dict[str, Tensor] = {"input_ids": row(example.tokens), "attention_mask": row([1] * len(example.tokens))}
    if example.types is not None and "token_type_ids" in inspect.signature(inner.forward).parameters:
        given["token_type_ids"] = row(example.types)
    if example.decoder is not None:
        given["decoder_input_ids"] = row(example.decoder)
    with torch.no_grad():
        found: Tensor = model(**given).logits[0]
    return found.double()


def token_losses(model: Any, example: Example) -> Tensor:
    """(U,) -log p of the targets of one sequence, by `torch.nn.functional.cross_entropy`, in float64."""
    said = scores(model, example)
    target = torch.as_tensor(example.target, dtype=torch.int64, device=said.device)
    held = target != IGNORED
    return F.cross_entropy(said[held], target[held], reduction="none")


def greedy(model: Any, tokens: Sequence[int], end: Sequence[int], most: int) -> tuple[int, ...]:
    """What `model.generate` writes greedily, without the token that ends it; the model's own settings do not count."""
    settings = type(model.generation_config)(
        do_sample=False, num_beams=1, max_new_tokens=most, eos_token_id=list(end), pad_token_id=0,
        decoder_start_token_id=getattr(model.config, "decoder_start_token_id", None),
        **{name: getattr(model.generation_config, name, None) for name in ("forced_bos_token_id", "forced_eos_token_id")},
    )  # fmt: skip
    source = torch.as_tensor(tokens, dtype=torch.int64, device=next(model.parameters()).device)[None]
    own, model.generation_config = model.generation_config, copy.deepcopy(settings)
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Position ids are not supported", UserWarning)  # peft, of its own call
            made = model.generate(input_ids=source, attention_mask=torch.ones_like(source), generation_config=settings)[
                0
            ].tolist()
    finally:
        model.generation_config = own
    written = made[1:] if model.config.is_encoder_decoder else made[len(source[0]) :]
    ended = next((i for i, token in enumerate(written) if token in set(end)), len(written))
    return tuple(written[:ended])


def following(model: Any, tokens: Sequence[int], written: Sequence[int]) -> Tensor:
    """(V,) scores of the token that follows `written` behind a prompt or source."""
    if not model.config.is_encoder_decoder:
        read = torch.as_tensor([*tokens, *written], dtype=torch.int64).numpy()
        return scores(model, Example("", read, None, len(read)))[-1]
    side = torch.as_tensor([model.config.decoder_start_token_id, *written], dtype=torch.int64).numpy()
    source = torch.as_tensor(tokens, dtype=torch.int64).numpy()
    return scores(model, Example("", source, None, len(source), decoder=side))[-1]
