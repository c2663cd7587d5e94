"""Unlikelihood: what has been said is made less likely to be said again.

l_u = - sum over c in C_u of log(1 - p_u(c)),  C_u: the tokens before u in its sequence, each once, without u's target.
Welleck et al. 2020, "Neural Text Generation with Unlikelihood Training", equation 4. Beside the inner objective's terms.

`over: reply` takes only the tokens of the reply so far: a summary or an answer may take words from its source.
What differs: 1 - p is held at 1e-5 from below, as the authors' code has it. Unit: token. Cost: no further forward pass;
scores in chunks, made twice for a large vocabulary, and a look-up of as many scores a unit as its sequence is long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from tunewright.core.registry import component, register
from tunewright.core.tensors import At, Batch, Fits, Forward, Term, summed
from tunewright.objectives.chunks import parted, per_unit
from tunewright.objectives.cross_entropy import CrossEntropy
from tunewright.objectives.wrapping import Wrapping


@register("objective", "unlikelihood")
@dataclass(frozen=True)
class Unlikelihood(Wrapping):
    """`weight`: alpha in the paper. `over`: "context" (all tokens before) or "reply" (the supervised ones before)."""

    fits: ClassVar[tuple[Fits, ...]] = ("tokens",)
    inner: Any = component("objective", default=CrossEntropy())
    weight: Annotated[float, Ge(0)] = 1.0
    over: Literal["context", "reply"] = "context"

    def __call__(self, forward: Forward, batch: Batch, at: At) -> tuple[Term, ...]:
        terms = self.inner(forward, batch, at)
        states, scoring = parted(forward, batch)
        said, upto, start = _said(batch, self.over)

        def losses(scores: Tensor, target: Tensor, upto: Tensor, start: Tensor) -> Tensor:
            """(u,) of scores (u, V); a unit's candidates are said[start..upto] (u, L), first occurrences only."""
            log_p = torch.log_softmax(scores if scores.dtype == torch.float64 else scores.float(), -1)
            places = start[:, None] + torch.arange(
                int((upto - start).max()) + 1 if len(upto) else 0, device=upto.device
            )
            tokens = said[places.clamp(max=len(said) - 1)]
            counted = (places <= upto[:, None]) & (tokens >= 0) & (tokens != target[:, None])
            rest = -torch.expm1(log_p.gather(-1, tokens.clamp(min=0)))
            return -(rest.clamp(min=1e-5).log() * counted).sum(-1)

        longest = int((upto - start).max()) + 1 if len(upto) else 1
        made = per_unit(losses, scoring, states, beside=(batch.targets, upto, start), wide=longest)
        return (*terms, summed("unlikelihood", made, batch, self.weight))


def _said(batch: Batch, over: str) -> tuple[Tensor, Tensor, Tensor]:
    """What was said, end to end, -1 where it was said before in its sequence; and for each unit the last and first place.

    "context": said (T,) are the tokens that the scoring side reads. "reply": said (U,) are the targets; a unit's own is
    its last place, and never a candidate.
    """
    if over == "context":
        said = batch.tokens if batch.decoder is None else batch.decoder.tokens
        lengths = torch.tensor(batch.lengths if batch.decoder is None else batch.decoder.lengths, device=said.device)
        upto = batch.positions
        start = (lengths.cumsum(0) - lengths)[batch.sequences()]
        owners = torch.arange(len(lengths), device=said.device).repeat_interleave(lengths)
    else:
        said, owners = batch.targets, batch.sequences()
        upto = torch.arange(len(said), device=said.device)
        start = torch.searchsorted(owners, owners)
    return torch.where(_first(said, owners), said, -1), upto, start


def _first(said: Tensor, owners: Tensor) -> Tensor:
    """Whether each token is the first of its kind in its sequence."""
    order = torch.argsort(owners * (int(said.max()) + 1) + said if len(said) else said, stable=True)
    s, o = said[order], owners[order]
    new = torch.ones_like(s, dtype=torch.bool)
    new[1:] = (s[1:] != s[:-1]) | (o[1:] != o[:-1])
    return torch.zeros_like(new).index_copy(0, order, new)
