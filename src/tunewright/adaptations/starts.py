"""LoRA from a part of the weights (PiSSA, OLoRA): the base gives that part away, and an adapter that is saved gives it back.

Such a start splits W into a residual, which stays, and s B0 A0, which learns: scores are equal to rounding, but the
base's weights are other ones as long as the model is trained. What is saved is written for the base as it was:
W + s (B A - B0 A0), a LoRA of twice the rank, as peft's own conversion does. It opens in peft on the untouched base.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

SPLITTING = ("pissa", "olora")
"""The starts that take their matrices out of the base's weights."""
Started = Mapping[str, tuple[Tensor, Tensor]]


def remember(model: Any) -> None:
    """Keeps the matrices (r, in) and (out, r) that every LoRA layer of `model` starts from: `started_of` gives them."""
    from peft.tuners.lora import LoraLayer

    model.started = {
        name: tuple(_weight(one).detach().cpu().clone() for one in (module.lora_A, module.lora_B))
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer)
    }


def _weight(one: Any) -> Tensor:
    weight: Tensor = one["default"].weight
    return weight


def started_of(model: nn.Module) -> Started:
    """What the base gave away, by the name of the layer; empty for a model whose base is as it was."""
    found: Started = getattr(model, "started", None) or {}
    return found


def given_back(model: Any) -> dict[str, Tensor]:
    """The base's weights as they were, to rounding, by the names of the layers in `model` whose weights are others now."""
    out = {}
    for name, (a, b) in started_of(model).items():
        layer = model.get_submodule(name)
        part = layer.scaling["default"] * (b @ a)
        weight = layer.get_base_layer().weight.detach()
        out[name] = weight + (part.t() if layer.fan_in_fan_out else part).to(weight)
    return out


def restate(folder: Path, started: Started) -> None:
    """Rewrites the adapter that peft has saved in `folder` for the base as it was before it gave its part away.

    The rank is twice that of training; scaling stays what it was: alpha grows by 2, or by sqrt 2 where it is divided by
    the root of the rank.
    """
    from safetensors.torch import load_file, save_file

    weights, place = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    state = load_file(weights)
    for name, (a, b) in started.items():
        down, up = f"{name}.lora_A.weight", f"{name}.lora_B.weight"
        state[down] = torch.cat([state[down], a.to(state[down])], dim=0)
        state[up] = torch.cat([state[up], -b.to(state[up])], dim=1)
    save_file(state, weights, metadata={"format": "pt"})
    config = json.loads(place.read_text(encoding="utf-8"))
    factor = math.sqrt(2.0) if config.get("use_rslora") else 2.0
    config |= {
        "init_lora_weights": True,
        "r": 2 * config["r"],
        "lora_alpha": factor * config["lora_alpha"],
        "rank_pattern": {name: 2 * rank for name, rank in (config.get("rank_pattern") or {}).items()},
        "alpha_pattern": {name: factor * alpha for name, alpha in (config.get("alpha_pattern") or {}).items()},
    }
    place.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
