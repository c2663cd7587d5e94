"""What prompts and prefixes have in common: whom they suit, peft's configuration, where their numbers begin from.

Virtual tokens change what a model computes from the first step on: attention gives them weight, whatever they hold. So none
of these is the base model at attachment, and none can be merged into weights. What is learnt is saved in peft's own format,
a tensor `prompt_embeddings`, without the network that made it.

They take places of the context: with `tokens: 20` an example may be 20 tokens shorter where the model's places are limited.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tunewright.adaptations.wrapping import head_of, task_of, wrap
from tunewright.core.errors import Problem, RecipeError, listed

ENCODERS = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "modernbert"})
DECODERS = frozenset({"gpt2", "llama", "mistral", "qwen2", "qwen3"})
SOURCES = frozenset({"t5", "mt5", "bart"})
"""Encoder-decoders."""


def attached(model: nn.Module, kind: type, seed: int, name: str, tokens: int, **options: Any) -> Any:
    """A PeftModel with `tokens` virtual tokens around `model`, of whose own parameters the new head alone learns.

    Args:
        kind: peft's class of configuration; options: of its own.
        name: the adaptation's, for messages.

    Raises:
        RecipeError: the model's family has no such tokens here, or its context has no room for them.
    """
    family = _family(model, name)
    head, config = head_of(model), model.config
    task = task_of(model, head)
    _check_room(config, name, tokens)
    made = kind(
        num_virtual_tokens=tokens,
        modules_to_save=head or None,
        # peft knows no masked language models; under this name it hands everything through
        task_type="FEATURE_EXTRACTION" if task is None or type(model).__name__.endswith("ForMaskedLM") else task,
        **{"num_transformer_submodules": 1, "num_layers": layers_of(config), **_shape(model), **options},
    )
    return wrap(model, made, seed, f"adaptation.{name}", f"{tokens} virtual tokens for {family}")


def _family(model: nn.Module, name: str) -> str:
    family = str(getattr(getattr(model, "config", None), "model_type", type(model).__name__))
    known = ENCODERS | DECODERS | SOURCES
    if family not in known or (family in SOURCES and not type(model).__name__.endswith("ForConditionalGeneration")):
        raise RecipeError(
            Problem(where=f"adaptation.{name}", found=f"{type(model).__name__} ({family})",
                    allowed=f"{listed(sorted(ENCODERS | DECODERS), 20)}; writing texts: {listed(sorted(SOURCES))}",
                    to_do="use lora, or another model")
        )  # fmt: skip
    return family


def _check_room(config: Any, name: str, tokens: int) -> None:
    places = int(getattr(config, "max_position_embeddings", 0) or 0)
    least = 8
    if places and tokens > places - least:
        raise RecipeError(
            Problem(where=f"adaptation.{name}.tokens", found=f"{tokens:,}",
                    allowed=f"1 to {max(places - least, 1)}: the model has {places} places in all, for the texts too",
                    to_do="choose 5 to 100")
        )  # fmt: skip


def _shape(model: Any) -> dict[str, int]:
    """The width of the embeddings, and how many heads the attention has."""
    width = model.get_input_embeddings().weight.shape[1]
    config = model.config
    heads = getattr(config, "num_attention_heads", None) or getattr(config, "num_heads", None)
    return {"token_dim": int(width), "num_attention_heads": int(heads or config.decoder_attention_heads)}


def keys_shape(model: Any) -> dict[str, int]:
    """The width of a layer's keys, all heads together, and how many heads they have."""
    config = model.config
    heads = getattr(config, "num_key_value_heads", None) or getattr(config, "decoder_attention_heads", None)
    heads = heads or _shape(model)["num_attention_heads"]
    width = getattr(config, "head_dim", None) or getattr(config, "d_kv", None)
    if width is None:
        hidden = getattr(config, "hidden_size", None) or config.d_model
        width = hidden // _shape(model)["num_attention_heads"]
    return {"token_dim": int(width * heads), "num_attention_heads": int(heads)}


def layers_of(config: Any) -> int:
    """Layers that may have a prefix: all, of an encoder-decoder the decoder's."""
    if config.model_type in SOURCES:
        return int(getattr(config, "num_decoder_layers", None) or config.decoder_layers)
    return int(config.num_hidden_layers)


def begin(wrapped: Any, rows: Tensor) -> None:
    """Writes where the embedding of the virtual tokens begins from."""
    weight = wrapped.prompt_encoder[wrapped.active_adapter].embedding.weight
    with torch.no_grad():
        weight.copy_(rows)


def normal(wrapped: Any, seed: int, mean: Tensor | float, spread: Tensor | float) -> None:
    """Begins from a normal distribution; `mean` and `spread` (width,) or one for all."""
    weight = wrapped.prompt_encoder[wrapped.active_adapter].embedding.weight
    drawn = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed % 2**63)).to(weight)
    begin(wrapped, drawn * spread + mean)


def unmergeable(name: str) -> RecipeError:
    """What merging virtual tokens says."""
    return RecipeError(
        Problem(where=f"adaptation.{name}", found="virtual tokens cannot be merged into weights: the model reads them",
                allowed="what changes weights: lora, ia3, full and the like",
                to_do="keep the adapter beside its base model, or train `adaptation: lora` and merge that")
    )  # fmt: skip
