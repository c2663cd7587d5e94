"""How good written texts are, for chat and sequence to sequence: likelihood of the gold text, ROUGE, BLEU, chrF.

All are functions of means over items, so that they are resampled exactly. ROUGE is that of rouge_score (rouge.py), BLEU
and chrF are sacrebleu's (sacre.py).

Axes: N items, `...` resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from tunewright.core.outcomes import Texts
from tunewright.core.registry import register
from tunewright.metrics import rouge, sacre
from tunewright.metrics.protocol import Averaged, Better, Floats

NO_TEXT = "no item has a gold text"
UNSURE = "it gives no likelihood of the gold texts"
OTHER_TOKENS = "they cut the texts into other tokens, so that a token is not the same unit"


class _OfTexts(Averaged):
    no_item: ClassVar[str] = NO_TEXT


class _OfPairs(_OfTexts):
    """A plain mean over items of a score of (gold, output)."""

    percent: ClassVar[bool] = True

    @staticmethod
    def score(gold: str, output: str) -> float:
        """Of one pair."""
        raise NotImplementedError

    def items(self, p: Texts) -> Floats | None:
        """(N,) scores."""
        return self.columns(p)[:, 0]

    def columns(self, p: Texts) -> Floats:
        """(N, 1) scores."""
        return _scores(type(self).score, *sides(p))[:, None]


def sides(p: Texts) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The gold texts and the outputs of the items that have a gold text."""
    p = p.supervised()
    return tuple(text or "" for text in p.gold), p.output


@lru_cache(maxsize=128)
def _scores(score: Callable[[str, str], float], gold: tuple[str, ...], output: tuple[str, ...]) -> Floats:
    found = np.array([score(a, b) for a, b in zip(gold, output, strict=True)], np.float64)
    found.setflags(write=False)
    return found


@register("text_metric", "loss")
@dataclass(frozen=True)
class TextLoss(_OfTexts):
    """-log p of the gold texts' tokens, in nats a token: a long text counts more than a short one.

    Over the items whose likelihood is known. Contenders whose tokens differ are not compared: their units differ.
    """

    name: ClassVar[str] = "loss"
    title: ClassVar[str] = "nats of loss per token"
    better: ClassVar[Better] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, float("inf"))

    def undefined(self, p: Texts) -> str | None:
        """Why there is no loss; None where there is one."""
        said = super().undefined(p)
        if said:
            return said
        p = p.supervised()
        return None if bool((~np.isnan(p.nll) & (p.tokens > 0)).any()) else UNSURE

    def apart(self, a: Texts, b: Texts) -> str | None:
        """Why these two cannot be compared; None where they can."""
        return None if np.array_equal(_tokens(a), _tokens(b)) else OTHER_TOKENS

    def columns(self, p: Texts) -> Floats:
        """(N, 2): nats and tokens; 0 and 0 where the likelihood is not known."""
        p = p.supervised()
        return np.stack([np.nan_to_num(p.nll), _tokens(p)], axis=1)

    def of_means(self, means: Floats) -> Floats:
        """(...) from (..., 2); NaN where a resample has no token."""
        return per(means[..., 0], means[..., 1])


def _tokens(p: Texts) -> Floats:
    return np.where(np.isnan(p.nll), 0.0, p.tokens.astype(np.float64))


def per(part: Floats, whole: Floats) -> Floats:
    """part / whole; NaN where there is nothing."""
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0))


@register("text_metric", "exact_match")
@dataclass(frozen=True)
class ExactMatch(_OfPairs):
    """The share of outputs that are the gold text, space around them aside."""

    name: ClassVar[str] = "exact_match"
    title: ClassVar[str] = "exact match"
    binary: ClassVar[bool] = True

    @staticmethod
    def score(gold: str, output: str) -> float:
        """1 where equal."""
        return float(gold.strip() == output.strip())


