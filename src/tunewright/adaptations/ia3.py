"""IA3: keys, values and the feed-forward's inner activations are scaled, each dimension by a number that learns.

    k = l_k * (W_k x + b_k)      v = l_v * (W_v x + b_v)      y = W_2 (l_ff * act(W_1 x))

Liu et al. 2022, "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning". Through peft, so
that what is saved opens there. All l start at 1: attaching changes no score. A new head learns with it, whole. Cost: an
elementwise product at each place; in all a few numbers for each layer and width (0.1% of MiniLM), so that it takes a
higher rate than LoRA.

Modules are found by their names, in the families that transformers has. Where keys, values and queries are one product
(GPT-2, ModernBERT, GPT-NeoX, Phi-3), queries are scaled too: the scores of attention are the same product either way.
peft's own defaults differ from the paper in some families (queries for keys in BART and Qwen, the attention's output
too in BERT); here all follow the paper.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from tunewright.adaptations.targets import linear_modules
from tunewright.adaptations.wrapping import head_of, task_of, unwrapped, wrap
from tunewright.core.errors import Problem, RecipeError, listed
from tunewright.core.registry import register
from tunewright.core.tensors import Role

_KEYS_VALUES = (
    r"attention\.self\.(?:key|value)",  # BERT, RoBERTa, ELECTRA, CamemBERT
    r"(?:k|v)_lin",  # DistilBERT
    r"(?:key|value)_proj",  # DeBERTa
    r"(?:k|v)_proj",  # Llama, Mistral, Qwen, Gemma, OPT, BART
    r"(?:SelfAttention|EncDecAttention|attn)\.(?:k|v)",  # T5, mT5, MPNet
    r"attention\.(?:key|value)",  # ALBERT
    r"(?:attn|crossattention)\.c_attn",  # GPT-2
    r"(?:attn\.Wqkv|query_key_value|qkv_proj)",  # ModernBERT, GPT-NeoX, Phi-3
)
_FEED_FORWARD = (
    r"layer\.\d+\.output\.dense",  # BERT, RoBERTa, ELECTRA, CamemBERT, DeBERTa, MPNet
    r"ffn\.lin2",  # DistilBERT
    r"down_proj",  # Llama, Mistral, Qwen, Gemma, Phi-3
    r"\w*Dense\w*\.wo",  # T5, mT5
    r"fc2",  # BART, OPT
    r"ffn_output",  # ALBERT
    r"mlp\.(?:c_proj|Wo|dense_4h_to_h)",  # GPT-2, ModernBERT, GPT-NeoX
)


@register("adaptation", "ia3")
@dataclass(frozen=True)
class IA3:
    """`keys_values`: modules whose output is scaled; `feed_forward`: modules whose input is. "auto", or ends of names."""

    keys_values: Literal["auto"] | tuple[str, ...] = "auto"
    feed_forward: Literal["auto"] | tuple[str, ...] = "auto"

    role: ClassVar[Role] = "adds"
    rate_factor: ClassVar[float] = 100.0

    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        """A PeftModel around `model`, whose own parameters no longer learn. Nothing is drawn: `seed` changes nothing.

        Raises:
            RecipeError: a name that the model does not have, or no keys and values or no feed-forward found by name.
        """
        from peft import IA3Config

        head = head_of(model)
        names = list(linear_modules(model, head))
        problems: list[Problem] = []
        outputs = _patterns("keys_values", self.keys_values, _KEYS_VALUES, names, problems)
        inputs = _patterns("feed_forward", self.feed_forward, _FEED_FORWARD, names, problems)
        if problems:
            raise RecipeError(*problems)
        config = IA3Config(
            target_modules=_any([*outputs, *inputs]),
            feedforward_modules=_any(inputs),
            modules_to_save=head or None,
            task_type=task_of(model, head),
        )
        return wrap(model, config, seed, "adaptation.ia3", "auto")

    def merge(self, model: nn.Module) -> nn.Module:
        """The plain model with its weights and biases scaled."""
        return unwrapped(model)


def _any(patterns: Iterable[str]) -> str:
    """A regular expression of whole names that end in one of `patterns`."""
    return rf"(?:.*\.)?(?:{'|'.join(patterns)})"


def _patterns(
    option: str, given: str | Sequence[str], known: Sequence[str], names: Sequence[str], problems: list[Problem]
) -> list[str]:
    """The patterns that fit some of `names`; what fits none goes to `problems`."""
    ends = known if isinstance(given, str) else [re.escape(end) for end in given]
    fitting = [end for end in ends if any(re.fullmatch(_any([end]), name) for name in names)]
    parts = listed(list(dict.fromkeys(".".join(name.split(".")[-2:]) for name in names)), 12)
    if isinstance(given, str) and not fitting:
        problems.append(
            Problem(where=f"adaptation.ia3.{option}", found="none is known by name in this model", allowed=parts,
                    to_do=f"name them: {option}: [...]")
        )  # fmt: skip
    if not isinstance(given, str):
        problems += [
            Problem(
                where=f"adaptation.ia3.{option}", found=f"{name!r} is the end of no linear layer's name", allowed=parts
            )
            for name, end in zip(given, ends, strict=True)
            if end not in fitting
        ]
    return fitting
