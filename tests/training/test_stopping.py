"""Early stopping: the best is known, and patience runs out."""

from __future__ import annotations

import json

import pytest

from tunewright.training import Patience


@pytest.mark.parametrize(("higher", "values"), [(True, [0.5, 0.7, 0.6, 0.7, 0.8]), (False, [0.5, 0.3, 0.4, 0.3, 0.2])])
def test_the_best_is_the_first_of_its_value(higher: bool, values: list[float]) -> None:
    patience = Patience(higher)
    assert [patience.saw(v, 10 * i) for i, v in enumerate(values)] == [True, True, False, False, True]
    assert (patience.best, patience.best_step) == (values[-1], 40)
    assert not patience.over, "without a patience it never ends"


def test_it_is_over_after_so_many_without_a_better_one() -> None:
    patience = Patience(True, patience=2)
    over = []
    for step, value in enumerate([0.5, 0.4, 0.6, 0.6, None, 0.9]):
        patience.saw(value, step)
        over.append(patience.over)
    assert over == [False, False, False, False, True, False]


def test_what_is_hardly_better_does_not_count() -> None:
    patience = Patience(True, patience=1, least=0.05)
    assert patience.saw(0.5, 0) and not patience.saw(0.54, 1) and patience.over
    assert patience.best == 0.5


def test_a_metric_that_cannot_be_computed_is_no_best() -> None:
    patience = Patience(False, patience=3)
    assert not patience.saw(None, 0)
    assert patience.best is None and patience.saw(3.0, 1)


def test_it_goes_on_where_it_was() -> None:
    kept = Patience(True, patience=3)
    for step, value in enumerate([0.5, 0.4, 0.3]):
        kept.saw(value, step)
    fresh = Patience(True, patience=3)
    fresh.load(json.loads(json.dumps(kept.state())))
    assert fresh == kept
    fresh.saw(0.1, 3)
    assert fresh.over
