"""LoRA from what its layers read: A's rows are the directions in which the inputs of a layer vary most; B is zero.

Paischer et al. 2024, "One Initialization to Rule them All: Fine-tuning via Explained Variance Adaptation". X (N, K) are a layer's
inputs at N tokens of training texts, X = U S V^T, A = V_1..r^T. Attaching still changes no score, and what is saved is a plain
LoRA. Cost: one pass over about a thousand tokens, and an eigenvalue problem of min(N, K) for each layer.

As in the paper the decomposition is incremental: what comes in a further batch is decomposed together with S V^T of those before. What
differs: ranks are not redistributed among layers by the variance that they explain. A direction that the texts do not have (fewer
rows than ranks) stays as it was drawn.

Axes: N rows, K inputs of a layer, R rank.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_NOTHING = 1e-6
"""A direction whose share of the largest singular value is below this is rounding."""


def look(model: nn.Module, run: Callable[[], None]) -> None:
    """Sets A of every LoRA layer of `model` from what the layers read while `run` passes texts through it."""
    from peft.tuners.lora import LoraLayer

    layers: dict[str, Any] = {name: m for name, m in model.named_modules() if isinstance(m, LoraLayer) and m.lora_A}
    found: dict[str, Tensor] = {}

    def watching(name: str, rank: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def see(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            rows = args[0].detach().flatten(0, -2).double()
            known = found.get(name)
            found[name] = largest(rows if known is None else torch.cat([known, rows]), rank)

        return see

    handles = [m.register_forward_pre_hook(watching(n, _a(m).shape[0])) for n, m in layers.items()]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    with torch.no_grad():
        for name, rows in found.items():
            lengths = rows.norm(dim=1, keepdim=True)
            kept = int((lengths[:, 0] > _NOTHING * lengths.max()).sum())
            _a(layers[name])[:kept] = (rows / lengths.clamp(min=1e-300))[:kept].to(_a(layers[name]))


def largest(rows: Tensor, rank: int) -> Tensor:
    """(at most R, K) the largest singular values of `rows` (N, K) times their right vectors, each with its largest entry positive."""
    n, k = rows.shape
    if n <= k:
        values, vectors = torch.linalg.eigh(rows @ rows.T)
        out = vectors[:, -rank:].T.flip(0) @ rows
    else:
        values, vectors = torch.linalg.eigh(rows.T @ rows)
        out = vectors[:, -rank:].T.flip(0) * values[-rank:].flip(0).clamp(min=0).sqrt()[:, None]
    ends = out.gather(1, out.abs().argmax(dim=1, keepdim=True))
    signed: Tensor = out * torch.where(ends < 0, -1.0, 1.0)
    return signed


def _a(layer: Any) -> Tensor:
    weight: Tensor = layer.lora_A["default"].weight
    return weight
