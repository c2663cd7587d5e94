"""Seeds: the same numbers on every machine and for ever; changing them changes every split and every run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunewright.core.seeds import key, uniform

KEYS = {
    (): 6510301506637419378,
    (0,): 1380287601958038609,
    ("0",): 1380287601958038609,
    (0, "split", "abc"): 3669206717718640663,
    (7, 3, "e1"): 4662778858512821040,
    ("naïve", "文"): 874170777679591921,
    (-1,): 2303558775435562639,
}
UNIFORM = 0.3978161894648957
parts = st.lists(st.integers() | st.text(st.characters(exclude_categories=["Cs"])), max_size=4)


def test_these_numbers_never_change() -> None:
    assert {p: key(*p) for p in KEYS} == KEYS
    assert uniform(0, "split", "abc") == pytest.approx(UNIFORM, abs=0)


@given(parts)
def test_a_key_is_63_bits_and_a_uniform_lies_in_the_unit_interval(given_parts: list[int | str]) -> None:
    assert 0 <= key(*given_parts) < 2**63
    assert key(*given_parts) == key(*given_parts)
    assert 0 <= uniform(*given_parts) < 1


@given(parts, parts)
def test_other_parts_give_another_key(a: list[int | str], b: list[int | str]) -> None:
    alike = [str(p) for p in a] == [str(p) for p in b]
    assert (key(*a) == key(*b)) == alike


def test_where_one_part_ends_matters() -> None:
    assert len({key("ab", "c"), key("a", "bc"), key("abc"), key("abc", ""), key("", "abc")}) == 5


def test_uniforms_are_uniform() -> None:
    draws = [uniform(1, "x", i) for i in range(4000)]
    bins = [sum(k / 8 <= u < (k + 1) / 8 for u in draws) for k in range(8)]
    assert sum((n - 500) ** 2 / 500 for n in bins) < 24.3  # chi-squared, 7 degrees of freedom, one in a thousand
