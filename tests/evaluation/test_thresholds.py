"""The common threshold of label sets."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from tunewright.metrics.thresholds import applied, tune


@pytest.mark.parametrize("seed", range(6))
def test_no_other_threshold_reaches_a_higher_micro_f1(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gold = rng.random((60, 4)) < 0.25
    scores = np.round(np.clip(rng.normal(0.2 + 0.3 * gold, 0.2), 0, 1), 2)  # rounded: ties
    found = tune(gold, scores)
    assert found.shape == (4,) and len(set(found)) == 1

    def reached(threshold: float) -> float:
        return float(f1_score(gold, applied(scores, np.full(4, threshold)), average="micro", zero_division=0))

    grid = [reached(t) for t in np.linspace(0.0, 1.0, 1001)]
    assert reached(found[0]) == pytest.approx(max(grid), abs=1e-12)
    assert reached(found[0]) > reached(0.5) - 1e-12


def test_half_where_nothing_speaks_for_another() -> None:
    gold = np.array([[True, False], [False, True]])
    assert tune(gold, np.array([[0.9, 0.1], [0.1, 0.9]])).tolist() == [0.5, 0.5], "between the two sides"
    assert tune(gold[:0], np.zeros((0, 2))).tolist() == [0.5, 0.5], "no validation items"
    assert tune(np.zeros((2, 2), bool), np.full((2, 2), 0.3)).tolist() == [0.5, 0.5], "nothing applies"
    assert tune(gold, np.array([[0.3, 0.1], [0.1, 0.3]])).tolist() == pytest.approx([0.2, 0.2]), "the middle"
    assert tune(gold, np.array([[0.9, 0.7], [0.7, 0.9]])).tolist() == pytest.approx([0.8, 0.8])


def test_equal_scores_are_never_cut_apart() -> None:
    gold = np.array([[True], [False], [True], [False]])
    scores = np.array([[0.4], [0.4], [0.4], [0.1]])
    assert tune(gold, scores)[0] == pytest.approx(0.25)


def test_equal_f1_takes_the_nearest_to_half() -> None:
    gold = np.array([[True], [False], [False], [True]])  # giving the first alone: 2/3; giving all four: 2/3
    scores = np.array([[0.9], [0.5], [0.3], [0.2]])
    assert tune(gold, scores)[0] == pytest.approx(0.7)
