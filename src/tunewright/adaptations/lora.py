"""LoRA: a product of two thin matrices beside each chosen projection.  W x + (alpha / r) B A x.

Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models". Through peft, so that what is saved opens there.
A new classification head learns with it, whole. Cost: 4 operations a base parameter and token instead of 6.

Where the matrices start (`init`):

    default      A random, B zero: attaching changes no score.
    orthogonal   A and B random in subspaces of the rank that are orthogonal to each other, so that B A = 0 to rounding and
                 both learn from the first step. Needs an even rank. https://datta0.github.io/posts/rethink-lora-init
    pissa        B A is W's best approximation of that rank and W keeps the residual (Meng et al. 2024, "PiSSA").
    olora        the same from the first columns of W's QR decomposition (Büyükakyüz 2024, "OLoRA").
    eva          A's rows are the directions in which the layer's inputs vary most, on some training texts; B is zero
                 (Paischer et al. 2024, "EVA"; `eva`). As `default` where there are no texts to look at.

`pissa` and `olora` change the base's weights in memory by what B A takes over; what is saved is a LoRA of twice the rank
for the base as it was (`starts`). A matrix with a narrower side above 1,024 is taken apart by peft's randomised method.

Beside it: `rank_stabilised` divides by sqrt(r) in place of r (Kalajdzievski 2023, "A Rank Stabilization Scaling Factor");
`dora` learns the length of each row of W + s B A apart (Liu et al. 2024, "DoRA"), which costs a norm of every matrix a
forward; ranks and alphas of their own for some modules; some layers alone, or the top ones.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Lt
from torch import nn

from tunewright.adaptations import eva
from tunewright.adaptations.starts import SPLITTING, remember
from tunewright.adaptations.targets import depths, in_layers, is_turned, matches, modules_named, sides
from tunewright.adaptations.wrapping import head_of, task_of, unwrapped, wrap
from tunewright.core.errors import Problem, RecipeError, listed
from tunewright.core.registry import register
from tunewright.core.tensors import Role

_EXACT = 1024  # narrower sides up to this are taken apart exactly: about a second a matrix on one core


@register("adaptation", "lora")
@dataclass(frozen=True)
class Lora:
    """`targets`: "all-linear", or the ends of module names such as ["query", "value"].

    layers, top: only these layers, or only so many at the top, counted from 0 in each stack. rank_pattern, alpha_pattern:
    a rank or alpha of their own for modules by the ends of their names, in which * stands for anything:
    `{value: 4, "*.layer.11.*": 32}`; the first that fits counts.
    """

    rank: Annotated[int, Ge(1)] = 16
    alpha: Annotated[float, Gt(0)] = 32.0
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    targets: str | tuple[str, ...] = "all-linear"
    rank_stabilised: bool = False
    dora: bool = False
    init: Literal["default", "orthogonal", "pissa", "olora", "eva"] = "default"
    layers: tuple[Annotated[int, Ge(0)], ...] = ()
    top: Annotated[int, Ge(1)] | None = None
    rank_pattern: Mapping[str, Annotated[int, Ge(1)]] = field(default_factory=dict)
    alpha_pattern: Mapping[str, Annotated[float, Gt(0)]] = field(default_factory=dict)

    role: ClassVar[Role] = "adds"
    rate_factor: ClassVar[float] = 5.0

    def __post_init__(self) -> None:
        problems = []
        if self.layers and self.top is not None:
            problems.append(
                Problem(
                    where="lora.top",
                    found=f"{self.top}, and layers {listed([str(n) for n in self.layers])}",
                    allowed="one of the two",
                )
            )
        if self.init == "orthogonal":
            problems += [
                Problem(where=where, found=str(rank), allowed="an even rank, for init: orthogonal",
                        to_do=f"{rank + 1}: one half of the rank's directions is A's, the other B's")
                for where, rank in [("lora.rank", self.rank),
                                    *((f"lora.rank_pattern.{n}", r) for n, r in self.rank_pattern.items())]
                if rank % 2
            ]  # fmt: skip
        if problems:
            raise RecipeError(*problems)

    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        """A PeftModel around `model`, whose own parameters no longer learn.

        Raises:
            RecipeError: what the options name is not in this model, or does not fit its matrices; with all that is wrong.
        """
        from peft import LoraConfig

        head = head_of(model)
        chosen = self._chosen(model, head)
        some = bool(self.layers) or self.top is not None
        targets = list(chosen) if some else self.targets if isinstance(self.targets, str) else list(self.targets)
        with warnings.catch_warnings():  # of what peft's own conversion cannot do: `starts.restate` can
            warnings.filterwarnings("ignore", message="Using Rank-Stabilized LoRA", category=UserWarning)
            config = LoraConfig(
                r=self.rank,
                lora_alpha=self.alpha,
                lora_dropout=self.dropout,
                target_modules=targets,
                modules_to_save=head or None,
                use_rslora=self.rank_stabilised,
                use_dora=self.dora,
                init_lora_weights=self._start(chosen),
                rank_pattern=_exactly(self.rank_pattern, chosen),
                alpha_pattern=_exactly(self.alpha_pattern, chosen),
                task_type=task_of(model, head),
            )
        wrapped = wrap(model, config, seed, "adaptation.lora.targets", repr(self.targets))
        if self.init in SPLITTING:
            remember(wrapped)
        return wrapped

    @property
    def looks(self) -> bool:
        """Whether it begins from what the layers read (`look`)."""
        return self.init == "eva"

    def look(self, model: nn.Module, run: Callable[[], None]) -> None:
        """Sees what the layers read while `run` passes texts through the adapted model."""
        eva.look(model, run)

    def merge(self, model: nn.Module) -> nn.Module:
        """The plain model with the products added to its weights."""
        return unwrapped(model)

    def _start(self, chosen: Mapping[str, nn.Module]) -> Any:
        """The start in peft's words."""
        if self.init == "pissa" and max(min(sides(module)) for module in chosen.values()) > _EXACT:
            return "pissa_niter_16"
        return True if self.init in ("default", "eva") else self.init

    def _chosen(self, model: nn.Module, head: list[str]) -> dict[str, nn.Module]:
        """The modules that get a product.

        Raises:
            RecipeError: with everything that does not fit.
        """
        problems = []
        found = modules_named(model, self.targets, head)
        deep = depths(model)
        if self.layers or self.top is not None:
            most = max(deep.values(), default=0)
            over = [n for n in self.layers if n >= most]
            if over:
                problems.append(
                    Problem(
                        where="adaptation.lora.layers", found=listed([str(n) for n in over]), allowed=f"0 to {most - 1}"
                    )
                )
            if self.top is not None and self.top > most:
                problems.append(
                    Problem(
                        where="adaptation.lora.top", found=str(self.top), allowed=f"1 to {most}, the model's layers"
                    )
                )
        chosen = in_layers(found, deep, self.layers, self.top) if self.layers or self.top is not None else found
        if not found or (not chosen and not problems):
            where = " in these layers" if found else ""
            problems.append(
                Problem(
                    where="adaptation.lora.targets",
                    found=f"{self.targets!r} names no linear layer of this model{where}",
                    allowed=f'"all-linear", or ends of module names: {listed(_ends(model, head), 12)}',
                    to_do="use all-linear",
                )
            )
        problems += self._misfits(chosen)
        if problems:
            raise RecipeError(*problems)
        return chosen

    def _misfits(self, chosen: Mapping[str, nn.Module]) -> list[Problem]:
        """Ranks, patterns and starts that the chosen modules cannot have."""
        problems = [
            Problem(where=f"adaptation.lora.{option}", found=f"{end!r} matches no module that LoRA is on",
                    allowed=listed(sorted({name.rsplit(".", 1)[-1] for name in chosen}), 12), to_do="* stands for anything")
            for option, ends in (("rank_pattern", self.rank_pattern), ("alpha_pattern", self.alpha_pattern))
            for end in ends if chosen and not any(matches(end, name) for name in chosen)
        ]  # fmt: skip
        problems += self._too_high(chosen)
        if self.init != "default" and any(isinstance(module, nn.Embedding) for module in chosen.values()):
            problems.append(self._refused("embeddings", "linear layers"))
        if self.init == "olora" and any(is_turned(module) for module in chosen.values()):
            problems.append(self._refused("this family's matrices, which lie turned", "pissa"))
        if self.init in SPLITTING and not all(_plain(module) for module in chosen.values()):
            problems.append(
                self._refused("quantized weights", "default, eva or orthogonal, which leave the base as it is")
            )
        return problems

    def _refused(self, what: str, allowed: str) -> Problem:
        return Problem(where="adaptation.lora.init", found=f"{self.init} on {what}", allowed=allowed)

    def _too_high(self, chosen: Mapping[str, nn.Module]) -> list[Problem]:
        """A product of rank r reaches every change of a matrix whose narrower side is r: more only costs memory.

        Where the product is taken out of the matrix, none may be narrower than its rank.
        """
        by: dict[str, list[int]] = {}
        for name, module in chosen.items():
            own = next((end for end in self.rank_pattern if matches(end, name)), "")
            by.setdefault(own, []).append(min(sides(module)))
        problems = []
        for own, narrow in by.items():
            rank = self.rank_pattern[own] if own else self.rank
            splits = self.init in SPLITTING
            most = min(narrow) if splits else max(narrow)
            if rank > most:
                problems.append(
                    Problem(
                        where=f"adaptation.lora.rank_pattern.{own}" if own else "adaptation.lora.rank",
                        found=f"{rank:,}",
                        allowed=f"1 to {most}, the narrower side of this model's {'narrowest' if splits else 'widest'} matrix",
                        to_do="choose 4 to 64; for more, `adaptation: full` learns everything",
                    )
                )
        return problems


def _exactly(patterns: Mapping[str, float], chosen: Mapping[str, nn.Module]) -> dict[str, float]:
    """What the patterns say of each module by its whole name: peft saves patterns in another order, and the first counts."""
    own = {name: next((value for end, value in patterns.items() if matches(end, name)), None) for name in chosen}
    return {re.escape(name): value for name, value in own.items() if value is not None}


def _ends(model: nn.Module, head: list[str]) -> list[str]:
    """The last parts of the names of what can be a target."""
    return list(dict.fromkeys(name.rsplit(".", 1)[-1] for name in modules_named(model, "all-linear", head)))


def _plain(module: nn.Module) -> bool:
    weight: Any = module.weight
    return bool(weight.is_floating_point()) and type(module).__module__.split(".")[0] != "bitsandbytes"
