"""VeRA: one pair of random matrices for all layers stays as drawn; vectors that scale it learn.  W x + b * (B (d * (A x)))

Kopiczko et al. 2024, "VeRA: Vector-based Random Matrix Adaptation". A (r, in) and B (out, r) are shared by all layers, cut
to each one's sides; d (r) starts at `initial` and b (out) at zero, so that attaching changes no score. Through peft, so
that what is saved opens there; the two matrices are saved with it, because another machine may draw others. A new head
learns with it, whole. Cost: LoRA's of the same rank, for r + out numbers a layer in place of r (in + out).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Lt
from torch import nn

from tunewright.adaptations.targets import is_linear, linear_modules, modules_named
from tunewright.adaptations.wrapping import head_of, task_of, unwrapped, wrap
from tunewright.core.errors import Problem, RecipeError, listed
from tunewright.core.registry import register
from tunewright.core.tensors import Role


@register("adaptation", "vera")
@dataclass(frozen=True)
class Vera:
    """`targets`: "all-linear", or the ends of module names. `rank` is of the matrices that do not learn: hundreds."""

    rank: Annotated[int, Ge(1)] = 256
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    targets: str | tuple[str, ...] = "all-linear"
    initial: Annotated[float, Gt(0)] = 0.1

    role: ClassVar[Role] = "adds"
    rate_factor: ClassVar[float] = 100.0

    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        """A PeftModel around `model`, whose own parameters no longer learn.

        Raises:
            RecipeError: the targets name no linear layer of this model.
        """
        from peft import VeraConfig

        head = head_of(model)
        if not any(map(is_linear, modules_named(model, self.targets, head).values())):
            ends = list(dict.fromkeys(name.rsplit(".", 1)[-1] for name in linear_modules(model, head)))
            raise RecipeError(
                Problem(where="adaptation.vera.targets", found=f"{self.targets!r} names no linear layer of this model",
                        allowed=f'"all-linear", or ends of module names: {listed(ends)}', to_do="use all-linear")
            )  # fmt: skip
        config = VeraConfig(
            r=self.rank,
            vera_dropout=self.dropout,
            d_initial=self.initial,
            projection_prng_key=seed % 2**31,
            target_modules=self.targets if isinstance(self.targets, str) else list(self.targets),
            modules_to_save=head or None,
            task_type=task_of(model, head),
        )
        return wrap(model, config, seed, "adaptation.vera.targets", repr(self.targets))

    def merge(self, model: nn.Module) -> nn.Module:
        """The plain model with the products added to its weights."""
        return unwrapped(model)
