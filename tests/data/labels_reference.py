"""Slow, obvious implementations of agreement and arbitration, by their definitions; and generated annotators. No tests."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tunewright.data.labels import Level, Votes

Ratings = Sequence[tuple[str, str, float]]
"""Item, annotator and answer as a number."""


def units(ratings: Ratings) -> dict[str, list[float]]:
    """The answers of each item that has two or more."""
    found: dict[str, list[float]] = defaultdict(list)
    for item, _, value in ratings:
        found[item].append(value)
    return {item: values for item, values in found.items() if len(values) > 1}


def alpha(ratings: Ratings, level: Level) -> float:
    """Krippendorff 2011: the coincidence matrix, pair by pair, and its two disagreements."""
    coincidences: Counter[tuple[float, float]] = Counter()
    for values in units(ratings).values():
        for i, j in itertools.permutations(range(len(values)), 2):
            coincidences[values[i], values[j]] += 1 / (len(values) - 1)  # type: ignore[assignment]
    margins: Counter[float] = Counter()
    for (c, _), n in coincidences.items():
        margins[c] += n
    total = sum(margins.values())

    def apart(c: float, k: float) -> float:
        if level == "nominal":
            return float(c != k)
        if level == "interval":
            return (c - k) ** 2
        low, high = min(c, k), max(c, k)
        between = sum(n for value, n in margins.items() if low <= value <= high)
        return float((between - (margins[c] + margins[k]) / 2) ** 2)

    observed = sum(n * apart(c, k) for (c, k), n in coincidences.items()) / total
    expected = sum(margins[c] * margins[k] * apart(c, k) for c in margins for k in margins) / (total * (total - 1))
    return 1 - observed / expected


def fleiss(ratings: Ratings) -> float:
    """Fleiss 1971, for items with as many answers each."""
    per_item = [Counter(values) for values in units(ratings).values()]
    n = sum(per_item[0].values())
    agreement = [sum(k * (k - 1) for k in item.values()) / (n * (n - 1)) for item in per_item]
    shares = Counter(value for _, _, value in ratings)
    chance = sum((k / len(ratings)) ** 2 for k in shares.values())
    observed = sum(agreement) / len(agreement)
    return (observed - chance) / (1 - chance)


def gwet(ratings: Ratings, weight: Callable[[float, float], float] | None = None) -> float:
    """Gwet 2014, equations 5.1 and following, one item at a time."""
    near = weight or (lambda a, b: float(a == b))
    labels = sorted({value for _, _, value in ratings})
    whole: dict[str, list[float]] = defaultdict(list)
    for item, _, value in ratings:
        whole[item].append(value)
    observed = []
    for values in units(ratings).values():
        pairs = [near(a, b) for a, b in itertools.permutations(values, 2)]
        observed.append(sum(pairs) / len(pairs))
    q = {c: sum(v.count(c) / len(v) for v in whole.values()) / len(whole) for c in labels}
    total = sum(near(a, b) for a in labels for b in labels)
    chance = total / (len(labels) * (len(labels) - 1)) * sum(x * (1 - x) for x in q.values())
    return (sum(observed) / len(observed) - chance) / (1 - chance)


def dawid_skene(
    answers: Mapping[str, Mapping[str, str]], labels: Sequence[str], smoothing: float, steps: int
) -> dict[str, dict[str, float]]:
    """Dawid & Skene 1979, section 3, with answers added as annotators give them in all; every sum a loop."""
    everyone = sorted({who for given in answers.values() for who in given})
    belief = {
        item: {c: sum(said == c for said in given.values()) / len(given) for c in labels}
        for item, given in answers.items()
    }
    for _ in range(steps):
        n = len(answers)
        prior = {c: (sum(b[c] for b in belief.values()) + 1 / len(labels)) / (n + 1) for c in labels}
        counts = {
            who: {
                c: {k: sum(belief[i][c] for i, g in answers.items() if g.get(who) == k) for k in labels} for c in labels
            }
            for who in everyone
        }
        pooled = {c: {k: sum(counts[who][c][k] for who in everyone) + 0.01 for k in labels} for c in labels}
        errs = {}
        for who in everyone:
            errs[who] = {}
            for c in labels:
                row = {k: counts[who][c][k] + smoothing * pooled[c][k] / sum(pooled[c].values()) for k in labels}
                errs[who][c] = {k: x / sum(row.values()) for k, x in row.items()}
        for item, given in answers.items():
            score = {c: prior[c] * math.prod(errs[who][c][said] for who, said in given.items()) for c in labels}
            belief[item] = {c: x / sum(score.values()) for c, x in score.items()}
    return belief


def crowd(
    items: int = 50_000, labels: int = 3, annotators: int = 60, spammers: int = 10, each: int = 5, seed: int = 0
) -> tuple[Votes, np.ndarray]:
    """Annotators right with a probability of their own in 0.6..0.9, spammers at random; and the truth (N,)."""
    draws = np.random.default_rng(seed)
    truth = draws.integers(0, labels, items)
    skill = draws.uniform(0.6, 0.9, annotators)
    who = np.argsort(draws.random((items, annotators)), 1)[:, :each]
    right = draws.random((items, each)) < skill[who]
    wrong = (truth[:, None] + draws.integers(1, labels, (items, each))) % labels
    said = np.where(who < spammers, draws.integers(0, labels, (items, each)), np.where(right, truth[:, None], wrong))
    names = tuple(f"{i:06d}" for i in range(items))
    by = tuple(f"spam{j:02d}" if j < spammers else f"work{j:02d}" for j in range(annotators))
    votes = Votes(
        names, by, tuple("abcdefgh"[:labels]), np.repeat(np.arange(items), each), who.ravel().astype(np.int64),
        said.ravel().astype(np.int64),
    )  # fmt: skip
    return votes, truth
