"""Windows and plans: how much is learnt is the plan's, how it is cut is a matter of memory."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright.core.tensors import Pool
from tunewright.encoding import collate
from tunewright.samplers import Balanced, Shuffle
from tunewright.training import Plan, Windows


def windows(examples: Any, plan: Plan, micro_tokens: int = 8192, sampler: Any = None, seed: int = 0) -> Windows:
    lengths = {i: len(e) for i, e in examples.items()}
    pool = Pool(list(examples), [str(e.target) for e in examples.values()], list(lengths.values()))
    bound = (sampler or Shuffle()).bind(pool, seed)
    return Windows(bound, collate(examples, seed), lengths, plan, micro_tokens=micro_tokens)


def ids(window: Any) -> list[str]:
    return [i for batch in window for i in batch.ids]


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 40), epochs=st.floats(0.1, 4), batch=st.integers(1, 50), limit=st.none() | st.integers(1, 30)
)
def test_every_planned_draw_is_drawn_in_even_steps(
    examples: Any, rows: int, epochs: float, batch: int, limit: int | None
) -> None:
    made = examples(rows)
    tokens = sum(len(e) for e in made.values())
    plan = Plan.of(rows, tokens, epochs=epochs, batch=batch, batch_tokens=None, limit=limit)
    drawn = [len(ids(window)) for _, window in zip(range(plan.steps), windows(made, plan), strict=False)]
    assert sum(drawn) == plan.examples
    assert all(n == min(batch, rows) for n in drawn[:-1]) and 1 <= drawn[-1] <= min(batch, rows)
    if limit is None or plan.steps < limit:
        assert plan.examples == max(1, round(rows * epochs))
    assert limit is None or plan.steps <= limit


@settings(deadline=None, max_examples=60)
@given(rows=st.integers(1, 60), epochs=st.floats(0.2, 3), budget=st.integers(1, 90), seed=st.integers(0, 3))
def test_a_token_budget_fills_each_step_and_the_whole_comes_out(
    examples: Any, rows: int, epochs: float, budget: int, seed: int
) -> None:
    made = examples(rows, seed=seed)
    tokens = sum(len(e) for e in made.values())
    plan = Plan.of(rows, tokens, epochs=epochs, batch=8, batch_tokens=budget, limit=None)
    source = windows(made, plan)
    steps = [next(source) for _ in range(plan.steps)]
    drawn = [len(ids(window)) for window in steps]
    assert all(drawn), "a step without an example"
    assert sum(drawn) <= plan.examples == max(1, round(rows * epochs))
    held = 0
    for i, window in enumerate(steps):
        held += sum(sum(batch.lengths) for batch in window)
        enough = held >= budget * (i + 1) or sum(drawn[: i + 1]) >= plan.examples - (plan.steps - i - 1)
        assert enough, "a step ended before its budget was reached"
        assert held < budget * (i + 1) + 9 * (i + 1)


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_with_a_token_budget_each_example_still_comes_once_an_epoch(examples: Any, epochs: int) -> None:
    made = examples(50)
    tokens = sum(len(e) for e in made.values())
    plan = Plan.of(50, tokens, epochs=epochs, batch=8, batch_tokens=37, limit=None)
    source = windows(made, plan)
    steps = [next(source) for _ in range(plan.steps)]
    assert sorted(i for window in steps for i in ids(window)) == sorted([*made] * epochs)
    held = [sum(sum(batch.lengths) for batch in window) for window in steps]
    assert plan.steps == math.ceil(epochs * tokens / 37)
    assert all(37 - 9 < n < 37 + 9 for n in held[:-1]), "the steps are of even size, up to one example"
    assert 0 < held[-1] < 37 + 9


@settings(deadline=None, max_examples=60)
@given(micro=st.integers(1, 120), batch=st.integers(1, 24))
def test_micro_batches_keep_to_their_tokens_and_lose_nothing(examples: Any, micro: int, batch: int) -> None:
    made = examples(24)
    plan = Plan.of(24, 100, epochs=2, batch=batch, batch_tokens=None, limit=None)
    cut, whole = windows(made, plan, micro), windows(made, plan, 10**9)
    for _ in range(plan.steps):
        window, (one,) = next(cut), next(whole)
        assert ids(window) == list(one.ids)
        lengths = [n for part in window for n in part.lengths]
        assert lengths == sorted(lengths, reverse=True), "equal lengths lie side by side"
        for part, after in zip(window, [*window[1:], None], strict=True):
            assert sum(part.lengths) <= micro or len(part.ids) == 1
            assert after is None or sum(part.lengths) + after.lengths[0] > micro, "cut earlier than it had to be"
        kept = dict(zip(one.ids, one.keys.tolist(), strict=True))
        assert {i: k for part in window for i, k in zip(part.ids, part.keys.tolist(), strict=True)} == kept


def test_keys_change_from_step_to_step(examples: Any) -> None:
    source = windows(examples(4), Plan(12, 3, 4))
    keys = [dict(zip(b.ids, b.keys.tolist(), strict=True)) for b in (next(source)[0] for _ in range(3))]
    assert len({k["e0"] for k in keys}) == 3


@settings(deadline=None, max_examples=40)
@given(stop=st.integers(0, 9), budget=st.none() | st.integers(10, 60), balanced=st.booleans())
def test_a_resumed_run_draws_what_it_would_have_drawn(
    examples: Any, stop: int, budget: int | None, balanced: bool
) -> None:
    made = examples(30)
    tokens = sum(len(e) for e in made.values())
    plan = Plan.of(30, tokens, epochs=3, batch=7, batch_tokens=budget, limit=None)
    sampler = Balanced() if balanced else Shuffle()
    kept = windows(made, plan, 25, sampler)
    for _ in range(stop):
        next(kept)
    state = json.loads(json.dumps(kept.state()))
    fresh = windows(made, plan, 25, sampler)
    fresh.load(state)
    for _ in range(4):
        ours, theirs = next(fresh), next(kept)
        assert [b.ids for b in ours] == [b.ids for b in theirs]
        assert all(a.keys.equal(b.keys) and a.tokens.equal(b.tokens) for a, b in zip(ours, theirs, strict=True))
    assert fresh.state() == kept.state()


def test_more_than_the_plan_still_answers(examples: Any) -> None:
    """A caller that asks beyond the plan gets one example a step, never an error or an empty window."""
    for budget in (None, 20):
        source = windows(examples(5), Plan(5, 1, 5, budget))
        next(source)
        assert len(ids(next(source))) >= 1


def test_a_plan_has_at_least_one_step() -> None:
    assert Plan.of(3, 9, epochs=0.01, batch=32, batch_tokens=None, limit=None) == Plan(1, 1, 3)
    assert Plan.of(100, 500, epochs=2, batch=32, batch_tokens=None, limit=None) == Plan(200, 7, 32)
    assert Plan.of(100, 500, epochs=2, batch=32, batch_tokens=None, limit=3) == Plan(96, 3, 32)
    assert Plan.of(10, 50, epochs=3, batch=32, batch_tokens=None, limit=None) == Plan(30, 3, 10)
    assert Plan.of(100, 500, epochs=1, batch=32, batch_tokens=50, limit=None).steps == 10
