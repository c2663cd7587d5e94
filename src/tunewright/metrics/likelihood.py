"""How well a language model predicts documents. All are functions of sums over documents: long ones count more.

Axes: N documents, `...` resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tunewright.core.outcomes import Likelihoods
from tunewright.core.registry import register
from tunewright.metrics.protocol import Averaged, Better, Floats
from tunewright.metrics.text import OTHER_TOKENS, per

NO_DOCUMENT = "there is no document"
NO_TOKENS = "it predicts no tokens of a model: only bits per byte compare"


class _OfDocuments(Averaged):
    no_item: ClassVar[str] = NO_DOCUMENT
    better: ClassVar[Better] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, float("inf"))


@register("likelihood_metric", "bits_per_byte")
@dataclass(frozen=True)
class BitsPerByte(_OfDocuments):
    """Bits that the documents cost / their bytes in UTF-8: the same unit for every tokenizer."""

    name: ClassVar[str] = "bits_per_byte"
    title: ClassVar[str] = "bits per byte"

    def undefined(self, p: Likelihoods) -> str | None:
        """Why there is no value; None where there is one."""
        return super().undefined(p) or (None if bool(p.bytes.sum() > 0) else "every document is empty")

    def columns(self, p: Likelihoods) -> Floats:
        """(N, 2): bits and bytes."""
        return np.stack([p.nll / np.log(2), p.bytes.astype(np.float64)], axis=1)

    def of_means(self, means: Floats) -> Floats:
        """(...) from (..., 2); NaN where a resample has no byte."""
        return per(means[..., 0], means[..., 1])


class _OfTokens(_OfDocuments):
    shared: ClassVar[str] = "nats and tokens"

    def undefined(self, p: Likelihoods) -> str | None:
        """Why there is no value; None where there is one."""
        return super().undefined(p) or (None if bool(p.tokens.sum() > 0) else NO_TOKENS)

    def apart(self, a: Likelihoods, b: Likelihoods) -> str | None:
        """Why these two cannot be compared; None where they can."""
        return None if np.array_equal(a.tokens, b.tokens) else OTHER_TOKENS

    def columns(self, p: Likelihoods) -> Floats:
        """(N, 2): nats and tokens."""
        return np.stack([p.nll, p.tokens.astype(np.float64)], axis=1)

    def of_means(self, means: Floats) -> Floats:
        """(...) from (..., 2); NaN where a resample has no token."""
        return per(means[..., 0], means[..., 1])


@register("likelihood_metric", "loss")
@dataclass(frozen=True)
class TokenLoss(_OfTokens):
    """-log p in nats a token. Only contenders with the same tokens are compared."""

    name: ClassVar[str] = "loss"
    title: ClassVar[str] = "nats of loss per token"


@register("likelihood_metric", "perplexity")
@dataclass(frozen=True)
class Perplexity(_OfTokens):
    """e to the loss: among how many tokens the model is as unsure as by throwing dice. As the loss, never across tokenizers."""

    name: ClassVar[str] = "perplexity"
    title: ClassVar[str] = "perplexity"
    bounds: ClassVar[tuple[float, float]] = (1.0, float("inf"))

    def of_means(self, means: Floats) -> Floats:
        """(...) from (..., 2); at most e^700."""
        return np.asarray(np.exp(np.minimum(super().of_means(means), 700.0)))
