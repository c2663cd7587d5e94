"""The effective number of examples: how much n examples of a class tell, when the more there are the less each adds.

E(n) = (1 - b^n) / (1 - b), from 1 at n = 1 to 1 / (1 - b). Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of
Samples", proposition 1.
"""

from __future__ import annotations

from collections.abc import Sequence

BETA = 0.999


def effective_number(count: int, beta: float = BETA) -> float:
    """E(count); 0 of none."""
    return (1 - beta**count) / (1 - beta)


def effective_weights(counts: Sequence[int], beta: float = BETA) -> tuple[float, ...]:
    """Weights of classes, one over the effective number each, whose mean over all examples is 1."""
    raw = [1 / max(effective_number(count, beta), 1e-12) if count else 0.0 for count in counts]
    mean = sum(w * n for w, n in zip(raw, counts, strict=True)) / max(sum(counts), 1)
    highest = max(raw, default=1.0)
    return tuple((w or highest) / (mean or 1.0) for w in raw)
