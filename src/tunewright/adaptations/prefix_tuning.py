"""Prefix tuning: P learnt keys and values before each layer's own.  softmax(q [P_k; K]^T) [P_v; V]

Li and Liang 2021, "Prefix-Tuning: Optimizing Continuous Prompts for Generation". With `projection`, the authors'
re-parametrisation, all layers' keys and values come from P learnt rows through a two-layer network, tanh(h U) W, which
learns more steadily and is not saved: what it makes is. Without, they learn themselves; `p_tuning_v2` is that, for
understanding texts.

Texts are read as if they stood at positions P and after, as in peft and in the authors' code; the learnt keys are not
rotated. In a causal sliding window they are behind the text's first tokens and pass out of sight; any other window sees
them. peft has no prefixes for DistilBERT and ModernBERT: here they have, alike, and open here. Encoder-decoders have
prefixes where peft has them, in the decoder's attention to itself; the authors put them into the encoder and the attention
to the source too. peft gives each pair of such layers one prefix between them: with twice the layers in its configuration
each has its own, at the price of numbers in the file that nothing reads.

Cost: attention over P more keys; no more tokens. All examples of a packed batch see one copy. A prefix takes P places of
the context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge
from torch import nn

from tunewright.adaptations import virtual_tokens
from tunewright.core.registry import register
from tunewright.core.tensors import Role


@register("adaptation", "prefix_tuning")
@dataclass(frozen=True)
class PrefixTuning:
    """`tokens` learnt keys and values a layer. projection: the width of the network that makes them; None for none."""

    tokens: Annotated[int, Ge(1)] = 20
    projection: Annotated[int, Ge(1)] | None = 512

    role: ClassVar[Role] = "adds"
    rate_factor: ClassVar[float] = 10.0
    merges: ClassVar[bool] = False
    identity: ClassVar[bool] = False

    @property
    def places(self) -> int:
        """Places of the context that the prefix takes."""
        return self.tokens

    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        """A PeftModel around `model`, whose own parameters no longer learn.

        Raises:
            RecipeError: another family of models, or no room for so many tokens.
        """
        return attached(model, seed, "prefix_tuning", self.tokens, self.projection)

    def merge(self, model: nn.Module) -> nn.Module:
        """Refuses.

        Raises:
            RecipeError: always.
        """
        raise virtual_tokens.unmergeable("prefix_tuning")


def attached(model: nn.Module, seed: int, name: str, tokens: int, projection: int | None) -> nn.Module:
    """A PeftModel with a prefix around `model`."""
    from peft import PrefixTuningConfig

    config: Any = getattr(model, "config", None)
    more: dict[str, Any] = {}
    if getattr(config, "model_type", "") in virtual_tokens.SOURCES:
        more = {"num_transformer_submodules": 2, "num_layers": 2 * virtual_tokens.layers_of(config)}
    if config is not None and hasattr(model, "get_input_embeddings"):
        more |= virtual_tokens.keys_shape(model)
    wrapped: nn.Module = virtual_tokens.attached(
        model, PrefixTuningConfig, seed, name, tokens, prefix_projection=projection is not None,
        encoder_hidden_size=projection, **more,
    )  # fmt: skip
    if projection is None:
        virtual_tokens.normal(wrapped, seed, 0.0, 1.0)
    return wrapped
