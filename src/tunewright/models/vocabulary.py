"""What predicting tokens of a large vocabulary costs, from the hidden states, without the scores in memory.

Cross-entropy of z = h W^T + b over V pieces needs U x V scores and as many gradients: 250 MB for 1,000 tokens of a
32,000-piece vocabulary. Here they are made a block of rows at a time. As in Wijmans et al. 2024, "Cut Your Losses in
Large-Vocabulary Language Models", and Hsu et al. 2024, "Liger Kernel", nothing of size U x V is kept; as in the latter the
gradients are made in the forward pass, where the scores are at hand: dh for each row's own loss, so that any weighting of
the rows is exact, and dW for rows that count alike. Where they do not (weighted losses of a head that learns), the backward
pass makes the scores once more.

Axes: U tokens, D width, V pieces, R rows of a block. Memory: R V numbers in the products' precision, and `_PART` rows of
float32. Cost: the head's 2 U D V operations, and as many again for dh and for dW where the head learns.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_BLOCK = 64 * 2**20
"""Bytes of a block's scores."""
_PART = 4 * 2**20
"""Bytes of the float32 numbers that one pass over a block's scores needs at a time."""


def losses(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    smoothing: float = 0.0,
    cap: float | None = None,
) -> Tensor:
    """(U,) float32: (1 - s) (-log p[y]) + s / V sum_v (-log p[v]), with p = softmax(cap tanh(z / cap)) and s `smoothing`.

    Args:
        hidden: (U, D); its precision is that of the products.
        weight: (V, D). bias: (V,) or None. targets: (U,).
        cap: bounds the scores, as Gemma 2 has it; None for none.
    """
    out: Tensor = _Losses.apply(hidden, weight, bias, targets, smoothing, cap)  # type: ignore[no-untyped-call]
    return out


class _Losses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        smoothing: float,
        cap: float | None,
    ) -> Tensor:
        head = _Head(hidden, weight, bias, targets, smoothing, cap)
        wanted = (ctx.needs_input_grad[0], ctx.needs_input_grad[1], bias is not None and ctx.needs_input_grad[2])
        out, dh, dw, db = head.run(wanted, None)
        ctx.save_for_backward(hidden, weight, bias, targets, dh, dw, db)
        ctx.settings = smoothing, cap
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        hidden, weight, bias, targets, dh, dw, db = ctx.saved_tensors
        if dh is not None:
            dh = (dh * grad[:, None]).to(hidden.dtype)
        if dw is not None or db is not None:
            first = grad[:1].sum()
            if bool((grad == first).all()):
                dw = None if dw is None else dw.mul_(first)
                db = None if db is None else db.mul_(first)
            else:
                head = _Head(hidden, weight, bias, targets, *ctx.settings)
                _, _, dw, db = head.run((False, dw is not None, db is not None), grad)
        return dh, dw, db, None, None, None


