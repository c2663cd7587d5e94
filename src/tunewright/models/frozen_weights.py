"""Frozen weights that LoRA's thin products are added to, as one function forwards and one backwards (`low_rank.py`).

In the weights' own precision a product is PyTorch's, nothing is laid side by side, and dB is made as ((x A^T)^T dy)^T,
which takes half the time of dy^T (x A^T). Where the products are narrower than the weights (bfloat16), these
are cast once, one above the other, and for oneDNN into the order that it wants, for y and for dx.
Axes: T tokens, K inputs, N outputs, R rank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tunewright.models import products, shapes

Rows = Sequence[Tensor | None]
Gradients = tuple[Tensor | None, list[Tensor] | None, list[Tensor | None] | None]


def of_bases(bases: Sequence[Any], dtype: torch.dtype) -> Weights:
    """The weights of linear layers that read one input, for products in `dtype`."""
    return Weights(bases, dtype) if bases[0].weight.dtype == dtype else Cast(bases, dtype)


def state_of(bases: Sequence[Any]) -> list[tuple[int, int, torch.dtype]]:
    """What changes when weights do."""
    return [(base.weight.data_ptr(), base.weight._version, base.weight.dtype) for base in bases]


class Weights:
    """In their own precision: x (T, K) to outputs (T, N) each, and their gradients back."""

    def __init__(self, bases: Sequence[Any], dtype: torch.dtype) -> None:
        self.dtype, self.state = dtype, state_of(bases)
        self.matrices = [_matrix(base) for base in bases]
        self.sizes = [len(matrix) for matrix in self.matrices]
        self.biases = [None if base.bias is None else base.bias.detach() for base in bases]

    def beside(self, parts: Rows) -> Tensor:
        """One matrix (T, n) in the precision of the products, as it is."""
        assert len(parts) == 1 and parts[0] is not None
        return parts[0].to(self.dtype)

    def forward(
        self, x: Tensor, downs: Sequence[Tensor], ups: Sequence[Tensor], scales: Sequence[float]
    ) -> tuple[Any, ...]:
        """The outputs, x A^T, every A, and every s B."""
        ups = [up * scale for up, scale in zip(ups, scales, strict=True)]
        down = torch.cat(list(downs)) if len(downs) > 1 else downs[0]
        read = x @ down.t()
        parts = read.split_with_sizes([len(each) for each in downs], 1)
        outs = [F.linear(x, w, b) for w, b in zip(self.matrices, self.biases, strict=True)]
        for out, part, up in zip(outs, parts, ups, strict=True):
            out.addmm_(part, up.t())
        return outs, read, down, *ups

    def backward(
        self, grads: Rows, x: Tensor | None, kept: Sequence[Tensor], scales: Sequence[float], ranks: Sequence[int],
        wants: tuple[bool, bool, bool],
    ) -> Gradients:  # fmt: skip
        """The gradients of x, every A and every B, where they are wanted."""
        read, down, *ups = kept
        of_x, thin = self._back(grads, read, down, ups, ranks, wants[0])
        of_downs = list((thin.t() @ x).split_with_sizes(list(ranks))) if wants[1] and x is not None else None
        return of_x, of_downs, self._of_ups(grads, read, scales, ranks) if wants[2] else None

    def _back(
        self, grads: Rows, read: Tensor, down: Tensor, ups: Sequence[Tensor], ranks: Sequence[int], wanted: bool
    ) -> tuple[Tensor | None, Tensor]:
        """The gradient of x, where it is wanted, and s dy B (T, R)."""
        thin, of_x = torch.empty_like(read), None
        for grad, matrix, up, part in zip(
            grads, self.matrices, ups, thin.split_with_sizes(list(ranks), 1), strict=True
        ):
            if grad is None:
                part.zero_()
                continue
            torch.mm(grad, up, out=part)
            if wanted:
                of_x = torch.mm(grad, matrix) if of_x is None else of_x.addmm_(grad, matrix)
        return (None if of_x is None else of_x.addmm_(thin, down)), thin

    def _of_ups(self, grads: Rows, read: Tensor, scales: Sequence[float], ranks: Sequence[int]) -> list[Tensor | None]:
        parts = read.split_with_sizes(list(ranks), 1)
        return [
            None if grad is None else (part.t() @ grad).mul_(scale).t()
            for grad, part, scale in zip(grads, parts, scales, strict=True)
        ]


class Cast(Weights):
    """In a narrower precision than their own, one above the other, for few numbers of rows."""

    def __init__(self, bases: Sequence[Any], dtype: torch.dtype) -> None:
        super().__init__(bases, dtype)
        self._laid = dtype == torch.bfloat16 and products.works()
        self._made: dict[str, Tensor] = {}

    def rows(self, tokens: int) -> int:
        """For how many rows the products are made, so that few shapes occur."""
        return shapes.rounded(tokens) if self.dtype == torch.bfloat16 else tokens

    def beside(self, parts: Rows) -> Tensor:
        """Matrices (T, n) side by side, with rows of zeros below; None stands for zeros."""
        tokens = next(len(part) for part in parts if part is not None)
        rows, first = self.rows(tokens), parts[0]
        if len(parts) == 1 and rows == tokens and first is not None:
            return first.to(self.dtype)
        widths = self.sizes if len(parts) > 1 else [-1 if first is None else first.shape[1]]
        whole = torch.empty(rows, sum(widths), dtype=self.dtype)
        whole[tokens:].zero_()
        for part, place in zip(parts, whole[:tokens].split_with_sizes(widths, 1), strict=True):
            place.zero_() if part is None else place.copy_(part)
        return whole

    def forward(
        self, x: Tensor, downs: Sequence[Tensor], ups: Sequence[Tensor], scales: Sequence[float]
    ) -> tuple[Any, ...]:
        """The outputs, x A^T, every A, and every s B in its place of one matrix."""
        up = self._across(ups, scales)
        down = torch.cat(list(downs)).to(self.dtype) if len(downs) > 1 else downs[0].to(self.dtype)
        read = x @ down.t()
        out = self.products(x).addmm_(read, up.t())
        return out.split_with_sizes(self.sizes, 1), read, down, up

    def backward(
        self, grads: Rows, x: Tensor | None, kept: Sequence[Tensor], scales: Sequence[float], ranks: Sequence[int],
        wants: tuple[bool, bool, bool],
    ) -> Gradients:  # fmt: skip
        """The gradients of x, every A and every B, where they are wanted."""
        read, down, up = kept
        whole = self.beside(grads)
        thin = whole @ up  # (T, R): s dy B
        of_x = self.products_back(whole).addmm_(thin, down) if wants[0] else None
        of_downs = list((thin.t() @ x).split_with_sizes(list(ranks))) if wants[1] and x is not None else None
        of_ups: list[Tensor | None] | None = None
        if wants[2]:
            rows = (read.t() @ whole).split_with_sizes(list(ranks))
            own = [part.split_with_sizes(self.sizes, 1)[i] for i, part in enumerate(rows)]
            of_ups = [part.mul(scale).t() for part, scale in zip(own, scales, strict=True)]
        return of_x, of_downs, of_ups

    def _across(self, ups: Sequence[Tensor], scales: Sequence[float]) -> Tensor:
        """Every s B (N, R) down the diagonal of one matrix: one product in place of one for each, for some zeros more."""
        scaled = [up * scale for up, scale in zip(ups, scales, strict=True)]
        whole: Tensor = torch.block_diag(*scaled)  # type: ignore[no-untyped-call]
        return whole.to(self.dtype)

    def products(self, x: Tensor) -> Tensor:
        """x (T, K) to (T, N) of all side by side, without what is thin."""
        bias = self._once("bias", self._bias) if any(b is not None for b in self.biases) else None
        if self._laid:
            return products._product(x, self._once("down", lambda: products._lay(self._stacked())), bias, False)
        return F.linear(x, self._once("stacked", self._stacked), bias)

    def products_back(self, grads: Tensor) -> Tensor:
        """(T, N) of all side by side to (T, K)."""
        if self._laid:
            return products._product(grads, self._once("up", lambda: products._lay(self._stacked().t())), None, False)
        return grads @ self._once("stacked", self._stacked)

    def _stacked(self) -> Tensor:
        return torch.cat([matrix.to(self.dtype) for matrix in self.matrices])

    def _bias(self) -> Tensor:
        pairs = zip(self.biases, self.matrices, strict=True)
        return torch.cat([(m.new_zeros(len(m)) if b is None else b).to(self.dtype) for b, m in pairs])

    def _once(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        if name not in self._made:
            with torch.inference_mode(False), torch.no_grad():
                self._made[name] = make()
        return self._made[name]


def _matrix(base: Any) -> Tensor:
    """(N, K), without a graph."""
    weight: Tensor = base.weight.detach()
    return weight if type(base) is nn.Linear else weight.t()
