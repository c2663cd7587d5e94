"""Sums of what several models of one base have learnt:  W = W0 + sum_i w_i (W_i - W0).

With weights that sum to 1 it is the average of the models ("model soups", Wortsman et al. 2022a); with one model and a weight
below 1 it lies on the way to the base (WiSE-FT, Wortsman et al. 2022b); with any weights it is task arithmetic (Ilharco et
al. 2023). What differs from base to tuned model is a delta, and these rules combine deltas:

    linear       their weighted sum
    ties         of each only the largest by magnitude (`density` of them), and of these where they agree with the sign of the
                 sum; divided by how many agree (Yadav et al. 2023)
    dare_linear  of each a random `density` of the entries, divided by it (Yu et al. 2024)
    dare_ties    both

LoRA's deltas are products: their weighted sum is exact with the ranks added up, B = [B_1 .. B_n], A = [w_1 s_1 A_1; ..], and
no matrix of the model's own size is made. With a `rank`, and for the other rules, the delta is cut to its best
approximation of that rank (truncated SVD); `kept` says how much of its square norm that leaves.
A head that was new has no base: heads are averaged, with the weights divided by their sum.

Axes: O outputs, I inputs of a projection, R rank.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from tunewright.core.seeds import key

Method = Literal["linear", "ties", "dare_linear", "dare_ties"]
METHODS: tuple[str, ...] = get_args(Method)
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Rule:
    """How deltas are combined; `density` is the share of entries that ties and dare keep, `rank` of the result of LoRAs."""

    method: Method = "linear"
    density: float = 0.5
    rank: int | None = None
    seed: int = 0

    def combine(self, deltas: Sequence[Tensor], weights: Sequence[float], name: str) -> Tensor:
        """The combination of deltas of one shape; `name` keys what is drawn."""
        own = [delta.double() for delta in deltas]
        if self.method.startswith("dare"):
            own = [self._drawn(d, name, i) for i, d in enumerate(own)]
        elif self.method == "ties":
            own = [_largest(d, self.density) for d in own]
        weighted = torch.stack([w * d for w, d in zip(weights, own, strict=True)])
        if self.method.endswith("ties"):
            agrees = (weighted.sign() == weighted.sum(0).sign()) & (weighted != 0)
            return (weighted * agrees).sum(0) / agrees.sum(0).clamp(min=1)
        return weighted.sum(0)

    def _drawn(self, delta: Tensor, name: str, i: int) -> Tensor:
        generator = torch.Generator().manual_seed(key(self.seed, "dare", name, i))
        return delta * (torch.rand(delta.shape, generator=generator) < self.density) / self.density


def _largest(delta: Tensor, density: float) -> Tensor:
    """The delta with all but the largest entries by magnitude zero."""
    count = max(1, round(density * delta.numel()))
    kept = torch.zeros(delta.numel(), dtype=torch.bool)
    kept[delta.abs().flatten().topk(count).indices] = True
    return delta * kept.view_as(delta)


def plain(models: Sequence[Tensors], weights: Sequence[float], rule: Rule, base: Tensors | None) -> dict[str, Tensor]:
    """Whole weights of models of one shape. `base` holds W0; None where a weighted average needs none.

    A tensor that the base has not, or has in another shape, is of a head. What counts (integers) is the first model's.
    """
    out = {}
    for name, first in models[0].items():
        own = [model[name] for model in models]
        if not first.is_floating_point():
            out[name] = first
            continue
        before = None if base is None else base.get(name)
        if before is None or before.shape != first.shape:
            out[name] = averaged(own, weights) if base is not None else rule.combine(own, weights, name)
        else:
            start = before.double()
            out[name] = start + rule.combine([t.double() - start for t in own], weights, name)
        out[name] = out[name].to(first.dtype)
    return out


def averaged(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The mean of tensors of one shape, weighted."""
    if len(tensors) == 1:
        return tensors[0]
    total = sum(weights)
    out = torch.stack([w / total * t.double() for w, t in zip(weights, tensors, strict=True)]).sum(0)
    return out.to(tensors[0].dtype)


_LORA = re.compile(r"(.*)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B)(?:\.weight)?$")


@dataclass(frozen=True)
class Product:
    """B (O, R) and A (R, I) of one projection, with the factor `scaling` of their product."""

    b: Tensor
    a: Tensor
    scaling: float


def products(tensors: Tensors, config: Mapping[str, Any]) -> tuple[dict[str, Product], dict[str, Tensor]]:
    """A LoRA's products by the name of their module (an embedding's ends in "#"), and what else it holds: its heads.

    Args:
        tensors: of adapter_model.safetensors. config: adapter_config.json.
    """
    found: dict[str, dict[str, Tensor]] = {}
    others = {}
    for name, tensor in tensors.items():
        match = _LORA.fullmatch(name)
        if match is None:
            others[name] = tensor
            continue
        embedding = "#" if "embedding" in match[2] else ""
        found.setdefault(match[1] + embedding, {})[match[2][-1]] = tensor
    return {m: Product(p["B"], p["A"], scaling(config, m.rstrip("#"))) for m, p in found.items()}, others


