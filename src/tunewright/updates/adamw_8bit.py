"""AdamW with both moments in 8 bits. Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization".

2 bytes a parameter in place of 8, in blocks of 256 with a scale each, through bitsandbytes. Parameters of fewer than
`least` numbers, biases and norms above all, keep float32 moments, as the paper advises. On a CPU a step takes 46 times
as long as the fused float32 kernel of `adamw` (28 ms a million parameters, measured with bitsandbytes 0.50.2): refused
there unless `on_cpu` says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt

from tunewright.core.errors import Problem, RecipeError
from tunewright.core.registry import number, register
from tunewright.core.tensors import At, Gradient, Number, Parameters, Report, value
from tunewright.updates.adamw import RATE, by_decay

_MAPS = {"qmap1": "dynamic", "qmap2": "udynamic"}
"""What bitsandbytes calls the tables of levels that are the same for every parameter, and so are not saved."""


@register("update", "adamw_8bit")
@dataclass(frozen=True)
class AdamW8bit:
    """`rate` and `decay` may be schedules, as in adamw. `least`: parameters with fewer numbers keep float32 moments."""

    rate: Number | None = number(None)
    decay: Number = number(0.01)
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.999
    epsilon: Annotated[float, Gt(0)] = 1e-8
    least: Annotated[int, Ge(1)] = 4096
    on_cpu: bool = False

    def __post_init__(self) -> None:
        for name in ("rate", "decay"):
            given = getattr(self, name)
            if isinstance(given, (int, float)) and not given >= 0:
                raise ValueError(f"{name} must be 0 or more, found {given}")

    def bind(self, parameters: Parameters) -> _AdamW8bit:
        """Raises:
        RecipeError: bitsandbytes is not installed, or the parameters are on a CPU and `on_cpu` is not set.
        """
        problems = []
        try:
            import bitsandbytes  # noqa: F401
        except ImportError:
            problems.append(
                Problem(where="training.update.adamw_8bit", found="bitsandbytes is not installed",
                        to_do="pip install 'tunewright[quantized]'")
            )  # fmt: skip
        if not self.on_cpu and any(p.device.type == "cpu" for p in parameters.values()):
            problems.append(
                Problem(where="training.update.adamw_8bit",
                        found="a model on a CPU, where a step takes 46 times as long as adamw's",
                        allowed="a GPU; or on_cpu: true where memory is what lacks", to_do="set training.update: adamw")
            )  # fmt: skip
        if problems:
            raise RecipeError(*problems)
        return _AdamW8bit(self, parameters)


class _AdamW8bit:
    def __init__(self, options: AdamW8bit, parameters: Parameters) -> None:
        from bitsandbytes.optim import AdamW8bit as Theirs

        self.options, self.parameters = options, parameters
        self.optimizer: Any = Theirs(
            by_decay(parameters), lr=0.0, betas=(options.beta1, options.beta2), eps=options.epsilon,
            min_8bit_size=options.least,
        )  # fmt: skip

    def step(self, gradient: Gradient, at: At) -> Report:
        report = gradient()
        rate = value(RATE if self.options.rate is None else self.options.rate, at)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
            group["weight_decay"] = value(self.options.decay, at) if group["decayed"] else 0.0
        self.optimizer.step()
        return Report(**{**vars(report), "rate": rate})

    def state(self) -> dict[str, Any]:
        """Both moments, their scales and the step count of every parameter, by name, as tensors."""
        tensors = {}
        for name, parameter in self.parameters.items():
            for kind, held in self.optimizer.state.get(parameter, {}).items():
                if kind not in _MAPS:
                    tensors[f"{kind}:{name}"] = held if isinstance(held, torch.Tensor) else torch.tensor(held)
        return {"tensors": tensors}

    def load(self, state: Mapping[str, Any]) -> None:
        for full, tensor in state["tensors"].items():
            kind, name = full.split(":", 1)
            parameter = self.parameters[name]
            held = self.optimizer.state[parameter]
            held[kind] = int(tensor) if kind == "step" else tensor.clone().to(parameter.device)
            if tensor.dtype == torch.uint8:
                for key, table in _MAPS.items():
                    held[key] = self.optimizer.name2qmap[table].to(parameter.device)
