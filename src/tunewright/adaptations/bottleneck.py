"""Bottleneck adapters: two small products with a non-linearity between, in every layer.  y + s W_up f(W_down x)

`houlsby`: x = y, after each attention and each feed-forward (Houlsby et al. 2019, "Parameter-Efficient Transfer Learning
for NLP"). `pfeiffer`: after each feed-forward alone (Pfeiffer et al. 2021, "AdapterFusion"). `parallel`: beside each
feed-forward, x what that reads (He et al. 2022, "Towards a Unified View of Parameter-Efficient Transfer Learning").

W_up starts at zero: attaching changes nothing. A new head learns with it, whole. Cost: 4 operations a base parameter
and token instead of 6, and 6 for each of its own 2 D w + D + w parameters a place. Nothing can be merged: what is not
linear in x is no weight of the base.

What differs from the papers: the start is exactly, not nearly, the base; Houlsby's layer norms stay as they are; the
bottleneck stands at the product that ends a part, before the dropout that some families have there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Lt
from torch import nn

from tunewright.adaptations import sublayers
from tunewright.adaptations.wrapping import head_of, task_of, wrap
from tunewright.core.errors import Problem, RecipeError, listed
from tunewright.core.registry import register
from tunewright.core.tensors import Role

Placement = Literal["houlsby", "pfeiffer", "parallel"]


@register("adaptation", "bottleneck")
@dataclass(frozen=True)
class Bottleneck:
    """The bottleneck is the model's width divided by `reduction`, or `width` where that is given.

    scale: s; None for 4 beside a feed-forward, as He et al. found best, and for 1 after. dropout: of what is in the
    bottleneck. swish and silu are one function.
    """

    placement: Placement = "pfeiffer"
    reduction: Annotated[float, Ge(1)] = 16.0
    width: Annotated[int, Ge(1)] | None = None
    activation: Literal["relu", "gelu", "silu", "swish", "tanh"] = "relu"
    scale: Annotated[float, Gt(0)] | None = None
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0

    role: ClassVar[Role] = "adds"
    rate_factor: ClassVar[float] = 20.0
    merges: ClassVar[bool] = False

    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        """A PeftModel around `model`, whose own parameters no longer learn.

        Raises:
            RecipeError: the model's layers are unlike those that are known, or `width` is above the model's own.
        """
        from tunewright.adaptations.bottleneck_layers import BottleneckConfig
        from tunewright.adaptations.bottleneck_layers import register as make_known

        names, inner = self._places(model)
        if self.width is not None and self.width > inner:
            raise RecipeError(
                Problem(where="adaptation.bottleneck.width", found=f"{self.width:,}", allowed=f"1 to {inner}, the model's own",
                        to_do="choose an eighth of the model's width or less; `adaptation: full` learns everything")
            )  # fmt: skip
        make_known()
        head = head_of(model)
        beside = self.placement == "parallel"
        config = BottleneckConfig(
            task_type=task_of(model, head),
            target_modules=sublayers.pattern(names),
            modules_to_save=head or None,
            where="beside" if beside else "after",
            width=self.width or max(1, int(inner / self.reduction)),
            activation=self.activation,
            scale=self.scale or (4.0 if beside else 1.0),
            dropout=self.dropout,
        )
        return wrap(model, config, seed, "adaptation.bottleneck", self.placement)

    def _places(self, model: nn.Module) -> tuple[tuple[str, ...], int]:
        """The modules to be wrapped, and the model's width D.

        Raises:
            RecipeError: they cannot be told.
        """
        found = sublayers.ends(model)
        if found is None:
            raise RecipeError(_unknown(model, "no layers whose attention and feed-forward can be told"))
        width = (sublayers.sides(model.get_submodule(found.feed_forwards[0])) or (0, 0))[1]
        if self.placement != "parallel":
            return (found.attentions if self.placement == "houlsby" else ()) + found.feed_forwards, width
        beside = [sublayers.beside(model, end) for end in found.feed_forwards]
        if None in beside:
            raise RecipeError(_unknown(model, "no place beside the feed-forward"))
        return tuple(name for name in beside if name is not None), width

    def merge(self, model: nn.Module) -> nn.Module:
        """Always refused.

        Raises:
            RecipeError: a bottleneck is no weight of the base.
        """
        raise RecipeError(
            Problem(where="adaptation.bottleneck", found="a bottleneck adapter cannot be merged: it has a non-linearity",
                    allowed="adaptations that merge: lora, full, frozen",
                    to_do="keep base and adapter apart (predictions work as they are), or train with adaptation: lora")
        )  # fmt: skip


def _unknown(model: nn.Module, found: str) -> Problem:
    kind = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    return Problem(where="adaptation.bottleneck", found=f"{found} in this {kind} model",
                   allowed=f"families such as {listed(sorted(sublayers.FAMILIES), len(sublayers.FAMILIES))}",
                   to_do="use adaptation: lora, which needs to know no layers")  # fmt: skip
