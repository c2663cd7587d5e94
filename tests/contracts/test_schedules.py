"""What every registered schedule must do. Registering one without a row in `TABLE` fails."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tunewright.schedules
from tunewright.core.errors import RecipeError
from tunewright.core.registry import build, dump, members
from tunewright.core.tensors import At, value
from tunewright.schedules import Composed, Constant, Cosine, Linear, Scaled, Warmup

assert tunewright.schedules.__all__


@dataclass(frozen=True)
class Case:
    """warm: the share that rises to `peak`. end: where it has come to when the run is over."""

    schedule: Any
    end: float
    warm: float = 0.0
    peak: float = 1.0


TABLE: dict[str, list[Case]] = {
    "constant": [Case(Constant(), 1.0), Case(Constant(0.25), 0.25, peak=0.25), Case(Constant(0.0), 0.0, peak=0.0)],
    "linear": [Case(Linear(), 0.0), Case(Linear(floor=0.1), 0.1), Case(Linear(warmup=0.1, floor=0.2), 0.2, warm=0.1)],
    "cosine": [Case(Cosine(), 0.0), Case(Cosine(warmup=0.3), 0.0, warm=0.3), Case(Cosine(0.06, 0.1), 0.1, warm=0.06)],
    "warmup": [
        Case(Warmup(), 1.0, warm=0.06),
        Case(Warmup(share=0.2, inner=Linear()), 0.0, warm=0.2),
        Case(Warmup(share=0.0), 1.0),
        Case(Warmup(share=0.95, inner=Cosine(floor=0.5)), 0.5, warm=0.95),
    ],
    "scaled": [
        Case(Scaled(3e-4, Cosine(warmup=0.1)), 0.0, warm=0.1, peak=3e-4),
        Case(Scaled(2.0), 2.0, peak=2.0),
    ],
    "composed": [
        Case(Composed((Constant(1.0), Linear(floor=0.5)), (0.5,)), 0.5),
        Case(Composed((Linear(warmup=0.5), Constant(0.1), Cosine()), (0.25, 0.75)), 0.0, warm=0.125),
        Case(Composed((Constant(0.7),), ()), 0.7, peak=0.7),
    ],
}
CASES = [pytest.param(case, id=f"{name}-{i}") for name, cases in TABLE.items() for i, case in enumerate(cases)]
every = pytest.mark.parametrize("case", CASES)


def test_every_registered_schedule_is_here() -> None:
    assert set(TABLE) == set(members("schedule"))
    assert all(type(c.schedule) is members("schedule")[name] for name, cases in TABLE.items() for c in cases)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 100, 1001])
@every
def test_it_is_a_finite_number_of_0_or_more_at_every_step(case: Case, steps: int) -> None:
    numbers = [case.schedule(At(step, steps)) for step in range(steps)]
    assert all(isinstance(n, float) and math.isfinite(n) and n >= 0 for n in numbers)
    assert max(numbers) <= case.peak * (1 + 1e-12)


@settings(deadline=None)
@given(data=st.data(), steps=st.integers(1, 5000), share=st.floats(0, 1, exclude_max=True), floor=st.floats(0, 2))
def test_any_options_give_a_number_at_any_step(data: st.DataObject, steps: int, share: float, floor: float) -> None:
    at = At(data.draw(st.integers(0, steps - 1)), steps)
    until = data.draw(st.floats(0, 1, exclude_min=True, exclude_max=True))
    for schedule in (
        Linear(share, floor),
        Cosine(share, floor),
        Warmup(share, Cosine(share, floor)),
        Composed((Linear(share, floor), Warmup(share, Linear())), (until,)),
    ):
        number = schedule(at)
        assert math.isfinite(number) and 0 <= number <= max(1.0, floor) + 1e-9


@every
def test_a_warm_up_rises_to_the_peak_and_its_first_step_learns(case: Case) -> None:
    steps = 1000
    last = round(case.warm * steps)
    numbers = [case.schedule(At(step, steps)) for step in range(steps)]
    assert numbers[max(last, 1) - 1] == pytest.approx(case.peak)
    assert all(a < b for a, b in itertools.pairwise(numbers[:last]))
    if last:
        assert 0 < numbers[0] == pytest.approx(case.peak / last), "a first step of rate 0 is spent on nothing"


@every
def test_it_ends_where_it_should(case: Case) -> None:
    assert case.schedule(At(99_999, 100_000)) == pytest.approx(case.end, abs=1e-3 * max(case.peak, 1e-3))
    assert case.schedule(At(100_000, 100_000)) == pytest.approx(case.end, abs=1e-9)


@every
def test_it_is_a_value_that_can_be_written_and_read(case: Case) -> None:
    again = build("schedule", json.loads(json.dumps(dump(case.schedule))))
    assert again == case.schedule
    assert all(again(At(s, 13)) == case.schedule(At(s, 13)) for s in range(13))


def test_the_formulas() -> None:
    assert [Linear()(At(s, 4)) for s in range(4)] == [1.0, 0.75, 0.5, 0.25]
    assert Cosine()(At(1, 4)) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert Cosine()(At(2, 4)) == pytest.approx(0.5)
    assert [Linear(warmup=0.4)(At(s, 5)) for s in range(5)] == pytest.approx([0.5, 1.0, 1.0, 2 / 3, 1 / 3])
    assert [Warmup(0.5)(At(s, 4)) for s in range(4)] == [0.5, 1.0, 1.0, 1.0]
    assert Scaled(2.0, Linear())(At(1, 4)) == 1.5


def test_parts_begin_and_end_where_they_are_told_to() -> None:
    schedule = Composed((Constant(1.0), Linear(), Constant(0.3)), (0.2, 0.6))
    assert [schedule(At(s, 10)) for s in range(10)] == pytest.approx([1, 1, 1, 0.75, 0.5, 0.25, 0.3, 0.3, 0.3, 0.3])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"parts": ["linear", "cosine"], "until": []}, "1 rising shares"),
        ({"parts": [], "until": []}, "rising shares"),
        ({"parts": ["linear", "cosine"], "until": [1.0]}, "found [1.0]"),
        ({"parts": ["linear", "cosine", "linear"], "until": [0.6, 0.5]}, "found [0.6, 0.5]"),
        ({"parts": ["linaer", "cosine"], "until": [0.5]}, "did you mean 'linear'?"),
        (
            {"parts": [{"linear": {"warmup": 1}}, {"cosine": {"flor": 0}}], "until": [0.5]},
            "composed.parts.linear.warmup",
        ),
    ],
)
def test_wrong_parts_are_explained(options: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError) as error:
        build("schedule", {"composed": options})
    assert words in str(error.value)
    assert all(problem.where.startswith("schedule.composed") for problem in error.value.problems)


@pytest.mark.parametrize(
    "spec",
    [{"constant": {"value": -1}}, {"scaled": {"peak": -1}}, {"linear": {"warmup": 1}}, {"cosine": {"floor": -0.1}}],
)
def test_what_would_go_below_zero_is_refused(spec: Any) -> None:
    with pytest.raises(RecipeError):
        build("schedule", spec)


def test_a_number_is_a_schedule_of_itself() -> None:
    assert value(0.5, At(3, 9)) == 0.5
    assert value(Linear(), At(5, 10)) == 0.5
    assert At(0, 0).fraction == 0.0 and At(3, 4).fraction == 0.75
