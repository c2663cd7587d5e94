"""Learnt keys and values that stand before every layer's own, the same for all sequences of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

Rows = tuple[Tensor, Tensor] | None
"""Learnt keys and values (P, H, E) that all tokens see."""


@dataclass(frozen=True, eq=False)
class Past:
    """A prefix of P entries. Axes: P entries, K heads of keys, H heads of queries, E head width.

    keys, values: a layer each, (K, P, E). order: which layer an attention module is of, learnt from the order in which the
    first forward calls them; kept from forward to forward.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    order: dict[nn.Module, int] = field(default_factory=dict, repr=False)

    @property
    def count(self) -> int:
        """P."""
        return int(self.keys[0].shape[1])

    def of(self, module: nn.Module) -> tuple[Tensor, Tensor]:
        """Keys and values (K, P, E) before those of this attention module."""
        layer = self.order.setdefault(module, len(self.order))
        return self.keys[layer], self.values[layer]

    def rows(self, module: nn.Module, heads: int) -> tuple[Tensor, Tensor]:
        """As `of`, (P, H, E): heads of keys repeated for grouped queries."""
        keys, values = (x.transpose(0, 1) for x in self.of(module))
        if keys.shape[1] != heads:
            keys, values = (x.repeat_interleave(heads // x.shape[1], dim=1) for x in (keys, values))
        return keys, values


def interleaved(lengths: Sequence[int], before: int, device: torch.device) -> Tensor:
    """For rows (T tokens, then P learnt): which one stands where, with the learnt ones before each sequence's own."""
    sizes = torch.tensor(lengths, device=device)
    own = torch.repeat_interleave(torch.arange(len(sizes), device=device), sizes)
    places = torch.arange(len(own), device=device) + before * (own + 1)
    index = torch.empty(len(own) + before * len(sizes), dtype=torch.int64, device=device)
    learnt = torch.ones_like(index, dtype=torch.bool)
    learnt[places] = False
    index[places] = torch.arange(len(own), device=device)
    index[learnt] = len(own) + torch.arange(before, device=device).repeat(len(sizes))
    return index