@register("text_metric", "rouge1")
@dataclass(frozen=True)
class Rouge1(_OfPairs):
    """F of the words that output and gold share, mean over items."""

    name: ClassVar[str] = "rouge1"
    title: ClassVar[str] = "ROUGE-1"

    @staticmethod
    def score(gold: str, output: str) -> float:
        """F of one pair."""
        return rouge.rouge_n(gold, output, 1)


@register("text_metric", "rouge2")
@dataclass(frozen=True)
class Rouge2(_OfPairs):
    """F of the pairs of neighbouring words that output and gold share, mean over items."""

    name: ClassVar[str] = "rouge2"
    title: ClassVar[str] = "ROUGE-2"

    @staticmethod
    def score(gold: str, output: str) -> float:
        """F of one pair."""
        return rouge.rouge_n(gold, output, 2)


@register("text_metric", "rougeL")
@dataclass(frozen=True)
class RougeL(_OfPairs):
    """F of the longest common subsequence of words, mean over items."""

    name: ClassVar[str] = "rougeL"
    title: ClassVar[str] = "ROUGE-L"

    @staticmethod
    def score(gold: str, output: str) -> float:
        """F of one pair."""
        return rouge.rouge_l(gold, output)


@register("text_metric", "rougeLsum")
@dataclass(frozen=True)
class RougeLsum(_OfPairs):
    """ROUGE-L with every line as a sentence of its own, mean over items."""

    name: ClassVar[str] = "rougeLsum"
    title: ClassVar[str] = "ROUGE-Lsum"

    @staticmethod
    def score(gold: str, output: str) -> float:
        """F of one pair."""
        return rouge.rouge_lsum(gold, output)


class _OfCorpus(_OfTexts):
    bounds: ClassVar[tuple[float, float]] = (0.0, 100.0)


@register("text_metric", "bleu")
@dataclass(frozen=True)
class Bleu(_OfCorpus):
    """Corpus BLEU, 0 to 100, as `sacrebleu` prints it; Chinese is cut into characters (its tokenizer zh)."""

    name: ClassVar[str] = "bleu"
    title: ClassVar[str] = "BLEU"

    def columns(self, p: Texts) -> Floats:
        """(N, 11), see `sacre.bleu_columns`."""
        return sacre.bleu_columns(*sides(p))

    def of_means(self, means: Floats) -> Floats:
        """(...) from (..., 11)."""
        return sacre.bleu(means)


@register("text_metric", "chrf")
@dataclass(frozen=True)
class Chrf(_OfCorpus):
    """Corpus chrF2, 0 to 100, as `sacrebleu` prints it."""

    name: ClassVar[str] = "chrf"
    title: ClassVar[str] = "chrF"

    def columns(self, p: Texts) -> Floats:
        """(N, 18), see `sacre.chrf_columns`."""
        return sacre.chrf_columns(*sides(p))

    def of_means(self, means: Floats) -> Floats:
        """(...) from (..., 18)."""
        return sacre.chrf(means)


@register("text_metric", "length_ratio")
@dataclass(frozen=True)
class LengthRatio(_OfTexts):
    """Characters written / characters of the gold texts: 1 is as long as wanted. Neither more nor less is better."""

    name: ClassVar[str] = "length_ratio"
    title: ClassVar[str] = "length ratio"
    better: ClassVar[Better] = "neither"
    bounds: ClassVar[tuple[float, float]] = (0.0, float("inf"))

    def undefined(self, p: Texts) -> str | None:
        """Why there is no ratio; None where there is one."""
        return super().undefined(p) or (None if any(sides(p)[0]) else "every gold text is empty")

    def columns(self, p: Texts) -> Floats:
        """(N, 2): characters of output and gold."""
        lengths = [[len(text) for text in side] for side in reversed(sides(p))]
        return np.array(lengths, np.float64).T

    def of_means(self, means: Floats) -> Floats:
        """(...) from (..., 2); NaN where a resample has no gold character."""
        return per(means[..., 0], means[..., 1])
