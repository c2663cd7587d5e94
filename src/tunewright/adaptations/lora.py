"""LoRA: a product of two thin matrices beside each chosen projection.  W x + (alpha / r) B A x.

Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models". Through peft, so that what is saved opens there.
B starts at zero: attaching changes nothing. A new classification head learns with it, whole. `rank_stabilised` divides
by sqrt(r) in place of r (Kalajdzievski 2023). Cost: 4 operations a base parameter and token instead of 6.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from torch import nn

from tunewright.core.errors import Problem, RecipeError
from tunewright.core.registry import register


@register("adaptation", "lora")
@dataclass(frozen=True)
class Lora:
    """`targets`: "all-linear", or the ends of module names such as ["query", "value"]."""

    rank: Annotated[int, Ge(1)] = 16
    alpha: Annotated[float, Gt(0)] = 32.0
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    targets: str | tuple[str, ...] = "all-linear"
    rank_stabilised: bool = False

    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        """A PeftModel around `model`, whose own parameters no longer learn.

        Raises:
            RecipeError: the targets match nothing in this model, or the rank is above that of every matrix.
        """
        from peft import LoraConfig, get_peft_model

        _check_rank(self.rank, model)
        head = _head_of(model)
        config: Any = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=self.targets if isinstance(self.targets, str) else list(self.targets),
            modules_to_save=head or None,
            use_rslora=self.rank_stabilised,
            task_type=_task_of(model, head),
        )
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for what it has renamed
            warnings.filterwarnings("ignore", message="fan_in_fan_out", category=UserWarning)  # it sets that right
            torch.manual_seed(seed)
            try:
                wrapped: nn.Module = get_peft_model(model, config)
            except ValueError as error:
                raise RecipeError(
                    Problem(
                        where="adaptation.lora.targets",
                        found=f"{self.targets!r}: {str(error).splitlines()[0][:200]}",
                        allowed='"all-linear", or ends of module names of this model',
                        to_do="use all-linear",
                    )
                ) from error
        return wrapped

    def merge(self, model: nn.Module) -> nn.Module:
        """The plain model with the products added to its weights."""
        merged: nn.Module = model.merge_and_unload()  # type: ignore[operator]
        return merged


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


def _task_of(model: nn.Module, head: list[str]) -> str | None:
    """peft's word for what the model does, which its folder says to whoever opens it."""
    name = type(model).__name__
    known = {"ForTokenClassification": "TOKEN_CLS", "ForConditionalGeneration": "SEQ_2_SEQ_LM", "ForCausalLM": "CAUSAL_LM",
             "LMHeadModel": "CAUSAL_LM"}  # fmt: skip
    found = next((task for end, task in known.items() if name.endswith(end)), None)
    return found or ("SEQ_CLS" if head and hasattr(model, "config") and not name.endswith("ForMaskedLM") else None)


def _head_of(model: nn.Module) -> list[str]:
    """The modules that learn whole and are saved whole: the head, and whatever else has weights that are new.

    A language model's product with its vocabulary, which may be its embeddings, is not among them.
    """
    names = [n for n in ("classifier", "score", "pre_classifier") if isinstance(getattr(model, n, None), nn.Module)]
    new = dict.fromkeys(name.rsplit(".", 1)[0] for name in getattr(model, "new_parameters", ()))
    output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None  # type: ignore[operator]
    kept = [n for n in new if output is None or all(m is not output for m in model.get_submodule(n).modules())]
    return names + [name for name in kept if name.split(".")[0] not in names]
