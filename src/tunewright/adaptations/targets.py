"""Which modules of a model an option names: by the ends of their names, by pattern, by the layers that they lie in."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from torch import nn

_PLACE = re.compile(r"^(.*?)\.(\d+)\.")


def is_turned(module: nn.Module) -> bool:
    """Whether it is GPT-2's Conv1D, whose weight is (in, out)."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, Conv1D)


def is_linear(module: nn.Module) -> bool:
    """Whether it is a product with a matrix: quantized ones too."""
    return isinstance(module, nn.Linear) or is_turned(module)


def sides(module: nn.Module) -> tuple[int, int]:
    """Columns and rows of its matrix: what goes in and what comes out."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, nn.Embedding):
        return module.num_embeddings, module.embedding_dim
    width, height = module.weight.shape  # type: ignore[misc]
    return int(width), int(height)


def linear_modules(model: nn.Module, head: Collection[str]) -> dict[str, nn.Module]:
    """Every linear layer by name, without the product with a vocabulary and what lies in the `head`, which learns whole."""
    output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None  # type: ignore[operator]
    return {
        name: module
        for name, module in model.named_modules()
        if is_linear(module) and module is not output and not _in(name, head)
    }


def modules_named(model: nn.Module, targets: str | Sequence[str], head: Collection[str]) -> dict[str, nn.Module]:
    """The modules that `targets` names, as peft reads it: "all-linear", a pattern of whole names, or ends of names."""
    if targets == "all-linear":
        return linear_modules(model, head)

    try:
        whole = re.compile(targets) if isinstance(targets, str) else None
    except re.error:
        return {}

    def meant(name: str) -> bool:
        if whole is not None:
            return whole.fullmatch(name) is not None
        return any(name == end or name.endswith(f".{end}") for end in targets)

    return {
        name: module
        for name, module in model.named_modules()
        if (is_linear(module) or isinstance(module, nn.Embedding)) and meant(name) and not _in(name, head)
    }


def _in(name: str, parts: Iterable[str]) -> bool:
    """Whether a module is one of `parts` or lies in it."""
    return any(f".{part}." in f".{name}." for part in parts)


def place_of(name: str) -> tuple[str, int] | None:
    """The stack of layers that a module belongs to, and the layer's number; None for what lies in no layer."""
    found = _PLACE.match(name)
    return (found.group(1), int(found.group(2))) if found else None


def depths(model: nn.Module) -> dict[str, int]:
    """How many layers each stack has: one of an encoder, one of a decoder."""
    out: dict[str, int] = {}
    for name, _ in model.named_modules():
        place = place_of(name)
        if place is not None:
            out[place[0]] = max(out.get(place[0], 0), place[1] + 1)
    return out


def in_layers(
    modules: Mapping[str, nn.Module], deep: Mapping[str, int], layers: Collection[int], top: int | None
) -> dict[str, nn.Module]:
    """Those of `modules` that lie in the layers named, or in the `top` ones of their stack."""

    def chosen(name: str) -> bool:
        place = place_of(name)
        if place is None:
            return False
        stack, number = place
        return number >= deep[stack] - top if top is not None else number in layers

    return {name: module for name, module in modules.items() if chosen(name)}


def matches(end: str, name: str) -> bool:
    """Whether the end of a name, in which * stands for anything, is that of this module."""
    pattern = re.escape(end).replace(r"\*", ".*")
    return re.fullmatch(rf"(?:.*\.)?{pattern}", name) is not None
