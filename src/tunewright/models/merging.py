"""What an adapter has learnt, put into plain weights: a model of transformers that knows nothing of the adapter.

Weights that several modules share are taken apart first where an adapter sits on one of them: merging adds to the shared
numbers in place, and a head that shares an adapted embedding would change with it, although base + adapter leaves it as
it is.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from tunewright.adaptations.stored import dequantized
from tunewright.core.errors import ModelError, Problem, RecipeError
from tunewright.core.registry import members
from tunewright.models.saving import Saved, open_saved

Precision = Literal["float32", "bfloat16", "float16"]
DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_ADAPTER = "adapter_config.json"
_COVERED = (".base_layer.", ".original_module.")
"""What peft puts into the name of a parameter over which something learns."""


def adapted(folder: Path) -> bool:
    """Whether a saved model is an adapter beside its base; otherwise its weights are plain."""
    return (folder / _ADAPTER).is_file()


def refuse_unmergeable(folder: Path, card: dict[str, Any]) -> None:
    """Sees that what was learnt can become plain weights.

    Raises:
        RecipeError: an adaptation that is no sum with the weights: prefixes, prompts, layers of its own.
    """
    names = str(card.get("adaptation", "")).split(" + ")
    known = members("adaptation")
    stays = [name for name in names if not getattr(known.get(name), "merges", True)]
    if not stays and adapted(folder) and "num_virtual_tokens" in _config(folder):
        stays = [str(_config(folder).get("peft_type", "prompt tuning")).lower()]
    if stays:
        merging = sorted(name for name, member in known.items() if getattr(member, "merges", True))
        raise RecipeError(
            Problem(where=f"merge {folder}", found=f"{stays[0]} works beside the weights: no weights are equal to it",
                    allowed=f"models adapted by {', '.join(merging)}",
                    to_do="use the folder as it is: `predict` and `evaluate` open it with its base")
        )  # fmt: skip


def _config(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / _ADAPTER).read_text(encoding="utf-8")))


def merged(saved: Saved, precision: Precision) -> nn.Module:
    """The plain model with what was learnt in its weights, which are rounded to `precision` once, at the end.

    Takes the adapter off `saved.model`.

    Raises:
        ModelError: peft cannot merge it, or its weights are not finite.
    """
    model: Any = saved.model
    dequantized(model)  # peft would add to a copy
    if hasattr(model, "peft_config"):
        _part(model.get_base_model())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = model.merge_and_unload(safe_merge=True)
        except (ValueError, NotImplementedError, AttributeError, TypeError) as error:
            said = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise ModelError(
                Problem(where=f"model {saved.found.name}", found=f"the adapter cannot be merged: {said}",
                        to_do="use it as it is, beside its base")
            ) from error  # fmt: skip
    if getattr(model.config, "tie_word_embeddings", False) and not _tied(model):
        model.config.tie_word_embeddings = False
    plain: nn.Module = model.to(DTYPES[precision])
    return plain


def _part(model: nn.Module) -> None:
    """Gives modules that share a parameter with an adapted one a copy of their own."""
    holders: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        holders.setdefault(id(parameter), []).append(name)
    for names in holders.values():
        if len(names) < 2 or not any(part in name for name in names for part in _COVERED):
            continue
        for name in names[1:]:
            parent, _, leaf = name.rpartition(".")
            module = model.get_submodule(parent)
            own = getattr(module, leaf)
            setattr(module, leaf, nn.Parameter(own.detach().clone(), requires_grad=own.requires_grad))


def _tied(model: Any) -> bool:
    """Whether the head still is the embeddings; a model that has no head of its own is tied."""
    output, table = model.get_output_embeddings(), model.get_input_embeddings()
    return output is None or table is None or output.weight is table.weight


def ways(card: dict[str, Any]) -> list[str]:
    """Into which weights the adapter can be merged: "plain", and "dequantized" where it was trained on a quantized base."""
    quantized = "quantized" in str(card.get("adaptation", "")).split(" + ") and not card["base"].get("dequantized")
    return ["plain", "dequantized"] if quantized else ["plain"]


def opened(folder: Path, way: str) -> Saved:
    """The saved model on the weights that it shall be merged into."""
    return open_saved(folder, quantized=way != "plain")
