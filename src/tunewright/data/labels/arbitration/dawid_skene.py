"""Dawid-Skene: what each item's label is and how each annotator errs, found together by expectation and maximisation.

p(label of i = c) ~ prior_c prod_j a_j[c, answer of j to i];  a_j (C, C) the confusion matrix of annotator j, estimated from those
probabilities, with `smoothing` answers added that err as annotators do in all. Dawid & Skene 1979, "Maximum Likelihood Estimation of
Observer Error-Rates Using the EM Algorithm". Starts at the shares of the votes.

`tied`: one number an annotator, the share of right answers, in place of a matrix (errors spread evenly): votes weighted by
reliability, for few answers an annotator. An `opinion`, probabilities of a model that has not seen the item's label, is one annotator
more with a matrix of its own; where it is torn, its vote is divided. Items with a `gold` label keep it.

What differs from the paper: smoothing (a maximum a posteriori estimate), sparse products in place of loops. It finds a local maximum:
where most annotators of a label err alike, no such model can know. Cost: O((V + N C) C) an iteration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunewright.data.labels.votes import Votes

Floats = NDArray[np.float64]
_TINY = 1e-12


@dataclass(frozen=True)
class Model:
    """posterior (N, C); confusions (J, C, C), rows the label and columns the answer; accuracy (J,) by the prior; prior (C,).

    opinion: the model's own confusion matrix, where it voted. change: the last iteration's largest, of a probability.
    """

    posterior: Floats
    confusions: Floats
    accuracy: Floats
    prior: Floats
    opinion: Floats | None
    iterations: int
    converged: bool
    change: float


def dawid_skene(
    votes: Votes,
    *,
    opinion: Floats | None = None,
    gold: Mapping[int, int] | None = None,
    tied: bool = False,
    smoothing: float = 1.0,
    most: int = 200,
    tolerance: float = 1e-5,
) -> Model:
    """Posterior and confusion matrices.

    Args:
        opinion: (N, C) probabilities of a model; rows of NaN where it has none.
        gold: the label of each item of which it is known, by their places.
        smoothing: answers added to each row of a confusion matrix.
        most: iterations.
        tolerance: it has converged where no probability moves by more.
    """
    n, c, j = len(votes.items), len(votes.labels), len(votes.by)
    answers, heard = _answers(votes, opinion)
    start = votes.counts() + (0 if opinion is None else np.nan_to_num(opinion))
    posterior = _fixed(start / np.maximum(start.sum(1, keepdims=True), _TINY), gold)
    change, step = np.inf, 0
    while step < most and change > tolerance:
        step += 1
        confusions, prior = _maximised(answers, posterior, heard, tied, smoothing)
        logs = np.log(np.maximum(confusions, _TINY)).transpose(0, 2, 1).reshape(-1, c)
        scores = np.log(np.maximum(prior, _TINY)) + answers @ logs
        scores -= scores.max(1, keepdims=True)
        made = np.exp(scores)
        made = _fixed(made / made.sum(1, keepdims=True), gold)
        change = float(np.abs(made - posterior).max()) if n else 0.0
        posterior = made
    confusions, prior = _maximised(answers, posterior, heard, tied, smoothing)
    accuracy = np.einsum("c,jcc->j", prior, confusions)
    return Model(
        posterior, confusions[:j], accuracy[:j], prior, None if opinion is None else confusions[j], step,
        change <= tolerance, change,
    )  # fmt: skip


def _answers(votes: Votes, opinion: Floats | None) -> tuple[Any, int]:
    """The sparse matrix (N, J C) of answers, one a vote, with J + 1 annotators where a model has an opinion; and their number."""
    from scipy.sparse import csr_matrix, hstack

    n, c, j = len(votes.items), len(votes.labels), len(votes.by)
    made = csr_matrix((np.ones(len(votes)), (votes.item, votes.who * c + votes.label)), (n, j * c))
    if opinion is None:
        return made, j
    return csr_matrix(hstack([made, csr_matrix(np.nan_to_num(opinion))])), j + 1


def _maximised(answers: Any, posterior: Floats, j: int, tied: bool, smoothing: float) -> tuple[Floats, Floats]:
    """Confusion matrices (J, C, C) and prior (C,) from what the labels are believed to be."""
    n, c = posterior.shape
    counts = (answers.T @ posterior).reshape(j, c, c).transpose(0, 2, 1)
    prior = (posterior.sum(0) + 1 / c) / (n + 1)
    if tied:
        right, all_of = np.einsum("jcc->j", counts), counts.sum((1, 2))
        usual = float(right.sum() / max(all_of.sum(), _TINY))
        share = (right + smoothing * usual) / np.maximum(all_of + smoothing, _TINY)
        made = np.repeat(((1 - share) / max(c - 1, 1))[:, None, None], c, 1).repeat(c, 2)
        made[:, np.arange(c), np.arange(c)] = share[:, None]
        return made, prior
    pooled = counts.sum(0) + 0.01
    pooled /= pooled.sum(1, keepdims=True)
    made = counts + smoothing * pooled
    return made / np.maximum(made.sum(2, keepdims=True), _TINY), prior


def _fixed(posterior: Floats, gold: Mapping[int, int] | None) -> Floats:
    """With the known labels as they are."""
    if gold:
        places = np.fromiter(gold, np.int64, len(gold))
        posterior[places] = 0
        posterior[places, np.fromiter(gold.values(), np.int64, len(gold))] = 1
    return posterior
