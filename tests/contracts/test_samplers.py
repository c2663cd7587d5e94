"""What every registered sampler must do. Registering one without a row in `TABLE` fails."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tunewright.samplers
from tunewright.core.registry import build, dump, members
from tunewright.core.seeds import key
from tunewright.core.tensors import BoundSampler, Pool, Report
from tunewright.samplers import Balanced, Curriculum, LengthAware, Shuffle

assert tunewright.samplers.__all__


@dataclass(frozen=True)
class Case:
    """once: every example comes once an epoch. power: class c has the share count_c^power; None where unsaid."""

    sampler: Any
    once: bool = False
    power: float | None = None


TABLE: dict[str, list[Case]] = {
    "shuffle": [Case(Shuffle(), once=True)],
    "length_aware": [
        Case(LengthAware(), once=True),
        Case(LengthAware(pool=16, chunk=4), once=True),
        Case(LengthAware(pool=7, chunk=50), once=True),
        Case(LengthAware(pool=1, chunk=1), once=True),
    ],
    "curriculum": [
        Case(Curriculum()),
        Case(Curriculum("rarity", epochs=0.5, start=0.3)),
        Case(Curriculum(("length", "rarity"), "easy_to_hard", epochs=2.5, stages=3)),
        Case(Curriculum("rarity", "hard_to_easy", epochs=1.3)),
        Case(Curriculum("rarity", "competence", control=True)),
        Case(Curriculum("rarity", "easy_to_hard", control=True)),
    ],
    "balanced": [Case(Balanced(), power=0.0), Case(Balanced(0.5), power=0.5), Case(Balanced(1.0), power=1.0)],
}
CASES = [pytest.param(case, id=f"{name}-{i}") for name, cases in TABLE.items() for i, case in enumerate(cases)]
every = pytest.mark.parametrize("case", CASES)


def pool(n: int = 60, order: int | None = None) -> Pool:
    """`n` examples of three classes (six of ten, three, one); `order` shuffles the file."""
    rng = random.Random(1)
    rows = [(f"id{i}", "aaaaaabbbc"[i % 10], rng.randint(1, 40)) for i in range(n)]
    if order is not None:
        random.Random(order).shuffle(rows)
    ids, labels, lengths = zip(*rows, strict=True)
    return Pool(ids, labels, lengths, {"rarity": [float(key("rarity", i) % 7) for i in ids]})


REPORT = Report(0, 1.0, {}, {}, {"id1": 3.0, "id2": 0.1})


def walk(bound: BoundSampler, sizes: list[int]) -> list[str]:
    """Draws with a report after each, as in a run."""
    out = []
    for n in sizes:
        ids = bound.draw(n)
        assert len(ids) == n
        out += ids
        bound.observe(REPORT)
    return out


def test_every_registered_sampler_is_here() -> None:
    assert set(TABLE) == set(members("sampler"))
    assert all(type(c.sampler) is members("sampler")[name] for name, cases in TABLE.items() for c in cases)


@pytest.mark.parametrize("n", [1, 2, 60])
@every
def test_only_known_ids_are_drawn(case: Case, n: int) -> None:
    bound = case.sampler.bind(pool(n), 0)
    assert set(walk(bound, [1, 0, 5, 130, 1])) <= set(pool(n).ids)


@settings(deadline=None, max_examples=40)
@given(before=st.lists(st.integers(0, 45), max_size=5), after=st.lists(st.integers(0, 45), min_size=1, max_size=4))
@every
def test_a_resumed_sampler_draws_what_it_would_have_drawn(case: Case, before: list[int], after: list[int]) -> None:
    kept = case.sampler.bind(pool(), 3)
    walk(kept, before)
    state = json.loads(json.dumps(kept.state()))
    expected = walk(kept, after)
    fresh = case.sampler.bind(pool(), 3)
    fresh.load(state)
    assert walk(fresh, after) == expected
    assert fresh.state() == kept.state()
    used = case.sampler.bind(pool(), 3)
    walk(used, [77])  # what it had drawn before is forgotten
    used.load(state)
    assert walk(used, after) == expected


@every
def test_how_many_are_drawn_at_a_time_does_not_matter(case: Case) -> None:
    one, many = case.sampler.bind(pool(), 3), case.sampler.bind(pool(), 3)
    assert [one.draw(1)[0] for _ in range(150)] == many.draw(150)


@every
def test_the_order_of_the_file_does_not_matter(case: Case) -> None:
    expected = case.sampler.bind(pool(), 3).draw(150)
    for order in range(3):
        assert case.sampler.bind(pool(order=order), 3).draw(150) == expected


@every
def test_the_seed_matters(case: Case) -> None:
    assert case.sampler.bind(pool(), 3).draw(60) != case.sampler.bind(pool(), 4).draw(60)


@every
def test_one_epoch_is_not_like_the_next(case: Case) -> None:
    bound = case.sampler.bind(pool(), 3)
    assert bound.draw(60) != bound.draw(60)


@pytest.mark.parametrize("case", [c for c in CASES if c.values[0].once])
def test_every_example_comes_once_an_epoch(case: Case) -> None:
    bound = case.sampler.bind(pool(), 3)
    for _ in range(4):
        assert Counter(bound.draw(60)) == Counter(pool().ids)


@pytest.mark.parametrize("case", [c for c in CASES if c.values[0].power is not None])
def test_classes_have_their_shares(case: Case) -> None:
    chosen, n = pool(200), 6000
    assert chosen.labels is not None
    label = dict(zip(chosen.ids, chosen.labels, strict=True))
    drawn = case.sampler.bind(chosen, 5).draw(n)
    found = Counter(label[i] for i in drawn)
    sizes = Counter(chosen.labels)
    weights = {c: sizes[c] ** case.power for c in sizes}
    for c in sizes:
        share = weights[c] / sum(weights.values())
        assert abs(found[c] - n * share) < 4 * (n * share * (1 - share)) ** 0.5
    within = Counter(drawn)
    for c in sizes:  # no example of a class comes twice before all of it came once
        times = [within[i] for i in chosen.ids if label[i] == c]
        assert max(times) - min(times) <= 1


def test_length_aware_chunks_are_alike_in_length() -> None:
    chosen = pool(64)
    assert chosen.lengths is not None
    length = dict(zip(chosen.ids, chosen.lengths, strict=True))

    def spread(sampler: Any) -> float:
        ids = sampler.bind(chosen, 0).draw(64)
        parts = [[length[i] for i in ids[k : k + 8]] for k in range(0, 64, 8)]
        return sum(max(part) - min(part) for part in parts) / 8

    assert spread(LengthAware(pool=64, chunk=8)) < spread(Shuffle()) / 4


def scored(n: int = 100) -> Pool:
    """Examples whose score is their number."""
    return Pool([f"id{i}" for i in range(n)], scores={"loss": list(range(n))})


def test_competence_draws_from_the_easiest_share() -> None:
    bound = Curriculum("loss", epochs=3, start=0.2).bind(scored(), 0)
    ids = [int(i[2:]) for i in bound.draw(300)]
    for drawn, i in enumerate(ids):
        assert i <= 100 * min(1, (drawn * (1 - 0.04) / 300 + 0.04) ** 0.5)  # Platanios et al., equation 7
    assert max(ids[:10]) < 30
    assert max(ids[200:]) > 85
    assert Counter(bound.draw(100)) == Counter(scored().ids)  # after it, every example once


def test_competence_is_uniform_within_the_share() -> None:
    bound = Curriculum("loss", epochs=60, start=1.0).bind(scored(), 0)
    counts = Counter(bound.draw(6000))
    assert sum((counts[i] - 60) ** 2 / 60 for i in scored().ids) < 150  # chi-squared, 99 degrees of freedom: 99.9%


@pytest.mark.parametrize(("order", "first"), [("easy_to_hard", range(20)), ("hard_to_easy", range(80, 100))])
def test_baby_steps_take_one_part_more_at_a_time(order: Any, first: range) -> None:
    bound = Curriculum("loss", order, epochs=3.0, stages=5).bind(scored(), 0)
    ids = [int(i[2:]) for i in bound.draw(300)]
    assert set(ids[:60]) == set(first)
    assert Counter(ids[:20]) == Counter(first)  # all of a part once before any twice
    assert len(set(ids[60:120])) == 40
    assert len(set(ids[240:])) == 60
    assert Counter(bound.draw(100)) == Counter(scored().ids)


def test_the_control_has_the_schedule_without_the_order() -> None:
    bound = Curriculum("loss", "easy_to_hard", epochs=3.0, control=True).bind(scored(), 0)
    ids = [int(i[2:]) for i in bound.draw(60)]
    assert len(set(ids)) == 20
    assert 30 < sum(set(ids)) / 20 < 70
    other = Pool(scored().ids, scores={"loss": [-i for i in range(100)]})
    again = Curriculum("loss", "easy_to_hard", epochs=3.0, control=True).bind(other, 0)
    assert [int(i[2:]) for i in again.draw(60)] == ids


def test_several_scores_go_by_their_ranks() -> None:
    pool = Pool(["a", "b", "c"], scores={"x": [1.0, 2.0, 1000.0], "y": [2.0, 3.0, 1.0]})
    assert Curriculum(("x", "y")).bind(pool, 0).ranking[0] == "a"  # ranks 0 + 1, 1 + 2, 2 + 0
    assert Curriculum(("x", "y")).bind(pool, 0).ranking == ["a", "c", "b"]


def test_what_a_sampler_needs_is_said() -> None:
    with pytest.raises(ValueError, match=r"'rarity'.*length, loss"):
        Curriculum("rarity").bind(scored(), 0)
    with pytest.raises(ValueError, match="labels"):
        Balanced().bind(Pool(["a"]), 0)
    with pytest.raises(ValueError, match="lengths"):
        LengthAware().bind(Pool(["a"]), 0)


@every
def test_it_is_a_value_that_can_be_written_and_read(case: Case) -> None:
    assert build("sampler", json.loads(json.dumps(dump(case.sampler)))) == case.sampler
