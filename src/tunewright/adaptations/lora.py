"""LoRA: a product of two thin matrices beside each chosen projection.  W x + (alpha / r) B A x.

Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models". Through peft, so that what is saved opens there.
B starts at zero: attaching changes nothing. A new classification head learns with it, whole. `rank_stabilised` divides
by sqrt(r) in place of r (Kalajdzievski 2023). Cost: 4 operations a base parameter and token instead of 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Lt
from torch import nn

from tunewright.adaptations.wrapping import head_of, task_of, unwrapped, wrap
from tunewright.core.errors import Problem, RecipeError
from tunewright.core.registry import register
from tunewright.core.tensors import Role


@register("adaptation", "lora")
@dataclass(frozen=True)
class Lora:
    """`targets`: "all-linear", or the ends of module names such as ["query", "value"]."""

    rank: Annotated[int, Ge(1)] = 16
    alpha: Annotated[float, Gt(0)] = 32.0
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    targets: str | tuple[str, ...] = "all-linear"
    rank_stabilised: bool = False

    role: ClassVar[Role] = "adds"
    rate_factor: ClassVar[float] = 5.0

    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        """A PeftModel around `model`, whose own parameters no longer learn.

        Raises:
            RecipeError: the targets match nothing in this model, or the rank is above that of every matrix.
        """
        from peft import LoraConfig

        _check_rank(self.rank, model)
        head = head_of(model)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=self.targets if isinstance(self.targets, str) else list(self.targets),
            modules_to_save=head or None,
            use_rslora=self.rank_stabilised,
            task_type=task_of(model, head),
        )
        return wrap(model, config, seed, "adaptation.lora.targets", repr(self.targets))

    def merge(self, model: nn.Module) -> nn.Module:
        """The plain model with the products added to its weights."""
        return unwrapped(model)


def _check_rank(rank: int, model: nn.Module) -> None:
    """A product of rank r reaches every change of a matrix whose narrower side is r: more only costs memory."""
    most = max((min(p.shape) for p in model.parameters() if p.ndim == 2), default=rank)
    if rank > most:
        raise RecipeError(
            Problem(
                where="adaptation.lora.rank",
                found=f"{rank:,}",
                allowed=f"1 to {most}, the narrower side of this model's widest matrix",
                to_do="choose 4 to 64; for more, `adaptation: full` learns everything",
            )
        )
