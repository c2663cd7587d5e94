"""Prompt tuning: P learnt embeddings before each text's own.  [p_1 ... p_P; e(x_1) ... e(x_n)]

Lester, Al-Rfou and Constant 2021, "The Power of Scale for Parameter-Efficient Prompt Tuning". P D numbers learn, and the
head where it is new. As there, they begin from rows of the vocabulary or from a text (the classes' names, say); random ones
are drawn with the mean and spread of the table's rows, not as peft does with spread 1, which lies far from any word.

As in peft, the virtual tokens have the first positions and token type 0, and stand before [CLS]: a head that reads the first
token reads the first virtual one, a mean is over them too; an encoder-decoder reads them before the source. What differs:
a decoder's classification head reads the last token of the text, where peft in a padded batch reads the padding.

Cost: P more tokens an example, forward and backward through the frozen model (causal models that share the beginning of
sequences read them once a batch). Weak on small models, by the authors' own figures.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import nn

from tunewright.adaptations import virtual_tokens
from tunewright.core.errors import Problem, RecipeError
from tunewright.core.registry import register
from tunewright.core.tensors import Role


@register("adaptation", "prompt_tuning")
@dataclass(frozen=True)
class PromptTuning:
    """`tokens` virtual tokens. start: "vocabulary" draws rows of the table, "text" takes those of `text`'s tokens (again
    from its first where there are fewer), "random" draws numbers like the table's.
    """

    tokens: Annotated[int, Ge(1)] = 20
    start: Literal["vocabulary", "text", "random"] = "vocabulary"
    text: str = ""

    role: ClassVar[Role] = "adds"
    rate_factor: ClassVar[float] = 100.0
    merges: ClassVar[bool] = False
    identity: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if (self.start == "text") != bool(self.text.strip()):
            raise ValueError(
                '`text` goes with start: text, such as {start: text, text: "Is this message a complaint?"}'
            )

    @property
    def places(self) -> int:
        """Places of the context that the virtual tokens take."""
        return self.tokens

    def prepare(self, tokenizer: Any) -> PromptTuning:
        """What `start: text` needs to be attached: the tokens of its text.

        Raises:
            RecipeError: the tokenizer finds none in it.
        """
        if self.start != "text":
            return self
        ids = tuple(tokenizer(self.text, add_special_tokens=False)["input_ids"])
        if not ids:
            raise RecipeError(Problem(where="adaptation.prompt_tuning.text", found=f"{self.text!r} has no tokens"))
        return _Worded(**{f.name: getattr(self, f.name) for f in fields(self)}, ids=ids)

    def attach(self, model: nn.Module, seed: int) -> nn.Module:
        """A PeftModel around `model`, whose own parameters no longer learn.

        Raises:
            RecipeError: another family of models, or no room for so many tokens.
        """
        from peft import PromptTuningConfig

        wrapped = virtual_tokens.attached(model, PromptTuningConfig, seed, "prompt_tuning", self.tokens)
        table = wrapped.get_base_model().get_input_embeddings().weight.detach()
        if self.start == "random":
            virtual_tokens.normal(wrapped, seed, table.mean(0), table.std(0))
        else:
            virtual_tokens.begin(wrapped, table[self._rows(len(table), seed).to(table.device)])
        return wrapped  # type: ignore[no-any-return]

    def _rows(self, vocabulary: int, seed: int) -> torch.Tensor:
        if self.start == "text":
            raise ValueError("call prepare(tokenizer) first")
        return torch.randint(vocabulary, (self.tokens,), generator=torch.Generator().manual_seed(seed % 2**63))

    def merge(self, model: nn.Module) -> nn.Module:
        """Refuses.

        Raises:
            RecipeError: always.
        """
        raise virtual_tokens.unmergeable("prompt_tuning")


@dataclass(frozen=True)
class _Worded(PromptTuning):
    """With the tokens of its text."""

    ids: tuple[int, ...] = ()

    def _rows(self, vocabulary: int, seed: int) -> torch.Tensor:
        return torch.tensor([self.ids[i % len(self.ids)] for i in range(self.tokens)])
