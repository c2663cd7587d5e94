"""Linear layers of a prediction on a CPU in bfloat16: weights laid out once for oneDNN, GELU inside the product.

A prediction uses the same weights for many batches, so it pays to bring them into the order that the machine's
products want, which PyTorch's own `linear` does anew at each call; and a GELU after a product costs a pass over its
output that the product can do as it writes. Both are oneDNN's, through operators that PyTorch keeps for its compiler.
They are tried once, and where they are missing or disagree with the public functions, nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tunewright.adaptations.stored import StoredLinear

_ROWS = 4096  # for how many tokens at once the weights are laid out; other numbers work and may be slower
_SPARE = 1 << 30
"""Bytes that quantized weights may take when laid out; where they need more, each product dequantizes its own."""


class _Laid:
    """One linear layer's product; `gelu` says that exact GELU follows, `turned` that its weight is (in, out).

    Weights are laid out at the first call, or taken from `known`, where others over the same weights have left them.
    """

    def __init__(
        self,
        layer: Any,
        gelu: bool = False,
        turned: bool = False,
        known: MutableMapping[nn.Parameter, Tensor] | None = None,
    ) -> None:
        self.layer, self.gelu, self.turned, self.known = layer, gelu, turned, known
        self._weight: Tensor | None = None
        self._bias: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if self._weight is None:
            weight = self.layer.weight
            laid = None if self.known is None else self.known.get(weight)
            self._weight = _lay(weight.t() if self.turned else weight) if laid is None else laid
            if self.known is not None:
                self.known[weight] = self._weight
            self._bias = None if self.layer.bias is None else self.layer.bias.detach().bfloat16()
        return _product(x.bfloat16(), self._weight, self._bias, self.gelu)


def _lay(weight: Tensor) -> Tensor:
    laid: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach().bfloat16().contiguous(), _ROWS)
    return laid


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(
        x, weight, bias, "gelu" if gelu else "none", [], "none" if gelu else ""
    )
    return out


@cache
def works() -> bool:
    """Whether the operators exist here and agree with `linear` and `gelu`."""
    try:
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            generator = torch.Generator().manual_seed(0)
            x, weight = (torch.randn(n, 32, generator=generator).bfloat16() for n in (7, 48))
            bias = torch.randn(48, generator=generator).bfloat16()
            plain = F.linear(x.float(), weight.float(), bias.float())
            wanted = {False: plain, True: F.gelu(plain)}
            return all(
                torch.allclose(_product(x, _lay(weight), bias, gelu).float(), right, atol=0.02, rtol=0.02)
                for gelu, right in wanted.items()
            )
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return False


class Products:
    """Inside (`with`), the model's linear layers use weights laid out once; for bfloat16 on a CPU without a graph.

    A layer is left as it is where it is neither a plain nn.Linear nor GPT-2's Conv1D nor one of a quantized weight. Costs a
    second copy of their weights in bfloat16 (2 bytes a parameter), which autocast would make as well (quantized ones are
    laid out where all of them need no more than 1 GiB); it lives as long as this object, for weights that do not change.

    Args:
        model: whose layers; what holds them (LoRA, say) goes on calling them.
        embeddings: a module whose output is made bfloat16, so that all that passes between the layers is; or None.
        known: weights laid out by others, where these are theirs too: one copy is kept for all.
        but: modules whose layers are left as they are.
    """

    def __init__(
        self,
        model: nn.Module,
        embeddings: nn.Module | None = None,
        known: MutableMapping[nn.Parameter, Tensor] | None = None,
        but: Iterable[nn.Module] = (),
    ) -> None:
        self.embeddings = embeddings
        self.laid: dict[nn.Module, Callable[..., Tensor]] = {}
        if not works():
            return
        spare = 2 * sum(m.stored for m in model.modules() if isinstance(m, StoredLinear)) <= _SPARE
        spared = {id(module) for part in but for module in part.modules()}
        for module in (m for m in model.modules() if id(m) not in spared):
            if _gelu_follows(module):
                fused: Any = module
                self.laid[module] = _Laid(fused.dense, gelu=True, known=known)
            elif isinstance(module, StoredLinear):
                if spare and module.packed.device.type == "cpu":
                    self.laid[module] = _Laid(module)
            elif type(module) is nn.Linear and module.weight.device.type == "cpu":
                self.laid[module] = _Laid(module, known=known)
            elif _is_conv1d(module) and next(module.parameters()).device.type == "cpu":
                self.laid[module] = _Laid(module, turned=True, known=known)
        if embeddings is not None:
            self.laid[embeddings] = _narrow(embeddings)

    def __enter__(self) -> None:
        for module, forward in self.laid.items():
            module.forward = forward

    def __exit__(self, *_: object) -> None:
        for module in self.laid:
            module.__dict__.pop("forward", None)


def _is_conv1d(module: nn.Module) -> bool:
    from transformers.pytorch_utils import Conv1D

    return type(module) is Conv1D


def _narrow(embeddings: nn.Module) -> Callable[..., Tensor]:
    whole = embeddings.forward
    return lambda *args, **named: whole(*args, **named).bfloat16()


def _gelu_follows(module: nn.Module) -> bool:
    """Whether this is the first half of a feed-forward of the BERT family: one plain product and exact GELU."""
    act = getattr(module, "intermediate_act_fn", None)
    children = dict(module.named_children())
    return (
        type(children.get("dense")) is nn.Linear
        and set(children) <= {"dense", "intermediate_act_fn"}
        and type(act).__name__ == "GELUActivation"
        and getattr(act, "act", None) is F.gelu
    )
