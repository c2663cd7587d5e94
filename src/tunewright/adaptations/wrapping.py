"""What every adaptation that peft carries has in common: the wrapping, the head that learns with it, and the way back."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from tunewright.adaptations.stored import dequantized, is_quantized
from tunewright.core.errors import Problem, RecipeError


def wrap(model: nn.Module, config: Any, seed: int, where: str, found: str) -> nn.Module:
    """A PeftModel around `model`, whose own parameters no longer learn; what is drawn comes from `seed` alone.

    Args:
        config: peft's configuration.
        where, found: the option to name where peft finds nothing to adapt, and what it says.

    Raises:
        RecipeError: peft finds nothing in this model that the configuration names.
    """
    from peft import get_peft_model

    _refuse_rewriting(model, config, where)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for what it has renamed
        warnings.filterwarnings("ignore", message="fan_in_fan_out", category=UserWarning)  # it sets that right
        torch.manual_seed(seed)
        try:
            wrapped: nn.Module = get_peft_model(model, config)
        except (TypeError, ValueError) as error:
            raise RecipeError(
                Problem(
                    where=where,
                    found=f"{found}: {str(error).splitlines()[0][:200]}",
                    allowed='"all-linear", or ends of module names of this model',
                    to_do="use all-linear",
                )
            ) from error
    return wrapped


def _refuse_rewriting(model: nn.Module, config: Any, where: str) -> None:
    """Sees that an adapter does not start by changing weights that are kept in few bits: the change would be lost.

    Raises:
        RecipeError: its initialisation does.
    """
    start = getattr(config, "init_lora_weights", True)
    if is_quantized(model) and start not in (True, False, "gaussian", "orthogonal", "eva"):
        raise RecipeError(
            Problem(where=where.rsplit(".", 1)[0], found=f"initialisation {start}, which changes the base's weights, after quantized",
                    allowed="an initialisation that leaves the base as it is", to_do="leave it at the default, or leave quantized out")
        )  # fmt: skip


def unwrapped(model: Any) -> nn.Module:
    """The plain model with what was learnt in its weights; quantized weights are dequantized first, so that none is lost."""
    dequantized(model)
    merged: nn.Module = model.merge_and_unload()
    return merged


def task_of(model: nn.Module, head: list[str]) -> str | None:
    """peft's word for what the model does, which its folder says to whoever opens it."""
    name = type(model).__name__
    known = {"ForTokenClassification": "TOKEN_CLS", "ForConditionalGeneration": "SEQ_2_SEQ_LM", "ForCausalLM": "CAUSAL_LM",
             "LMHeadModel": "CAUSAL_LM"}  # fmt: skip
    found = next((task for end, task in known.items() if name.endswith(end)), None)
    return found or ("SEQ_CLS" if head and hasattr(model, "config") and not name.endswith("ForMaskedLM") else None)


def head_of(model: nn.Module) -> list[str]:
    """The modules that learn whole and are saved whole: the head, and whatever else has weights that are new.

    A language model's product with its vocabulary, which may be its embeddings, is not among them.
    """
    names = [n for n in ("classifier", "score", "pre_classifier") if isinstance(getattr(model, n, None), nn.Module)]
    new = dict.fromkeys(name.rsplit(".", 1)[0] for name in getattr(model, "new_parameters", ()))
    output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None  # type: ignore[operator]
    kept = [n for n in new if output is None or all(m is not output for m in model.get_submodule(n).modules())]
    return names + [name for name in kept if name.split(".")[0] not in names]


def head_parameters(model: Any) -> set[str]:
    """The names of the parameters outside the body: the head's, and those that are new. Embeddings are the body's."""
    named = dict(model.named_parameters())
    body = getattr(model, "base_model", None)
    output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    words = {id(p) for p in output.parameters()} if output is not None else set()
    if body is not None and body is not model:
        inside = {id(p) for p in body.parameters()}
        found = {n for n, p in named.items() if id(p) not in inside}
    else:
        heads = tuple(f"{name}." for name in head_of(model))
        inside = {id(p) for p in model.get_input_embeddings().parameters()} if output is not None else set()
        found = {n for n, p in named.items() if n.startswith(heads) or id(p) in words - inside}
    return found | {n for n in getattr(model, "new_parameters", ()) if n in named and id(named[n]) not in words}