def scaling(config: Mapping[str, Any], module: str) -> float:
    """peft's factor of a module's product: alpha / r, or alpha / sqrt(r), with the patterns of the configuration."""

    def of(patterns: Mapping[str, Any] | None, default: float) -> float:
        return next((v for k, v in (patterns or {}).items() if re.match(rf"(.*\.)?({k})$", module)), default)

    rank, alpha = of(config.get("rank_pattern"), config["r"]), of(config.get("alpha_pattern"), config["lora_alpha"])
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def joined(parts: Sequence[Product | None], weights: Sequence[float], rule: Rule, name: str) -> tuple[Product, float]:
    """The combination of one module's products, with scaling 1, and the share of its square norm that the rank leaves.

    None stands for a model without a product there.
    """
    known = [(w, p) for w, p in zip(weights, parts, strict=True) if p is not None]
    stacked = Product(
        torch.cat([p.b.double() for _, p in known], 1),
        torch.cat([w * p.scaling * p.a.double() for w, p in known], 0), 1.0,
    )  # fmt: skip
    dtype, total = known[0][1].a.dtype, stacked.a.shape[0]
    rank = min(rule.rank or total, *(stacked.b.shape[0], stacked.a.shape[1]))
    kept = 1.0
    if rule.method != "linear" or rank < total:
        if rule.method == "linear":
            (q, left), (p, right) = torch.linalg.qr(stacked.b), torch.linalg.qr(stacked.a.T)
            u, s, v = torch.linalg.svd(left @ right.T)
            u, v = q @ u, v @ p.T
        else:
            empty = torch.zeros(stacked.b.shape[0], stacked.a.shape[1], dtype=torch.float64)
            deltas = [empty if p is None else p.scaling * p.b.double() @ p.a.double() for p in parts]
            u, s, v = torch.linalg.svd(rule.combine(deltas, weights, name), full_matrices=False)
        square = float(s.square().sum())
        kept = float(s[:rank].square().sum()) / square if square else 1.0
        root = s[:rank].sqrt()
        stacked = Product(u[:, :rank] * root, root[:, None] * v[:rank], 1.0)
    return Product(stacked.b.to(dtype).contiguous(), stacked.a.to(dtype).contiguous(), 1.0), kept


def loras(
    adapters: Sequence[tuple[Tensors, Mapping[str, Any]]], weights: Sequence[float], rule: Rule
) -> tuple[dict[str, Tensor], dict[str, Any], float]:
    """LoRAs of one base: tensors and configuration of their combination, and what share of the deltas' norm it keeps.

    The configuration names every module in full where the adapters sit in different places.

    Raises:
        KeyError: a head that only some of them have.
    """
    read = [products(tensors, config) for tensors, config in adapters]
    modules = sorted({m for own, _ in read for m in own})
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    kept: list[float] = []
    for module in modules:
        product, share = joined([own.get(module) for own, _ in read], weights, rule, module)
        embedding, plain_name = module.endswith("#"), module.rstrip("#")
        for letter, value in (("A", product.a), ("B", product.b)):
            tensors[f"{plain_name}.lora_embedding_{letter}" if embedding else f"{plain_name}.lora_{letter}.weight"] = (
                value
            )
        ranks[plain_name] = product.a.shape[0]
        kept.append(share)
    for name in read[0][1]:
        tensors[name] = averaged([others[name] for _, others in read], weights)
    return tensors, _config([config for _, config in adapters], ranks), min(kept, default=1.0)


_PLACES = ("target_modules", "layers_to_transform", "layers_pattern", "exclude_modules")


def _config(configs: Sequence[Mapping[str, Any]], ranks: Mapping[str, int]) -> dict[str, Any]:
    usual = max(set(ranks.values()), key=list(ranks.values()).count)
    named = {name.removeprefix("base_model.model."): rank for name, rank in ranks.items()}
    patterns = {re.escape(name): rank for name, rank in named.items() if rank != usual}
    config = {**configs[0], "r": usual, "lora_alpha": usual, "use_rslora": False, "rank_pattern": patterns,
              "alpha_pattern": dict(patterns)}  # fmt: skip

    def places(one: Mapping[str, Any]) -> list[Any]:
        return [sorted(v) if isinstance(v, list) else v for v in map(one.get, _PLACES)]

    if any(places(one) != places(configs[0]) for one in configs):
        config |= {**dict.fromkeys(_PLACES), "target_modules": sorted(named)}
    return config


def others(
    adapters: Sequence[Tensors], weights: Sequence[float], start: Callable[[str], float | None]
) -> dict[str, Tensor]:
    """Adapters that are no products, tensor by tensor: `start` gives the value at which one of this name changes nothing
    (1 for IA3's factors); None for one that is averaged, a head."""
    out = {}
    for name, first in adapters[0].items():
        own, at = [tensors[name] for tensors in adapters], start(name)
        if at is None:
            out[name] = averaged(own, weights)
        else:
            delta = torch.stack([w * (t.double() - at) for w, t in zip(weights, own, strict=True)]).sum(0)
            out[name] = (at + delta).to(first.dtype)
    return out