class _Head:
    """The scores of `hidden`, a block of rows at a time."""

    def __init__(
        self, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, smoothing: float, cap: float | None
    ) -> None:
        self.hidden, self.targets, self.smoothing, self.cap = hidden, targets, smoothing, cap
        self.weight = weight.detach().to(hidden.dtype)
        self.bias = None if bias is None else bias.detach().to(hidden.dtype)
        self.wide = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        self.pieces = weight.shape[0]

    def run(
        self, wanted: tuple[bool, bool, bool], grad: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
        """Losses (U,), and what of dh (U, D), dW (V, D), db (V,) is wanted; rows weighted by `grad` (U,) or alike."""
        n, hidden = len(self.hidden), self.hidden
        out = torch.empty(n, dtype=self.wide, device=hidden.device)
        dh = torch.empty_like(hidden) if wanted[0] else None
        dw = torch.zeros(self.weight.shape, dtype=self.wide, device=hidden.device) if wanted[1] else None
        db = torch.zeros(self.pieces, dtype=self.wide, device=hidden.device) if wanted[2] else None
        step = max(1, _BLOCK // (self.pieces * hidden.element_size()))
        for start in range(0, n, step):
            rows = slice(start, min(start + step, n))
            scores = F.linear(hidden[rows], self.weight, self.bias)
            self._soften(scores, rows, out, any(wanted), grad)
            if dh is not None:
                dh[rows] = scores @ self.weight
            if dw is not None:
                dw += scores.T @ hidden[rows]
            if db is not None:
                db += scores.sum(0, dtype=self.wide)
        return out, dh, dw, db

    def _soften(self, scores: Tensor, rows: slice, out: Tensor, gradients: bool, grad: Tensor | None) -> None:
        """Writes the block's losses, and in place of its scores (R, V) their gradients, a few rows at a time."""
        targets, s = self.targets[rows], self.smoothing
        step = max(1, _PART // (self.pieces * 4))
        for start in range(0, len(scores), step):
            part = scores[start : start + step]
            answers = targets[start : start + step, None]
            z, slope = part, None
            if self.cap is not None:
                z = torch.tanh(part.to(self.wide) / self.cap)
                slope, z = 1 - z * z, z * self.cap
            log_p = torch.log_softmax(z, -1, dtype=self.wide)
            loss = -log_p.gather(1, answers)[:, 0]
            if s:
                loss = (1 - s) * loss - s * log_p.mean(-1)
            out[rows][start : start + step] = loss
            if gradients:
                p = log_p.exp_()
                if s:
                    p -= s / self.pieces
                p.scatter_add_(1, answers, torch.full_like(answers, -(1 - s), dtype=p.dtype))
                if slope is not None:
                    p *= slope
                if grad is not None:
                    p *= grad[rows][start : start + step, None]
                part.copy_(p)


class Vocabulary:
    """A language model's head: from the body's hidden states to scores and losses.

    Args:
        model: a causal, masked or sequence-to-sequence model of transformers.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.kind = model, str(model.config.model_type)
        self.output: Any = model.get_output_embeddings()
        self.cap = getattr(model.config, "final_logit_softcapping", None)

    def scores(self, hidden: Tensor) -> Tensor:
        """(U, V) from hidden (U, D)."""
        return self._scored(self._transformed(hidden))

    def _scored(self, rows: Tensor) -> Tensor:
        z: Tensor = self.output(rows)
        if self.kind == "bart":
            z = z + self.model.final_logits_bias
        return z if self.cap is None else self.cap * torch.tanh(z / self.cap)

    def losses(self, hidden: Tensor, targets: Tensor, smoothing: float, dtype: torch.dtype) -> Tensor:
        """(U,) of hidden (U, D), with products in `dtype`."""
        rows = self._transformed(hidden)
        if not isinstance(self.output, nn.Linear):  # an adapter sits in the head
            return F.cross_entropy(self._scored(rows).float(), targets, label_smoothing=smoothing, reduction="none")
        bias = self.output.bias
        if self.kind == "bart":
            bias = self.model.final_logits_bias[0]
        with torch.autocast(rows.device.type, enabled=False):
            return losses(rows.to(dtype), self.output.weight, bias, targets, smoothing, self.cap)

    def _transformed(self, hidden: Tensor) -> Tensor:
        """What stands between the body and the product with the vocabulary."""
        m: Any = self.model
        kind, rows = self.kind, hidden
        if getattr(m.config, "scale_decoder_outputs", False):
            rows = hidden * m.model_dim**-0.5
        elif hasattr(m, "cls") and hasattr(m.cls, "predictions"):
            rows = m.cls.predictions.transform(hidden)
        elif kind == "distilbert":
            rows = m.vocab_layer_norm(m.activation(m.vocab_transform(hidden)))
        elif kind == "electra" and hasattr(m, "generator_predictions"):
            rows = m.generator_predictions(hidden)
        elif kind == "modernbert" and hasattr(m, "head"):
            rows = m.head(hidden)
        elif hasattr(getattr(m, "lm_head", None), "dense"):
            rows = m.lm_head.layer_norm(F.gelu(m.lm_head.dense(hidden)))
        return rows
