"""BLEU and chrF as sacrebleu defines them, as functions of means of what sacrebleu counts in each item.

So a resample of items is a matrix product, and its value is what sacrebleu gives for those items.
BLEU: Papineni et al., 2002; chrF: Popović, 2015; sacrebleu: Post, 2018 (https://aclanthology.org/W18-6319).

Axes: N items, `...` resamples. Scores run from 0 to 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tunewright.core.scripts import chinese, japanese
from tunewright.metrics.protocol import Floats

Texts = tuple[str, ...]
_ORDERS = 4


def tokenizer(gold: Sequence[str]) -> str:
    """sacrebleu's name of how BLEU cuts these texts: zh for Chinese, char for Japanese, else 13a."""
    if chinese(gold):
        return "zh"
    return "char" if japanese(gold) else "13a"


def signatures(gold: Sequence[str]) -> dict[str, str]:
    """What sacrebleu prints beside a score, so that others can compute the same one."""
    found = {}
    for name, metric in (("bleu", _bleu(tokenizer(gold))), ("chrf", _chrf())):
        metric.corpus_score(["one"], [["one"]])
        found[name] = str(metric.get_signature())
    return found


@lru_cache(maxsize=32)
def bleu_columns(gold: Texts, output: Texts) -> Floats:
    """(N, 11): lengths of output and gold, matching n-grams (4), n-grams of the output (4), and N.

    N turns means back into sums: a count of 0 is smoothed by the sums. Read only.
    """
    counted = _bleu(tokenizer(gold))._extract_corpus_statistics(output, [gold])
    n = len(gold)
    return _kept(np.concatenate([np.array(counted, np.float64).reshape(n, 10), np.full((n, 1), float(n))], axis=1))


def bleu(means: Floats) -> Floats:
    """(...) BLEU from (..., 11): exponential smoothing, as sacrebleu does by default."""
    sums = means[..., :-1] * means[..., -1:]
    length, reference = sums[..., 0], sums[..., 1]
    hits, total = sums[..., 2 : 2 + _ORDERS], sums[..., 2 + _ORDERS :]
    none, some = hits < 0.5, (total > 0.5).all(axis=-1) & (hits > 0.5).any(axis=-1)
    safe = np.where(total > 0.5, total, 1.0)
    precision = np.where(none, 0.5 ** np.cumsum(none, axis=-1), hits) / safe
    brevity = np.exp(np.minimum(0.0, 1 - reference / np.maximum(length, 0.5)))
    return np.asarray(np.where(some, 100 * brevity * np.exp(np.log(precision).mean(axis=-1)), 0.0))


@lru_cache(maxsize=32)
def chrf_columns(gold: Texts, output: Texts) -> Floats:
    """(N, 18): character n-grams of output, of gold and of both, for each of six orders. Read only."""
    counted = _chrf()._extract_corpus_statistics(output, [gold])
    return _kept(np.array(counted, np.float64).reshape(len(gold), 18))


def chrf(means: Floats) -> Floats:
    """(...) chrF2 from (..., 18): precision and recall are means over the orders that both sides have."""
    output, gold, both = (means[..., i::3] for i in range(3))
    has = (output > 0) & (gold > 0)
    orders = np.maximum(has.sum(axis=-1), 1)
    precision, recall = ((both / np.where(has, whole, 1.0) * has).sum(axis=-1) / orders for whole in (output, gold))
    weighted = 4 * precision + recall
    return np.asarray(
        100 * np.divide(5 * precision * recall, weighted, out=np.zeros_like(weighted), where=weighted > 0)
    )


def sentence_bleu(gold: str, output: str) -> float:
    """Smoothed BLEU of one text, over the orders that it has."""
    return float(_bleu(tokenizer([gold]), effective_order=True).sentence_score(output, [gold]).score)


def sentence_chrf(gold: str, output: str) -> float:
    """chrF2 of one text."""
    return float(_chrf().sentence_score(output, [gold]).score)


def _kept(columns: Floats) -> Floats:
    columns.setflags(write=False)
    return columns


def _bleu(tokenize: str, effective_order: bool = False) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=tokenize, effective_order=effective_order, force=True)


def _chrf() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()
