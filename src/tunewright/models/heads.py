"""From the body's hidden states to class scores, with the model's own head.

Each family keeps its own way: where it looks (first token, last token, mean) and what stands between there and the
scores. Hidden states here are (N, D) rows; a head sees only the rows that it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

OUTPUT = ("classifier", "out_proj", "score")
"""What transformers calls the layer that makes a classifier's scores."""
Pooling = Literal["first", "last", "mean"]
Output = Literal["examples", "tags", "vocabulary"]
"""What a model's scores are of: texts, tokens, or the vocabulary's pieces at tokens."""


@dataclass(frozen=True)
class Head:
    """How a model reads a text: `pooling` says where, `score` (B, D) -> (B, C) is the model's own modules."""

    pooling: Pooling
    kind: str

    def score(self, model: Any, pooled: Tensor) -> Tensor:
        """Class scores (B, C) of pooled hidden states (B, D)."""
        scores: Tensor
        if self.kind == "pooler":
            scores = model.classifier(model.dropout(model.base_model.pooler(pooled[:, None])))
        elif self.kind == "features":
            scores = model.classifier(pooled[:, None])
        elif self.kind == "pre_classifier":
            scores = model.classifier(model.dropout(F.relu(model.pre_classifier(pooled))))
        elif self.kind == "prediction":
            scores = model.classifier(model.drop(model.head(pooled)))
        else:
            scores = model.score(pooled)
        return scores


def head_of(model: nn.Module) -> Head | None:
    """How a family's sequence classifier reads a text, or None for one that is not known here (it is run padded)."""
    kind = str(model.config.model_type)  # type: ignore[union-attr]
    if kind in ("bert",):
        return Head("first", "pooler")
    if kind in ("roberta", "xlm-roberta", "electra", "camembert"):
        return Head("first", "features")
    if kind == "distilbert":
        return Head("first", "pre_classifier")
    if kind == "modernbert":
        return Head("mean" if model.config.classifier_pooling == "mean" else "first", "prediction")  # type: ignore[union-attr]
    if kind in ("gpt2", "llama", "mistral", "qwen2", "qwen3"):
        return Head("last", "score")
    return None


def output_of(model: nn.Module) -> Output:
    """What the model scores, by the head that transformers has given it."""
    name = type(model).__name__
    if name.endswith("ForTokenClassification"):
        return "tags"
    if name.endswith(("ForCausalLM", "LMHeadModel", "ForMaskedLM", "ForConditionalGeneration")):
        return "vocabulary"
    return "examples"


def tags(model: Any, hidden: Tensor) -> Tensor:
    """Scores (U, C) of tokens from their hidden states (U, D), with the model's own head."""
    if str(model.config.model_type) == "modernbert":
        hidden = model.head(hidden)
    drop = getattr(model, "dropout", None) or getattr(model, "drop", None)
    if drop is not None:
        hidden = drop(hidden)
    scores: Tensor = model.classifier(hidden) if hasattr(model, "classifier") else model.score(hidden)
    return scores


def start_from(model: nn.Module, biases: Sequence[float]) -> bool:
    """Sets the biases of the layer that makes the scores, one a score; False where it has none (decoders)."""
    for name, module in reversed(list(model.named_modules())):
        if isinstance(module, nn.Linear) and name.rsplit(".", 1)[-1] in OUTPUT and module.out_features == len(biases):
            if module.bias is None:
                return False
            with torch.no_grad():
                module.bias.copy_(torch.tensor(biases))
            return True
    return False


def pool(hidden: Tensor, lengths: tuple[int, ...], pooling: Pooling) -> Tensor:
    """(T, D) packed hidden states -> (B, D)."""
    sizes = torch.tensor(lengths, device=hidden.device)
    ends = sizes.cumsum(0)
    if pooling == "first":
        return hidden.index_select(0, ends - sizes)
    if pooling == "last":
        return hidden.index_select(0, ends - 1)
    owners = torch.repeat_interleave(torch.arange(len(lengths), device=hidden.device), sizes)
    sums = hidden.new_zeros(len(lengths), hidden.shape[-1], dtype=torch.promote_types(hidden.dtype, torch.float32))
    return (sums.index_add(0, owners, hidden.to(sums.dtype)) / sizes[:, None]).to(hidden.dtype)
