"""Relevance: what a reply is expected to say lies near its context, in the model's own embeddings.

l_b = 1 - cos( mean over the reply's units u of sum_c p_u(c) E[c],  mean over the context's tokens t of E[t] )
E (V, D) the token embeddings, without a gradient: a model that moved its embeddings would please this term for nothing.
The expected embedding of the predicted distribution keeps it differentiable: Zhang et al. 2018, "Generating Informative
and Diverse Conversational Responses via Adversarial Information Maximization"; Shen et al. 2017. Embedding similarity of
reply and context as a mark of relevance: Liu et al. 2016, "How NOT To Evaluate Your Dialogue System" (embedding average).

The context is what stands before the first supervised position, that one included, or the source of an encoder-decoder.
With teacher forcing: p_u follows the gold reply so far. Unit: example. Cost: no further forward pass; scores in chunks, made
twice for a large vocabulary, and one product (U, V) x (V, D).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor

from tunewright.core.registry import component, register
from tunewright.core.tensors import At, Batch, Fits, Forward, Term
from tunewright.objectives.chunks import parted, per_unit
from tunewright.objectives.cross_entropy import CrossEntropy
from tunewright.objectives.preferences import of_examples
from tunewright.objectives.wrapping import Wrapping


@register("objective", "relevance")
@dataclass(frozen=True)
class Relevance(Wrapping):
    """`weight`: of this term beside the inner objective's."""

    fits: ClassVar[tuple[Fits, ...]] = ("tokens",)
    inner: Any = component("objective", default=CrossEntropy())
    weight: Annotated[float, Ge(0)] = 0.1

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        terms = self.inner(forward, batch, at)
        own: Any = forward
        table: Tensor = own.embeddings().detach()

        def expected(scores: Tensor) -> Tensor:
            scores = scores if scores.dtype == torch.float64 else scores.float()
            return torch.softmax(scores, -1) @ table[: scores.shape[-1]].to(scores.dtype)

        states, scoring = parted(forward, batch)
        made = per_unit(expected, scoring, states)
        reply = made.new_zeros(len(batch.ids), table.shape[1]).index_add(0, batch.owners(), made)
        near = F.cosine_similarity(reply, context(batch, table).to(reply), dim=-1, eps=1e-8)
        return (*terms, of_examples("relevance", 1 - near, batch, "example", scale=self.weight))


def context(batch: Batch, table: Tensor) -> Tensor:
    """(B, D) sum of the context's embeddings: its direction is that of the mean."""
    lengths = torch.tensor(batch.lengths, device=batch.tokens.device)
    owners = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
    inside = torch.ones_like(owners, dtype=torch.bool)
    if batch.decoder is None:
        first = torch.full_like(lengths, len(owners)).scatter_reduce(0, batch.owners(), batch.positions, "amin")
        inside = torch.arange(len(owners), device=lengths.device) <= first[owners]
    shown = table[batch.tokens] * inside[:, None]
    return table.new_zeros(len(batch.ids), table.shape[1]).index_add(0, owners, shown)
