"""The last layer of a BERT-like classifier, made for the rows that its head reads and no others.

The head reads each example's first token. So the last layer needs every token's key and value, but one query an example,
and its feed-forward for one row an example: of a model of six layers about an eighth of the operations is never used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tunewright.models import attention
from tunewright.models.dropout import Draws

FAMILIES = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "electra"})


class LastLayer:
    """Hooks in the last layer of `inner`, a packed classifier of one of `FAMILIES`; at rest outside of `cut`."""

    def __init__(self, inner: Any, draws: Draws) -> None:
        self.draws = draws
        self._starts: Tensor | None = None
        self._tokens = 0
        layer = inner.base_model.encoder.layer[-1].attention
        self._attention = layer.self
        self.queries: nn.Module = layer.self.query
        """The module that is given other rows than its neighbours."""
        self._handles = [
            layer.self.query.register_forward_pre_hook(self._cut_queries),
            layer.self.query.register_forward_hook(self._spread_queries),
            layer.output.register_forward_pre_hook(self._cut_rows),
        ]

    @contextmanager
    def cut(self, starts: Tensor) -> Iterator[None]:
        """Inside, the layer gives the rows of the tokens `starts` (B,), each example's first: (1, B, D)."""
        self._starts = starts
        setattr(self._attention, attention.FIRST_ONLY, True)
        try:
            yield
        finally:
            self._starts = None
            delattr(self._attention, attention.FIRST_ONLY)

    def remove(self) -> None:
        """The layer as it was."""
        for handle in self._handles:
            handle.remove()

    def _cut_queries(self, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if self._starts is None:
            return None
        self._tokens = args[0].shape[1]
        return (args[0].index_select(1, self._starts), *args[1:])

    def _spread_queries(self, module: nn.Module, args: Any, out: Tensor) -> Tensor:
        if self._starts is None:
            return out
        return out.new_zeros(1, self._tokens, out.shape[-1]).index_copy(1, self._starts, out)

    def _cut_rows(self, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        starts = self._starts
        if starts is None:
            return None
        self.draws.begin(self.draws.keys, torch.arange(len(starts), device=starts.device), torch.zeros_like(starts))
        return tuple(x.index_select(1, starts) for x in args)
