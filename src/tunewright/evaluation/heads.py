"""Linear heads on fixed features: ridge regression, and a logistic regression a label.

Their one strength is chosen on validation items or by inner cross-validation, never on the items that they predict.

Axes: N training items, M other items, D features, K targets, C labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tunewright.core.outcomes import Floats
from tunewright.core.seeds import key
from tunewright.evaluation.features import one_thread

Head = Callable[[Any], Floats]
Fit = Callable[[Any, Floats, float], Head]


def ridge(x: Any, gold: Floats, strengths: Sequence[float], held: tuple[Any, Floats] | None, seed: int) -> Head:
    """(M, D) features to (M, K) numbers; the penalty with the least squared error, in units of each target's spread."""
    spread = gold.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)

    def loss(said: Floats, truth: Floats) -> float:
        return float((((said - truth) / spread) ** 2).mean())

    return _chosen(_ridge, loss, (x, gold), held, strengths, seed)


def logistics(x: Any, gold: Floats, strengths: Sequence[float], held: tuple[Any, Floats] | None, seed: int) -> Head:
    """(M, D) features to (M, C) probabilities; one strength for all labels, the one with the least log-loss."""

    def loss(said: Floats, truth: Floats) -> float:
        return float(-np.log(np.clip(np.where(truth > 0, said, 1 - said), 1e-15, 1.0)).mean())

    return _chosen(_logistics, loss, (x, gold), held, strengths, seed)


def _chosen(
    fit: Fit,
    loss: Callable[[Floats, Floats], float],
    train: tuple[Any, Floats],
    held: tuple[Any, Floats] | None,
    strengths: Sequence[float],
    seed: int,
) -> Head:
    """The head with the least loss on `held`, else by three inner folds; too few items take the middle strength."""
    x, gold = train
    with one_thread():
        if held is not None and len(held[1]):
            heads = [fit(x, gold, strength) for strength in strengths]
            return heads[int(np.argmin([loss(head(held[0]), held[1]) for head in heads]))]
        if len(gold) < 6:
            return fit(x, gold, strengths[len(strengths) // 2])
        fold = np.random.default_rng(key(seed, "baselines")).permutation(len(gold)) % 3
        losses = [
            np.mean([loss(fit(x[fold != f], gold[fold != f], s)(x[fold == f]), gold[fold == f]) for f in range(3)])
            for s in strengths
        ]
        return fit(x, gold, strengths[int(np.argmin(losses))])


def _ridge(x: Any, gold: Floats, strength: float) -> Head:
    """`strength` is the penalty on the squared weights, beside a sum of squared errors."""
    from sklearn.linear_model import Ridge

    fitted = Ridge(alpha=strength).fit(x, gold)
    targets = gold.shape[1]

    def head(features: Any) -> Floats:
        if features.shape[0] == 0:
            return np.zeros((0, targets))
        return np.asarray(fitted.predict(features), np.float64).reshape(-1, targets)

    return head


def _logistics(x: Any, gold: Floats, strength: float) -> Head:
    """One logistic regression a label: its weights w minimise strength * sum of log-losses + |w|^2 / 2.

    Dense features by L-BFGS. Sparse ones by liblinear's Newton steps, several times as fast there; they penalise the
    intercept too, which a scale of 10 makes a hundredth of a weight's penalty. A label that all or none have in
    training keeps its share.
    """
    from sklearn.linear_model import LogisticRegression

    n, labels = gold.shape
    weights, share = np.zeros((x.shape[1], labels)), (gold.sum(axis=0) + 0.5) / (n + 1)
    intercepts = np.log(share / (1 - share))
    how: dict[str, Any] = {"solver": "lbfgs", "tol": 1e-5}
    if hasattr(x, "tocsr"):
        how = {"solver": "liblinear", "intercept_scaling": 10, "tol": 1e-3}
    for c in np.flatnonzero((gold.min(axis=0) == 0) & (gold.max(axis=0) == 1)):
        fitted = LogisticRegression(C=strength, max_iter=2000, **how).fit(x, gold[:, c])
        weights[:, c], intercepts[c] = fitted.coef_[0], fitted.intercept_[0]
    return lambda features: _sigmoid(np.asarray(features @ weights) + intercepts)


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float64)
