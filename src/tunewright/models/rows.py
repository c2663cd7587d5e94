"""Embedding rows that can learn: those of the tokens that occur in the training texts.

A row whose token no training text holds has a zero gradient at every step, so Adam never moves it. Making a parameter
of the other rows alone leaves the same update and spares the optimizer, the norm and the gradient's memory most of
the vocabulary (for 2,000 tweets and BERT's vocabulary, four fifths of it). Weight decay, which plain AdamW would go
on applying to rows that never occur, leaves them as they were.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LiveRows(nn.Module):
    """Stands in for an nn.Embedding; `weight` (V, D) is frozen, `rows` (R, D) learns."""

    def __init__(self, embedding: nn.Embedding, used: Tensor) -> None:
        super().__init__()
        self.inside = [embedding]  # in a list, so that its weight is no parameter of this module
        self.used = used
        self.rows = nn.Parameter(embedding.weight.detach()[used].clone())
        place = torch.full((embedding.num_embeddings,), -1, dtype=torch.int64, device=used.device)
        place[used] = torch.arange(len(used), device=used.device)
        self.place = place
        padding = embedding.padding_idx
        self.padding = int(place[padding]) if padding is not None and int(place[padding]) >= 0 else None
        self._written = -1

    @property
    def weight(self) -> Tensor:
        """The whole table (V, D), with what has been learnt written in."""
        self.fold()
        return self.inside[0].weight

    def fold(self) -> None:
        """Writes the learnt rows into the whole table."""
        if self._written != self.rows._version:
            with torch.no_grad():
                self.inside[0].weight[self.used] = self.rows.detach()
            self._written = self.rows._version

    def train(self, mode: bool = True) -> LiveRows:
        """As nn.Module's; what was learnt is written into the table, however it was learnt."""
        self._written = -1
        return super().train(mode)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embeddings (..., D); a token that was not foreseen is read from the table and does not learn."""
        if self.training:
            places = self.place[tokens]
            known = places >= 0
            if bool(known.all()):
                return F.embedding(places, self.rows, self.padding)
            learnt = F.embedding(places.clamp(min=0), self.rows, self.padding)
            return torch.where(known[..., None], learnt, F.embedding(tokens, self.inside[0].weight.detach()))
        self.fold()
        return F.embedding(tokens, self.inside[0].weight)


def install(model: nn.Module, tokens: Iterable[Tensor]) -> LiveRows | None:
    """Makes only the rows of `tokens` learn; None where the embedding is frozen, tied, or mostly used anyway."""
    embedding = model.get_input_embeddings()  # type: ignore[operator]
    if type(embedding) is not nn.Embedding or not embedding.weight.requires_grad:
        return None
    if sum(p is embedding.weight for _, p in model.named_parameters(remove_duplicate=False)) > 1:
        return None
    used = torch.unique(torch.cat([torch.unique(t) for t in tokens])).to(embedding.weight.device)
    if len(used) > 0.8 * embedding.num_embeddings:
        return None
    live = LiveRows(embedding, used)
    model.set_input_embeddings(live)  # type: ignore[operator]
    return live


def remove(model: nn.Module) -> None:
    """Puts the plain embedding back, with what was learnt in it."""
    live = model.get_input_embeddings()  # type: ignore[operator]
    if isinstance(live, LiveRows):
        live.fold()
        model.set_input_embeddings(live.inside[0])  # type: ignore[operator]
