"""Bottleneck layers as a kind of tuner of peft: what peft does with its own kinds, it does with this one.

peft looks kinds up in four tables; `register_peft_method` fills them for the names of its enumeration alone, so
`register` enters this one by hand, under a name that will not be one of peft's. After that `get_peft_model`,
`save_pretrained`, `PeftModel.from_pretrained`, several adapters and heads that learn whole work as for LoRA.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from peft import PeftConfig, mapping
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import Tensor, nn

from tunewright.adaptations.sublayers import first_of, reads, sides

KIND = "TUNEWRIGHT_BOTTLENECK"
"""`peft_type` in adapter_config.json."""
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu, "gelu": F.gelu, "silu": F.silu, "swish": F.silu, "tanh": torch.tanh,
}  # fmt: skip


@dataclass
class BottleneckConfig(PeftConfig):  # type: ignore[misc]
    """adapter_config.json. `target_modules` is a regular expression; `width` is w of each bottleneck (D -> w -> D)."""

    target_modules: str = ""
    modules_to_save: list[str] | None = None
    where: Literal["after", "beside"] = "after"
    width: int = 16
    activation: str = "relu"
    scale: float = 1.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = KIND


class BottleneckLayer(nn.Module, BaseTunerLayer):  # type: ignore[misc]
    """A module with bottlenecks by adapter name:  y + s (W_up f(W_down x + b) + b),  y its own result.

    W_up and both biases start at zero. In training the hidden (..., w) are dropped with the adapter's probability.

    Args:
        base_layer: the module.
        width: D, of what it gives.
    """

    adapter_layer_names = ("bottleneck_down", "bottleneck_up")
    other_param_names = ("bottleneck_dropout", "options")

    def __init__(self, base_layer: nn.Module, width: int) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.width = width
        self.options: dict[str, BottleneckConfig] = {}
        self.bottleneck_down, self.bottleneck_up = nn.ModuleDict(), nn.ModuleDict()
        self.bottleneck_dropout = nn.ModuleDict()

    def add(self, name: str, options: BottleneckConfig) -> None:
        """A bottleneck for the adapter `name`; W_down is drawn as nn.Linear draws its own (He et al. 2015)."""
        own = next(self.base_layer.parameters(), None)
        like: Tensor = self.base_layer.weight if own is None else own  # type: ignore[assignment]  # quantized, without a bias
        dtype = like.dtype if like.dtype.is_floating_point else torch.get_default_dtype()
        down = nn.Linear(self.width, options.width, device=like.device, dtype=dtype)
        up = nn.Linear(options.width, self.width, device=like.device, dtype=dtype)
        nn.init.kaiming_uniform_(down.weight, a=math.sqrt(5))
        for parameter in (down.bias, up.weight, up.bias):
            nn.init.zeros_(parameter)
        self.options[name] = options
        self.bottleneck_down[name], self.bottleneck_up[name] = down, up
        self.bottleneck_dropout[name] = nn.Dropout(options.dropout) if options.dropout else nn.Identity()

    def forward(self, x: Tensor, *args: Any, **named: Any) -> Any:
        out: Tensor = self.base_layer(x, *args, **named)
        for name in self.names():
            out = self.added(name, out, out)
        return out

    def names(self) -> list[str]:
        """The adapters that are at work here."""
        own: Any = self
        return [] if own.disable_adapters else [n for n in own.active_adapters if n in self.options]

    def added(self, name: str, out: Tensor, read: Tensor) -> Tensor:
        """`out` with what one adapter makes of `read`, both (..., D); in the precision of `out`."""
        options = self.options[name]
        down: Any = self.bottleneck_down[name]
        if read.dtype != down.weight.dtype and not torch.is_autocast_enabled(read.device.type):
            read = read.to(down.weight.dtype)
        hidden = self.bottleneck_dropout[name](ACTIVATIONS[options.activation](down(read)))
        change = self.bottleneck_up[name](hidden)
        if torch.promote_types(out.dtype, change.dtype) != out.dtype:
            change = change.to(out.dtype)
        return torch.add(out, change, alpha=options.scale)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        raise ValueError("a bottleneck has a non-linearity: no weight of the model can hold it")

    def unmerge(self) -> None:
        """Nothing is ever merged."""


class Beside(BottleneckLayer):
    """Beside a feed-forward that is one module and reads one tensor."""

    def forward(self, x: Tensor, *args: Any, **named: Any) -> Any:
        out: Tensor = self.base_layer(x, *args, **named)
        for name in self.names():
            out = self.added(name, out, x)
        return out


class BesideSum(BottleneckLayer):
    """Beside the feed-forward of the BERT family: its last module is given what the feed-forward has read, to add."""

    def forward(self, x: Tensor, *args: Any, **named: Any) -> Any:
        read = total = args[0]
        for name in self.names():
            total = self.added(name, total, read)
        return self.base_layer(x, total, *args[1:], **named)


class BesidePair(BottleneckLayer):
    """Beside a feed-forward whose first and last product lie in the layer itself; `first` is seen to read its input."""

    def __init__(self, base_layer: nn.Module, width: int, first: nn.Module) -> None:
        super().__init__(base_layer, width)
        self._read: Tensor | None = None
        self._seeing = first.register_forward_pre_hook(self._see)

    def _see(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        self._read = args[0] if self.names() else None

    def forward(self, x: Tensor, *args: Any, **named: Any) -> Any:
        read, self._read = self._read, None
        out: Tensor = self.base_layer(x, *args, **named)
        if read is not None:
            for name in self.names():
                out = self.added(name, out, read)
        return out

    def unload_and_optionally_merge_module(
        self, merge: bool, safe_merge: bool = False, adapter_names: list[str] | None = None
    ) -> nn.Module:
        if merge:
            self.merge()
        self._seeing.remove()
        return self.base_layer


class BottleneckTuner(BaseTuner):  # type: ignore[misc]
    """Puts the layers into a model and takes them out."""

    prefix = "bottleneck_"
    tuner_layer_cls = BottleneckLayer
    target_module_mapping: ClassVar[dict[str, list[str]]] = {}

    def _prepare_adapter_config(self, peft_config: BottleneckConfig, model_config: Any) -> BottleneckConfig:
        return peft_config

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        setattr(parent, child_name, new_module)

    def _check_merge_allowed(self) -> None:
        raise ValueError("a bottleneck has a non-linearity: no weight of the model can hold it")

    def _create_and_replace(
        self, config: BottleneckConfig, adapter_name: str, target: Any, target_name: str, parent: Any, current_key: str,
        parameter_name: str | None = None,
    ) -> None:  # fmt: skip
        layer = target if isinstance(target, BottleneckLayer) else _around(target, parent, config.where)
        layer.add(adapter_name, config)
        if adapter_name not in self.active_adapters:
            for learnt in (layer.bottleneck_down, layer.bottleneck_up):
                learnt[adapter_name].requires_grad_(False)
        if layer is not target:
            setattr(parent, target_name, layer.train(target.training))


def _around(target: nn.Module, parent: nn.Module, where: str) -> BottleneckLayer:
    """The layer for a module, by what it reads and gives."""
    shape = sides(target)
    if where == "after":
        if shape is None:
            raise ValueError(f"{type(target).__name__} is no product that a bottleneck can follow")
        return BottleneckLayer(target, shape[1])
    if shape is not None:
        first = first_of(parent, target)
        if first is None:
            raise ValueError("the product that the feed-forward begins with is not beside the one that ends it")
        return BesidePair(target, shape[1], first)
    width = [inner[1] for module in target.modules() if (inner := sides(module))][-1]
    return BesideSum(target, width) if reads(target) > 1 else Beside(target, width)


@cache
def register() -> None:
    """Makes the kind known to peft."""
    mapping.PEFT_TYPE_TO_CONFIG_MAPPING[KIND] = BottleneckConfig
    mapping.PEFT_TYPE_TO_TUNER_MAPPING[KIND] = BottleneckTuner
    mapping.PEFT_TYPE_TO_PREFIX_MAPPING[KIND] = BottleneckTuner.prefix
